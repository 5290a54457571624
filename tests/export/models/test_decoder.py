"""Decoders against diffusers' own way from latents to pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor

from clavilux.export.checkpoints.load import load_vae
from clavilux.export.graphs.convert import save, to_onnx
from clavilux.export.models.decoder import (
    DecoderGraph,
    block_side,
    check_latents,
    check_vae,
    reference_pictures,
    scale_and_shift,
    upscaling,
)
from clavilux.export.models.image_encoder import ImageEncoderGraph, reference_latents, usual_pictures
from clavilux.export.spec import DECODER_GRAPH
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from tests.tiny import write_vae


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


@pytest.fixture(scope="module", params=[2, 4])
def blocks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A tiny autoencoder that makes blocks of pixels at once, of 12 or 48 channels."""
    torch.manual_seed(request.param)
    folder = tmp_path_factory.mktemp("blocks")
    write_vae(folder, request.param)
    return load_vae(folder, "AutoencoderTiny")


def test_pixels_of_a_block_are_put_in_their_places(blocks):
    side = block_side(blocks.config)
    with torch.inference_mode():
        decoded = blocks.decode(latents(), return_dict=False)[0]
    levels = torch.round((decoded / 2 + 0.5).clamp(0, 1) * 255).byte().numpy()
    found = pictures(blocks, latents())
    assert (found.shape, found.dtype) == ((1, 64, 64, 3), np.uint8)
    assert found.std() > 0
    for down in range(side):
        for right in range(side):
            for colour in range(3):
                channel = (colour * side + down) * side + right
                np.testing.assert_array_equal(found[:, down::side, right::side, colour], levels[:, channel])


def test_the_graph_of_blocks_gives_the_reference_pictures(blocks):
    np.testing.assert_array_equal(pictures(blocks, latents(2.0)), reference_pictures(blocks, latents(2.0)).numpy())


def test_the_block_counts_among_the_pixels_of_a_latent(blocks):
    assert upscaling(blocks.config) == 8
    assert upscaling(dict(blocks.config) | {"in_channels": 3, "out_channels": 3}) == 8 // block_side(blocks.config)


def test_an_exported_decoder_of_blocks_paints_as_torch_does(blocks, tmp_path: Path):
    module = DecoderGraph(blocks)
    save(to_onnx(module, DECODER_GRAPH, {"latents": latents()}), tmp_path / "decoder.onnx")
    (found,) = open_session(tmp_path / "decoder.onnx").run({"latents": latents(2.0).numpy()})
    away = np.abs(found.astype(int) - pictures(blocks, latents(2.0)))
    assert away.max() <= 1
    assert away.mean() < 0.01


def test_an_encoder_of_blocks_takes_them_from_their_places(blocks):
    given = usual_pictures(64, 64, 0)
    planes = torch.from_numpy(given).permute(0, 3, 1, 2) / 127.5 - 1
    side = block_side(blocks.config)
    rows = [planes[:, c, i::side, j::side] for c in range(3) for i in range(side) for j in range(side)]
    with torch.inference_mode():
        expected = blocks.encode(torch.stack(rows, dim=1)).latents.numpy()
        found = ImageEncoderGraph(blocks)(torch.from_numpy(given)).numpy()
    assert found.shape == (1, 4, 8, 8)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(reference_latents(blocks, given), expected, atol=1e-5)


@pytest.mark.parametrize(("channels", "side"), [(3, 1), (12, 2), (27, 3), (48, 4)])
def test_blocks_are_told_by_the_number_of_channels(channels: int, side: int):
    assert block_side({"in_channels": channels, "out_channels": channels}) == side
    assert block_side({}) == 1


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"in_channels": 4, "out_channels": 4}, "takes 4 channels and gives 4"),
        ({"in_channels": 1, "out_channels": 1}, "takes 1 channels and gives 1"),
        ({"in_channels": 3, "out_channels": 12}, "takes 3 channels and gives 12"),
        ({"out_channels": 12}, "takes 3 channels and gives 12"),
        ({"in_channels": 24, "out_channels": 24}, "takes 24 channels and gives 24"),
    ],
)
def test_other_numbers_of_channels_are_refused(config: dict, line: str):
    with pytest.raises(ExportError) as caught:
        check_vae(TINY | config, "here")
    assert str(caught.value) == f"the vae {line}; expected 3 both ways, or 3 n * n of blocks of n * n pixels"


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
