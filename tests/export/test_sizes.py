"""Bundles of many sizes: every graph equals torch at every size and batch, the image encoder too."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from clavilux.export.checkpoints.load import load_unet, load_vae
from clavilux.export.models.decoder import reference_pictures
from clavilux.export.models.denoiser import DenoiserGraph, noise
from clavilux.export.models.image_encoder import ImageEncoderGraph, reference_latents, usual_pictures
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import GuidanceSpec, SizeSpec
from clavilux.runtime.diffusion.schedule import Guidance, Schedule
from clavilux.runtime.placement.devices import open_session
from tests.tiny import WIDTH

SIZES = [(16, 16), (16, 48), (32, 32), (32, 128), (128, 32), (48, 112), (128, 128)]  # pixels
ONE_LEVEL = 1  # of 255; what lies on the edge may fall to either side


@pytest.fixture(scope="module")
def bundle(flexible_bundle: Path) -> Bundle:
    return Bundle.open(flexible_bundle)


@pytest.fixture(scope="module")
def vae(tiny_checkpoints: Path):
    return load_vae(tiny_checkpoints / "pipeline" / "vae", "AutoencoderTiny")


def test_the_manifest_says_what_can_be_chosen(bundle: Bundle):
    assert (bundle.sizes, bundle.batch) == (SizeSpec(16, 128, 16), 4)
    assert bundle.guidance == GuidanceSpec("classic", 2.5)
    assert (bundle.steps, max(bundle.schedule.timesteps)) == (6, 6)
    assert "encoder_image.onnx" in bundle.files


def shape(size: tuple[int, int], batch: int = 1) -> tuple[int, int, int, int]:
    return batch, 4, size[0] // 8, size[1] // 8


def step_inputs(bundle: Bundle, size: tuple[int, int], batch: int) -> dict[str, np.ndarray]:
    row = Schedule(bundle.schedule).rows(1, guidance=Guidance(2.5))
    prompts = np.random.default_rng(batch).standard_normal((2, batch, bundle.tokens.count, WIDTH)).astype(np.float32)
    return {
        "sample": noise(shape(size, batch), 0).numpy(),
        "noise": noise(shape(size, batch), 1).numpy(),
        "tokens": prompts[0],
        "coefficients": np.repeat(row, batch, axis=0),
        "negative": prompts[1],
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 4])
def test_the_denoiser_equals_torch(bundle: Bundle, tiny_checkpoints: Path, size: tuple[int, int], batch: int):
    graph = DenoiserGraph(load_unet(tiny_checkpoints / "pipeline" / "unet"))
    inputs = step_inputs(bundle, size, batch)
    with torch.inference_mode():
        expected = graph(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    found = open_session(bundle.path("denoiser.onnx")).run(inputs)
    for one, other in zip(found, expected, strict=True):
        assert np.linalg.norm(one - other.numpy()) < 5e-3 * np.linalg.norm(other.numpy())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_the_decoder_equals_torch(bundle: Bundle, vae, size: tuple[int, int], batch: int):
    expected = reference_pictures(vae, noise(shape(size, batch), 5)).numpy().astype(int)
    found = open_session(bundle.path("decoder.onnx")).run({"latents": noise(shape(size, batch), 5).numpy()})[0]
    assert found.shape == (batch, *size, 3)
    assert np.abs(found.astype(int) - expected).max() <= ONE_LEVEL


def test_a_batch_gives_what_its_pictures_give_alone(bundle: Bundle):
    session = open_session(bundle.path("denoiser.onnx"))
    inputs = step_inputs(bundle, (48, 64), 3)
    (together, _), alone = session.run(inputs), []
    for i in range(3):
        alone.append(session.run({name: array[i : i + 1] for name, array in inputs.items()})[0])
    np.testing.assert_allclose(together, np.concatenate(alone), atol=2e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 2])
def test_the_image_encoder_equals_diffusers(bundle: Bundle, vae, size: tuple[int, int], batch: int):
    pictures = np.concatenate([usual_pictures(*size, seed) for seed in range(batch)])
    planes = VaeImageProcessor().preprocess([Image.fromarray(picture) for picture in pictures])
    with torch.inference_mode():
        expected = vae.encode(planes).latents.numpy()
    (found,) = open_session(bundle.path("encoder_image.onnx")).run({"pictures": pictures})
    assert (found.shape, found.dtype) == (shape(size, batch), np.float32)
    assert np.linalg.norm(found - expected) < 5e-3 * np.linalg.norm(expected)


@pytest.fixture(scope="module")
def full() -> AutoencoderKL:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, scaling_factor=0.2, **blocks)
    return vae.eval().requires_grad_(False)


def test_the_full_autoencoders_latents_are_those_of_image_to_image(full: AutoencoderKL):
    """diffusers' pipeline draws from the posterior; here its mode is taken, which for a Gaussian is its mean."""
    pictures = usual_pictures(32, 48, 1)
    planes = VaeImageProcessor().preprocess(Image.fromarray(pictures[0]))
    with torch.inference_mode():
        expected = (full.encode(planes).latent_dist.mean * full.config.scaling_factor).numpy()
        found = ImageEncoderGraph(full)(torch.from_numpy(pictures)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(reference_latents(full, pictures), expected, atol=1e-5)


class Bare(torch.nn.Module):
    """An autoencoder whose latents are what it is given."""

    class Config(dict):
        scaling_factor = 1.0

    config = Config()

    def encode(self, planes: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(latents=planes)


def test_black_and_white_lie_at_the_ends_of_the_range():
    pictures = np.zeros((1, 2, 3, 3), np.uint8)
    pictures[0, 0, 0] = (255, 0, 51)
    planes = ImageEncoderGraph(Bare())(torch.from_numpy(pictures))
    assert planes.shape == (1, 3, 2, 3)
    torch.testing.assert_close(planes[0, :, 0, 0], torch.tensor([1.0, -1.0, -0.6]))


def test_bytes_become_numbers_before_anything_else_since_tensorrt_computes_with_none(bundle: Bundle):
    graph = onnx.load(bundle.path("encoder_image.onnx")).graph
    assert {node.op_type for node in graph.node if "pictures" in node.input} == {"Cast"}


def test_usual_pictures_are_seeded_and_not_flat():
    one, other = usual_pictures(40, 24, 0), usual_pictures(40, 24, 1)
    assert (one.shape, one.dtype) == ((1, 40, 24, 3), np.uint8)
    np.testing.assert_array_equal(one, usual_pictures(40, 24, 0))
    assert one.std() > 20
    assert np.abs(one.astype(float) - other).mean() > 20
