"""Optimum loads what we write, and we take in what it writes. Run on request:

    python -m venv PEER
    PEER/bin/pip install 'optimum-onnx[onnxruntime]==0.1.0' diffusers==0.39.0 torch==2.13.0 pillow
    CLAVILUX_OPTIMUM_PYTHON=PEER/bin/python pytest -m peer tests/export/diffusers_layout/test_optimum.py

The environment is one of its own because optimum-onnx 0.1.0 wants transformers older than 4.58.
"""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from clavilux.export.build import export_bundle
from clavilux.export.checkpoints.load import load_text_encoder, load_tokenizer, load_vae
from clavilux.export.diffusers_layout.write import FOLDER
from clavilux.export.models.denoiser import noise
from clavilux.export.parity.figures import psnr
from clavilux.export.parity.reference_runs import RunInputs, bundle_latents
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.placement.devices import open_session
from tests.tiny import tiny_options, tiny_sources

PEER = "CLAVILUX_OPTIMUM_PYTHON"
SCRIPT = Path(__file__).with_name("optimum_peer.py")
SHAPE = (1, 4, 8, 8)
WORDS = "ab"
CLOSE_DB = 40.0  # PSNR: the mean error is 2.5 of 255 levels
PATIENCE_S = 300

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        PEER not in os.environ,
        reason=f"{PEER} names no python with optimum; see tests/export/diffusers_layout/test_optimum.py",
    ),
]


def peer(*arguments: object) -> None:
    """Run the script in the peer's python, without a network."""
    command = [os.environ[PEER], str(SCRIPT), *map(str, arguments)]
    quiet = {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bundle(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    options = replace(tiny_options(), layout="diffusers")
    return export_bundle(tiny_sources(tiny_checkpoints), tmp_path_factory.mktemp("peer") / "bundle", options)


def picture(bundle: Bundle, steps: int) -> NDArray[np.uint8]:
    """Return what the bundle's own graphs make of the idle prompt."""
    run = RunInputs(steps, bundle.conditioning.idle[None], SHAPE)
    latents = bundle_latents(open_session(bundle.path("denoiser.onnx")), Schedule(bundle.schedule), run)
    return open_session(bundle.path("decoder.onnx")).run({"latents": latents})[0][0]


def painted(bundle: Bundle, folder: Path, steps: int) -> dict[str, NDArray[np.generic]]:
    """Return what optimum makes of the same prompt and noise, and of a word and a picture."""
    planes = noise((1, 3, *tiny_options().picture), 1).clamp(-1, 1).numpy()
    given = {"prompt": bundle.conditioning.idle[None], "latents": noise(SHAPE, 0).numpy(), "planes": planes}
    np.savez(folder / "inputs.npz", steps=steps, words=WORDS, **given)
    peer("paint", bundle.folder / FOLDER, folder / "inputs.npz", folder / "found.npz")
    return {"planes": planes, **np.load(folder / "found.npz")}


@pytest.mark.parametrize("steps", [1, 4])
def test_optimums_pipeline_paints_the_bundles_picture(bundle: Bundle, tmp_path: Path, steps: int):
    found = painted(bundle, tmp_path, steps)["picture"]
    closeness = psnr(picture(bundle, steps).astype(np.float64), found.astype(np.float64))
    print(f"{bundle.tokens.count} tokens, {steps} steps: {closeness:.1f} dB")
    assert closeness >= CLOSE_DB


def test_optimums_pipeline_reads_words_and_pictures_as_torch_does(
    bundle: Bundle, tiny_checkpoints: Path, tmp_path: Path
):
    folder = tiny_checkpoints / "pipeline"
    found = painted(bundle, tmp_path, 1)
    tokenizer = load_tokenizer(folder / "tokenizer").tokenizer
    tokenizer.enable_padding(length=77, pad_id=tokenizer.token_to_id("!"), pad_token="!")
    ids = torch.tensor([tokenizer.encode(WORDS).ids])
    with torch.inference_mode():
        words = load_text_encoder(folder / "text_encoder")(input_ids=ids).last_hidden_state
        latents = load_vae(folder / "vae", "AutoencoderTiny").encode(torch.from_numpy(found["planes"])).latents
    np.testing.assert_allclose(found["words"], words.numpy(), atol=1e-4)
    np.testing.assert_allclose(found["latents"], latents.numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def exported(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that optimum exported; with a full autoencoder, as optimum cannot export TAESD."""
    folder = tmp_path_factory.mktemp("pipeline")
    shutil.copytree(tiny_checkpoints / "pipeline", folder / "torch", ignore=shutil.ignore_patterns("vae"))
    torch.manual_seed(1)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, **blocks).save_pretrained(folder / "torch" / "vae")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.39.0",
        "requires_safety_checker": False,
        **dict.fromkeys(("feature_extractor", "image_encoder", "safety_checker"), (None, None)),
        "scheduler": ("diffusers", "EulerDiscreteScheduler"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
    }
    (folder / "torch" / "model_index.json").write_text(json.dumps(index))
    peer("export", folder / "torch", folder / "onnx")
    return folder / "onnx"


def test_a_unet_that_optimum_exported_paints_the_same_picture(
    bundle: Bundle, exported: Path, tiny_checkpoints: Path, tmp_path: Path
):
    sources = replace(tiny_sources(tiny_checkpoints), unet=exported / "unet")
    found = export_bundle(sources, tmp_path / "bundle", tiny_options())
    closeness = psnr(*(picture(one, 4).astype(np.float64) for one in (bundle, found)))
    print(f"optimum's UNet, 4 steps: {closeness:.1f} dB")
    assert closeness >= CLOSE_DB
