"""The warp graph: the file that the instrument plays is what the script writes, and moves latents as NumPy does."""

from pathlib import Path

import numpy as np
import pytest

from clavilux.export.graphs.warp_graph import main
from clavilux.runtime.diffusion.choose import WARP
from clavilux.runtime.diffusion.motion import Motion, taps, warp
from clavilux.runtime.placement.devices import open_session


def test_the_file_of_the_instrument_is_what_the_script_writes(tmp_path: Path) -> None:
    assert main([str(tmp_path / "warp.onnx")]) == 0
    assert (tmp_path / "warp.onnx").read_bytes() == WARP.path.read_bytes()


@pytest.mark.parametrize("shape", [(1, 4, 64, 64), (1, 12, 16, 24)])
@pytest.mark.parametrize(
    "motion",
    [Motion(zoom=1.03, angle=0.02), Motion(zoom=0.9, x=0.3, y=-0.2), Motion(angle=-2.5, current=0.1, time=7.0)],
)
def test_latents_move_as_they_do_in_numpy(shape: tuple[int, ...], motion: Motion) -> None:
    latents = np.random.default_rng(0).normal(0.3, 1, shape).astype(np.float32)
    found = taps(*shape[2:], motion)
    inputs = {"latents": latents, "places": found.places, "weights": found.weights}
    (warped,) = open_session(WARP, threads=1).run(inputs)
    np.testing.assert_allclose(warped, warp(latents, motion), atol=1e-5)


def test_a_channel_that_is_the_same_everywhere_stays_so() -> None:
    found = taps(8, 8, Motion(zoom=1.1))
    flat = np.full((1, 2, 8, 8), 3.0, np.float32)
    (warped,) = open_session(WARP, threads=1).run({"latents": flat, "places": found.places, "weights": found.weights})
    np.testing.assert_allclose(warped, flat, rtol=1e-5)
