"""Decoders against diffusers' own way from latents to pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor

from clavilux.export.checkpoints.load import load_vae
from clavilux.export.models.decoder import DecoderGraph, check_vae, reference_pictures, scale_and_shift, upscaling
from clavilux.runtime.errors import ExportError


@pytest.fixture(scope="module")
def small(tiny_checkpoints: Path):
    return load_vae(tiny_checkpoints / "pipeline" / "vae", "AutoencoderTiny")


@pytest.fixture(scope="module")
def full() -> AutoencoderKL:
    torch.manual_seed(0)
    blocks = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    vae = AutoencoderKL(
        down_block_types=blocks[0],
        up_block_types=blocks[1],
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        scaling_factor=0.18215,
        shift_factor=0.1,
    )
    return vae.eval().requires_grad_(False)


def latents(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))


def pictures(vae, given: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return DecoderGraph(vae)(given).numpy()


@pytest.mark.parametrize("kind", ["small", "full"])
@pytest.mark.parametrize("scale", [0.2, 1.0, 15.0])
def test_the_graph_gives_diffusers_pictures(kind: str, scale: float, request: pytest.FixtureRequest):
    vae = request.getfixturevalue(kind)
    expected = reference_pictures(vae, latents(scale)).numpy()
    np.testing.assert_array_equal(pictures(vae, latents(scale)), expected)
    assert expected.std() > 0


def test_the_reference_rounds_as_pil_pictures_do(small):
    with torch.inference_mode():
        decoded = small.decode(latents()).sample
    (theirs,) = VaeImageProcessor().postprocess(decoded, output_type="pil")
    np.testing.assert_array_equal(reference_pictures(small, latents())[0], np.asarray(theirs))


def test_pictures_are_eight_times_larger_than_latents(small):
    found = pictures(small, torch.zeros(1, 4, 8, 12))
    assert (found.shape, found.dtype) == ((1, 64, 96, 3), np.uint8)
    assert upscaling(small.config) == 8


def test_taesd_takes_latents_as_they_are(small):
    assert scale_and_shift(small) == (1.0, 0.0)


def test_the_full_autoencoder_is_scaled_and_shifted(full: AutoencoderKL):
    assert scale_and_shift(full) == (0.18215, 0.1)
    assert upscaling(full.config) == 8


def test_another_class_is_refused():
    with pytest.raises(ExportError, match="vae here is a 'VQModel'; expected AutoencoderKL or AutoencoderTiny"):
        check_vae({"_class_name": "VQModel"}, "here")
