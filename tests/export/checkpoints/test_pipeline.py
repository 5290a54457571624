"""A pipeline's own account of itself, and schedulers beside it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clavilux.export.checkpoints.load import Sources
from clavilux.export.checkpoints.pipeline import averaged_notes, check_pipeline, scheduler_notes
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import FakeHub, serving, use_cache, write_cache

SD = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}


def pipeline(folder: Path, kind: str, **parts: list[Any]) -> Sources:
    folder.mkdir(exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind, "_diffusers_version": "0.39.0"} | parts))
    return Sources.from_pipeline("me/encoder", folder)


def refusal(sources: Sources) -> str:
    with pytest.raises(ExportError) as caught:
        check_pipeline(sources)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "transformer"),
    [
        ("FluxPipeline", "FluxTransformer2DModel"),
        ("StableDiffusion3Pipeline", "SD3Transformer2DModel"),
        ("PixArtSigmaPipeline", "PixArtTransformer2DModel"),
    ],
)
def test_a_pipeline_that_paints_with_a_transformer_is_refused_by_name(tmp_path: Path, kind: str, transformer: str):
    sources = pipeline(tmp_path, kind, transformer=["diffusers", transformer], vae=["diffusers", "AutoencoderKL"])
    assert refusal(sources) == (
        f"{tmp_path} is a {kind}, which paints with {transformer}; "
        "expected one of SD 1.x or 2.x, with a UNet2DConditionModel"
    )


def test_a_pipeline_with_two_text_encoders_is_refused_by_name(tmp_path: Path):
    words = {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
    assert refusal(pipeline(tmp_path, "StableDiffusionXLPipeline", **SD, **words)) == (
        f"{tmp_path} is a StableDiffusionXLPipeline, which has two text encoders; "
        "expected one of SD 1.x or 2.x, with a UNet2DConditionModel"
    )


def test_a_pipeline_on_the_hub_is_refused_by_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pipeline(tmp_path / "flux", "FluxPipeline", transformer=["diffusers", "FluxTransformer2DModel"])
    write_cache(use_cache(tmp_path / "hub", monkeypatch), "me/flux", tmp_path / "flux")
    assert refusal(Sources.from_pipeline("me/encoder", "me/flux")).startswith("me/flux is a FluxPipeline")


@pytest.mark.parametrize("parts", [{}, SD, SD | {"safety_checker": [None, None], "text_encoder_2": [None, None]}])
def test_a_pipeline_of_the_family_passes(tmp_path: Path, parts: dict[str, list[Any]]):
    check_pipeline(pipeline(tmp_path, "StableDiffusionPipeline", **parts))


def test_what_says_nothing_of_itself_passes(tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use_cache(tmp_path / "hub", monkeypatch)
    sources = Sources.from_pipeline("me/encoder", tiny_checkpoints / "pipeline")
    for unet in (sources.unet, "me/elsewhere/unet", "here.safetensors"):
        check_pipeline(replace(sources, unet=unet))


def scheduler(folder: Path, **settings: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "scheduler_config.json").write_text(json.dumps(settings))
    return folder


def notes(sources: Sources, where: Path) -> list[str]:
    config = json.loads((where / "scheduler_config.json").read_text())
    return list(scheduler_notes(replace(sources, scheduler=where), config))


def test_a_scheduler_that_predicts_something_else_than_the_pipelines_is_said(tmp_path: Path):
    scheduler(tmp_path / "sd" / "scheduler", prediction_type="v_prediction", beta_start=0.00085)
    sources = Sources.from_pipeline("me/encoder", tmp_path / "sd")
    (tmp_path / "sd" / "unet").mkdir()
    other = scheduler(tmp_path / "ddim", beta_start=0.00085)
    assert notes(sources, other) == [
        f"scheduler {other} has prediction_type epsilon, the unet's own, scheduler, has v_prediction; "
        "if pictures come out as noise, give a --scheduler that has it too"
    ]


def test_a_scheduler_that_only_steps_differently_is_no_matter(tmp_path: Path):
    scheduler(tmp_path / "sd" / "scheduler", timestep_spacing="leading", beta_schedule="linear")
    (tmp_path / "sd" / "unet").mkdir()
    other = scheduler(tmp_path / "euler", timestep_spacing="trailing", steps_offset=1)
    assert notes(Sources.from_pipeline("me/encoder", tmp_path / "sd"), other) == []


def test_the_pipelines_own_scheduler_is_no_matter(tiny_checkpoints: Path):
    sources = Sources.from_pipeline("me/encoder", tiny_checkpoints / "pipeline")
    assert notes(sources, tiny_checkpoints / "pipeline" / "scheduler") == []


def test_a_file_that_is_marked_v_pred_beside_a_scheduler_that_predicts_epsilon_is_said(tmp_path: Path):
    told = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    sources = replace(Sources.from_pipeline("me/encoder", tmp_path), told=told)
    first, second = notes(sources, scheduler(tmp_path / "ddim", prediction_type="epsilon"))
    assert "has prediction_type epsilon, its own file's marks say v_prediction" in first
    assert "has rescale_betas_zero_snr False, its own file's marks say True" in second


def test_averaged_weights_on_the_hub_are_said_before_they_are_fetched(
    tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    unet = shutil.copytree(tiny_checkpoints / "pipeline" / "unet", tmp_path / "served" / "me" / "sd" / "unet")
    (unet / "diffusion_pytorch_model.non_ema.safetensors").touch()
    use_cache(tmp_path / "cache", monkeypatch, offline=False)
    sources = Sources.from_pipeline("me/encoder", "me/sd")
    with serving(FakeHub(tmp_path / "served"), monkeypatch) as hub:
        (note,) = averaged_notes(sources)
        assert list(averaged_notes(replace(sources, variant="non_ema"))) == []
    assert note.startswith("unet me/sd/unet has weights called non_ema too")
    assert not any("resolve" in path for path in hub.asked)


def test_averaged_weights_beside_a_unet_are_said(tiny_checkpoints: Path, tmp_path: Path):
    shutil.copytree(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")
    sources = Sources.from_pipeline("me/encoder", tmp_path)
    assert list(averaged_notes(sources)) == []
    (tmp_path / "unet" / "diffusion_pytorch_model.non_ema.safetensors").touch()
    (tmp_path / "unet_ema").mkdir()
    unet = tmp_path / "unet"
    assert list(averaged_notes(sources)) == [
        f"unet {unet} has weights called non_ema too; those without that word, the averaged ones, are taken: "
        "--variant non_ema takes the others",
        f"unet {unet} has averaged weights beside it, which are not taken; --unet {unet}_ema takes them",
    ]
