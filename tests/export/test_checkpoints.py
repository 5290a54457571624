"""Finding and loading checkpoints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from export.checkpoints import (
    Sources,
    load_encoder,
    load_text_encoder,
    load_tokenizer,
    load_unet,
    load_vae,
    origin,
    place,
    read_config,
)
from runtime.errors import ExportError


@pytest.fixture
def copied(tiny_checkpoints: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copy one part of the tiny checkpoints, to be spoiled."""

    def copy(part: str) -> Path:
        return Path(shutil.copytree(tiny_checkpoints / part, tmp_path / Path(part).name))

    return copy


def refusal(load: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(ExportError) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_pipelines_folder_gives_all_its_parts(tiny_checkpoints: Path):
    sources = Sources.from_pipeline("me/encoder", tiny_checkpoints / "pipeline")
    assert sources.vae == tiny_checkpoints / "pipeline" / "vae"
    assert sources.tokenizer == tiny_checkpoints / "pipeline" / "tokenizer"


def test_a_pipelines_hub_name_gives_subfolders():
    sources = Sources.from_pipeline("me/encoder", "stabilityai/sd-turbo")
    assert place(sources.unet, "unet") == ("stabilityai/sd-turbo", "unet")


def test_a_pipeline_without_words_has_no_text_encoder(tiny_checkpoints: Path, tmp_path: Path):
    shutil.copytree(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")
    assert Sources.from_pipeline("me/encoder", str(tmp_path)).text_encoder is None


def test_a_folder_is_its_own_place(tmp_path: Path):
    assert place(tmp_path, "unet") == (str(tmp_path), "")


def test_a_hub_name_may_have_a_deep_subfolder():
    assert place("me/models/fast/unet", "unet") == ("me/models", "fast/unet")


def test_a_file_is_no_checkpoint(tmp_path: Path):
    (tmp_path / "model.ckpt").write_bytes(b"")
    assert "unet" in refusal(place, tmp_path / "model.ckpt", "unet")
    assert "is a file; expected a folder" in refusal(place, str(tmp_path / "model.ckpt"), "unet")


@pytest.mark.parametrize("where", ["/no/such/folder", "./here/not", "../not/there", "single", ""])
def test_what_is_neither_folder_nor_hub_name_does_not_exist(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    if where:
        assert "does not exist; expected a folder in Hugging Face format" in refusal(place, where, "unet")
    assert "does not exist" in refusal(place, tmp_path / "missing" / "folder", "unet")


def test_the_manifest_names_folders_without_their_path(tmp_path: Path):
    assert origin(tmp_path / "my-encoder") == "my-encoder"
    assert origin(str(tmp_path)) == tmp_path.name
    assert origin("me/encoder") == "me/encoder"


def test_a_configuration_is_read_from_its_folder(tiny_checkpoints: Path):
    assert read_config(tiny_checkpoints / "encoder", "encoder")["model_type"] == "wav2vec2-bert"


def test_a_configuration_is_read_from_the_hubs_cache(tiny_checkpoints: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, str, str | None]] = []

    def download(name: str, file: str, subfolder: str | None = None) -> str:
        asked.append((name, file, subfolder))
        return str(tiny_checkpoints / "encoder" / "config.json")

    monkeypatch.setattr("export.checkpoints.hf_hub_download", download)
    assert read_config("me/models/encoder", "encoder")["model_type"] == "wav2vec2-bert"
    assert asked == [("me/models", "config.json", "encoder")]


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def download(*_: object, **__: object) -> str:
        raise OSError("cannot reach the hub\nand much more to read")

    monkeypatch.setattr("export.checkpoints.hf_hub_download", download)
    message = refusal(read_config, "me/encoder", "encoder")
    assert message == "encoder me/encoder cannot be loaded: cannot reach the hub"


def test_an_error_without_words_is_named_by_its_type(monkeypatch: pytest.MonkeyPatch):
    def download(*_: object, **__: object) -> str:
        raise TimeoutError

    monkeypatch.setattr("export.checkpoints.hf_hub_download", download)
    assert "cannot be loaded: TimeoutError" in refusal(read_config, "me/encoder", "encoder")


def test_a_folder_without_configuration_is_refused(tmp_path: Path):
    assert "has no config.json" in refusal(read_config, tmp_path, "encoder")


@pytest.mark.parametrize(("text", "message"), [("[1]", "is not a JSON object"), ("{", "cannot be loaded")])
def test_a_spoiled_configuration_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "config.json").write_text(text)
    assert message in refusal(read_config, tmp_path, "encoder")


@pytest.mark.parametrize(
    ("load", "part"),
    [(load_encoder, "encoder"), (load_unet, "pipeline/unet"), (load_text_encoder, "pipeline/text_encoder")],
)
def test_a_model_loads_ready_for_inference(tiny_checkpoints: Path, load: Callable, part: str):
    model = load(tiny_checkpoints / part)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())


def test_an_autoencoder_loads_by_its_class(tiny_checkpoints: Path):
    assert load_vae(tiny_checkpoints / "pipeline" / "vae", "AutoencoderTiny").config.latent_channels == 4


def test_a_tokenizer_comes_with_its_padding(tiny_checkpoints: Path):
    assert load_tokenizer(tiny_checkpoints / "pipeline" / "tokenizer").padding == "!"


@pytest.mark.parametrize(
    ("load", "part", "file"),
    [
        (load_encoder, "encoder", "model.safetensors"),
        (load_unet, "pipeline/unet", "diffusion_pytorch_model.safetensors"),
    ],
)
def test_weights_that_are_missing_are_an_error_not_random(copied: Callable, load: Callable, part: str, file: str):
    folder = copied(part)
    weights = load_file(folder / file)
    first = sorted(weights)[0]
    save_file({name: weight for name, weight in weights.items() if name != first}, folder / file, {"format": "pt"})
    assert f"lacks 1 weights, first {first}" in refusal(load, folder)


def test_weights_of_another_shape_are_refused(copied: Callable):
    folder = copied("encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    assert "encoder" in refusal(load_encoder, folder)


def test_a_damaged_weights_file_is_refused(copied: Callable):
    folder = copied("encoder")
    (folder / "model.safetensors").write_bytes(b"damaged beyond repair")
    assert "cannot be loaded" in refusal(load_encoder, folder)


def test_pickled_weights_are_not_read(copied: Callable):
    folder = copied("encoder")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "cannot be loaded" in refusal(load_encoder, folder)


def test_a_missing_tokenizer_is_refused(tmp_path: Path):
    assert "tokenizer" in refusal(load_tokenizer, tmp_path)
