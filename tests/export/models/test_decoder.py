"""Decoders against diffusers' own way from latents to pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor

from clavilux.export.checkpoints.load import load_vae
from clavilux.export.models.decoder import (
    DecoderGraph,
    check_latents,
    check_vae,
    reference_pictures,
    scale_and_shift,
    upscaling,
)
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


FULL = {"_class_name": "AutoencoderKL", "scaling_factor": 0.18215, "shift_factor": None}
SDXL = FULL | {"scaling_factor": 0.13025}
TINY = {"_class_name": "AutoencoderTiny", "scaling_factor": 1.0, "shift_factor": 0.0}
ODD = FULL | {"scaling_factor": 0.2}
PLAYGROUND = FULL | {"scaling_factor": 0.5, "latents_mean": [0.1] * 4, "latents_std": [1.0] * 4}


@pytest.mark.parametrize(
    ("config", "where", "own", "place"),
    [
        (FULL, "me/vae", None, None),
        (FULL, "me/vae", FULL | {"sample_size": 512}, "me/model/vae"),
        (TINY, "madebyollin/taesd", FULL, "me/model/vae"),
        (TINY, "/home/me/taesdxl-project/taesd", FULL, "me/model/vae"),
        (TINY | {"_name_or_path": "madebyollin/taesd"}, "here", FULL, "me/model/vae"),
        (FULL, "me/vae", TINY, "me/turbo/vae"),
        (SDXL, "me/model/vae", SDXL, "me/model/vae"),
        (ODD, "me/model/vae", ODD, "me/model/vae"),
        (ODD, "me/vae", ODD | {"sample_size": 64}, "me/model/vae"),
        (TINY, "madebyollin/taesdxl", SDXL, "me/model/vae"),
        (TINY, "me/model/vae", TINY, "me/model/vae"),
    ],
)
def test_latents_that_the_unet_makes_are_taken_without_a_word(config: dict, where: str, own: dict | None, place: str):
    assert check_latents(config, where, own, place) == ""


@pytest.mark.parametrize(
    ("config", "where", "own", "message"),
    [
        (SDXL, "me/vae", FULL, "the unet makes those of SD 1.x and 2.x (scaling_factor 0.18215)"),
        (SDXL, "me/vae", None, "takes latents of SDXL (scaling_factor 0.13025)"),
        (TINY, "madebyollin/taesdxl", FULL, "takes latents of SDXL"),
        (TINY, "madebyollin/taesdxl", None, "takes latents of SDXL"),
        (TINY | {"_name_or_path": "madebyollin/taesdxl"}, "here", FULL, "takes latents of SDXL"),
        (PLAYGROUND, "me/vae", None, "takes latents of a kind of its own (scaling_factor 0.5, with latents_mean)"),
        (ODD, "me/vae", FULL, "takes latents of a kind of its own (scaling_factor 0.2)"),
        (FULL, "me/vae", ODD, "the unet makes those of a kind of its own (scaling_factor 0.2)"),
    ],
)
def test_latents_of_another_family_are_refused(config: dict, where: str, own: dict | None, message: str):
    with pytest.raises(ExportError) as caught:
        check_latents(config, where, own, "me/model/vae")
    assert message in str(caught.value)
    assert str(caught.value).endswith("; expected the same, as pictures come out as noise else")


@pytest.mark.parametrize(
    ("config", "where"), [(TINY, "me/tiny"), (TINY | {"scaling_factor": 0.18215}, "madebyollin/taesd")]
)
def test_a_tiny_autoencoder_without_the_name_and_scale_that_are_known_may_be_of_any_family(config: dict, where: str):
    assert check_latents(config, where, FULL, "me/model/vae") == (
        f"vae {where} does not tell whose latents it takes; expected those of SD 1.x and 2.x (scaling_factor 0.18215)"
    )


def test_a_scale_of_its_own_without_a_pipeline_beside_it_is_said():
    assert check_latents(ODD, "me/vae", None, None) == (
        "vae me/vae takes latents of a kind of its own (scaling_factor 0.2); "
        "expected the one that the unet was trained with"
    )


def test_what_diffusers_leaves_out_of_a_pipelines_own_autoencoder_is_said():
    assert check_latents(PLAYGROUND, "me/model/vae", PLAYGROUND, "me/model/vae") == (
        "vae me/model/vae has latents_mean, which StableDiffusionPipeline leaves out, and so do we"
    )
