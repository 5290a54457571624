"""The start graph: the file that the instrument plays is what the script writes, and adds as NumPy does."""

from pathlib import Path

import numpy as np
import pytest

from clavilux.export.graphs.start_graph import main
from clavilux.runtime.diffusion.choose import START
from clavilux.runtime.placement.devices import open_session


def test_the_file_of_the_instrument_is_what_the_script_writes(tmp_path: Path) -> None:
    assert main([str(tmp_path / "start.onnx")]) == 0
    assert (tmp_path / "start.onnx").read_bytes() == START.path.read_bytes()


@pytest.mark.parametrize("shape", [(1, 4, 64, 64), (1, 12, 16, 24)])
@pytest.mark.parametrize(("noise_scale", "latents_scale"), [(0.9, 0.0), (0.3, 0.7), (14.6, 0.05)])
def test_products_and_sum_are_rounded_as_numpy_rounds_them(
    shape: tuple[int, ...], noise_scale: float, latents_scale: float
) -> None:
    random = np.random.default_rng(0)
    noise, latents = (random.normal(size=shape).astype(np.float32) for _ in range(2))
    scales = {
        "noise_scale": np.array([noise_scale], np.float32),
        "latents_scale": np.array([latents_scale], np.float32),
    }
    (sample,) = open_session(START, threads=1).run({"noise": noise, "latents": latents} | scales)
    np.testing.assert_array_equal(sample, noise * np.float32(noise_scale) + latents * np.float32(latents_scale))
