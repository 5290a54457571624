"""Configurations that leave out what is usual, against the classes of the libraries that read them."""

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextConfig, Wav2Vec2BertConfig

from clavilux.export.checkpoints.configuration import read_model_config
from clavilux.export.checkpoints.locate import read_config
from clavilux.runtime.errors import ExportError

TRANSFORMERS = {"wav2vec2-bert": Wav2Vec2BertConfig, "clip_text_model": CLIPTextConfig}


def write(folder: Path, **config: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("name", "kind"), TRANSFORMERS.items())
@pytest.mark.parametrize("given", [{}, {"hidden_size": 48}])
def test_what_is_not_said_is_what_transformers_takes(tmp_path: Path, name: str, kind: Any, given: dict[str, int]):
    found = read_model_config(write(tmp_path, model_type=name, **given), "encoder")
    assert found == kind(**given).to_dict()
    assert found["hidden_size"] == given.get("hidden_size", kind().hidden_size)


@pytest.mark.parametrize("kind", [UNet2DConditionModel, AutoencoderKL, AutoencoderTiny])
def test_what_is_not_said_is_what_diffusers_takes(tmp_path: Path, kind: Any):
    found = read_model_config(write(tmp_path, _class_name=kind.__name__, latent_channels=16), "unet")
    assert (
        found.items() - {("latent_channels", 16), ("_class_name", kind.__name__)} <= kind.from_config({}).config.items()
    )
    assert found["latent_channels"] == 16


def test_a_whole_clips_configuration_is_that_of_its_text_encoder(tmp_path: Path):
    found = read_model_config(write(tmp_path, model_type="clip", text_config={"hidden_size": 48}), "text encoder")
    assert found == CLIPTextConfig(hidden_size=48).to_dict()


def test_other_models_are_left_to_be_refused(tmp_path: Path):
    assert read_model_config(write(tmp_path, model_type="bert"), "encoder") == {"model_type": "bert"}


def test_what_is_said_stands(tiny_checkpoints: Path):
    for part, role in (("encoder", "encoder"), ("pipeline/unet", "unet"), ("pipeline/vae", "vae")):
        folder = tiny_checkpoints / part
        said = read_config(folder, role)
        assert said.items() <= read_model_config(folder, role).items()


def test_what_no_class_takes_is_one_line(tmp_path: Path):
    with pytest.raises(ExportError) as caught:
        read_model_config(write(tmp_path, model_type="wav2vec2-bert", hidden_size="wide"), "encoder")
    assert str(caught.value) == (
        f"encoder {tmp_path} cannot be loaded: Validation error for field 'hidden_size': "
        "TypeError: Field 'hidden_size' expected int, got str (value: 'wide')"
    )
