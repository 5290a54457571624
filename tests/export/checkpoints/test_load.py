"""Finding and loading checkpoints."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from clavilux.export.checkpoints.load import (
    Lora,
    Sources,
    load_encoder,
    load_text_encoder,
    load_tokenizer,
    load_unet,
    load_vae,
)
from clavilux.export.checkpoints.locate import origin, place, read_config
from clavilux.export.checkpoints.weights import stored_weights, weights_bytes
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import use_cache
from tests.tiny import WIDTH, write_encoder


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


@pytest.mark.parametrize(
    ("unet", "pipeline"),
    [
        ("stabilityai/sd-turbo/unet", "stabilityai/sd-turbo"),
        ("me/models/fast/unet", "me/models/fast"),
        ("/models/sd/unet/", "/models/sd"),
        (Path("/models/sd/unet"), Path("/models/sd")),
        ("me/unet", None),
        ("me/sd/fast-unet", None),
        ("model.safetensors", None),
    ],
)
def test_a_unet_is_part_of_the_pipeline_that_it_lies_in(unet: Path | str, pipeline: Path | str | None):
    assert Sources("me/encoder", unet, "me/scheduler", "me/any").pipeline() == pipeline


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


def test_a_folder_without_configuration_is_refused(tmp_path: Path):
    assert "has no config.json" in refusal(read_config, tmp_path, "encoder")


@pytest.mark.parametrize(("text", "message"), [("[1]", "is not a JSON object"), ("{", "config.json is not JSON")])
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
    assert "model.safetensors is not a safetensors file" in refusal(load_encoder, folder)


def test_weights_whose_download_broke_off_are_refused(copied: Callable):
    file = copied("pipeline/unet") / "diffusion_pytorch_model.safetensors"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: size // 2])
    assert f"is cut off; found {size // 2} bytes, expected {size}" in refusal(load_unet, file.parent)


def test_a_folder_without_weights_is_refused(copied: Callable):
    folder = copied("encoder")
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors; expected safetensors" in refusal(load_encoder, folder)


def pickled(folder: Path, file: str) -> Path:
    """Turn the safetensors `file` of `folder` into the pickle that the libraries would have written."""
    names = {"model.safetensors": "pytorch_model.bin"}
    torch.save(load_file(folder / file), folder / names.get(file, file.replace(".safetensors", ".bin")))
    (folder / file).unlink()
    return folder


PARTS = [
    (load_encoder, "encoder", "model.safetensors"),
    (load_unet, "pipeline/unet", "diffusion_pytorch_model.safetensors"),
]


@pytest.mark.parametrize(("load", "part", "file"), PARTS)
def test_pickled_weights_are_read_only_when_it_is_allowed(
    copied: Callable, tiny_checkpoints: Path, load: Callable, part: str, file: str
):
    folder = pickled(copied(part), file)
    assert "has only pickled weights (" in refusal(load, folder)
    assert "; expected safetensors; with --allow-pickle pickles are read too" in refusal(load, folder)
    assert_same(load(folder, allow_pickle=True), load(tiny_checkpoints / part))


@pytest.mark.parametrize(("load", "part", "file"), PARTS)
def test_a_pickle_that_holds_more_than_tensors_is_never_read(copied: Callable, load: Callable, part: str, file: str):
    folder = pickled(copied(part), file)
    torch.save({"callback": shutil.rmtree}, next(folder.glob("*.bin")))
    assert load.__name__.removeprefix("load_") in refusal(lambda: load(folder, allow_pickle=True))


def test_safetensors_are_preferred_to_pickles(copied: Callable):
    folder = copied("encoder")
    (folder / "pytorch_model.bin").write_bytes(b"never looked at")
    assert load_encoder(folder, allow_pickle=True)


def assert_same(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    state = found.state_dict()
    for name, weight in expected.state_dict().items():
        assert torch.equal(state[name], weight), name


@pytest.mark.parametrize(("load", "part", "file"), PARTS)
def test_a_half_precision_variant_is_taken_when_there_is_nothing_else(
    copied: Callable, load: Callable, part: str, file: str
):
    folder = copied(part)
    half = {name: weight.half() for name, weight in load_file(folder / file).items()}
    (folder / file).unlink()
    variant = file.replace(".safetensors", ".fp16.safetensors")
    save_file(half, folder / variant, {"format": "pt"})
    said: list[str] = []
    model = load(folder, report=said.append)
    assert model.dtype == torch.float32
    name = sorted(half)[0]
    assert torch.equal(model.state_dict()[name], half[name].float())
    assert said == [f"{part.split('/')[-1]} {folder} has no weights in full precision; {variant} is taken"]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize(("load", "part", "file"), PARTS)
def test_weights_of_fewer_bits_are_widened_as_they_are(
    copied: Callable, load: Callable, part: str, file: str, kind: torch.dtype
):
    folder = copied(part)
    narrow = {name: weight.to(kind) for name, weight in load_file(folder / file).items()}
    save_file(narrow, folder / file, {"format": "pt"})
    model = load(folder)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    for name, weight in narrow.items():
        assert torch.equal(model.state_dict()[name], weight.float()), name


def test_full_precision_is_preferred_to_a_variant(copied: Callable):
    folder = copied("encoder")
    (folder / "model.fp16.safetensors").write_bytes(b"never looked at")
    said: list[str] = []
    load_encoder(folder, report=said.append)
    assert said == []


def with_variant(folder: Path, variant: str) -> torch.nn.Module:
    """Put weights of other values, called `variant`, beside a UNet's plain ones; return the UNet that has them."""
    unet = load_unet(folder)
    with torch.no_grad():
        unet.conv_in.bias.add_(1.0)
    unet.save_pretrained(folder, variant=variant)
    return unet


@pytest.mark.parametrize("variant", ["fp16", "ema"])
def test_a_variant_that_is_asked_for_is_taken_before_full_precision(copied: Callable, variant: str):
    folder = copied("pipeline/unet")
    expected = with_variant(folder, variant)
    said: list[str] = []
    assert_same(load_unet(folder, variant=variant, report=said.append), expected)
    assert said == []
    assert not torch.equal(load_unet(folder).conv_in.bias, expected.conv_in.bias)


def test_where_there_is_no_such_variant_it_is_said_what_is_taken(copied: Callable):
    folder, said = copied("pipeline/unet"), []
    load_unet(folder, variant="fp16", report=said.append)
    assert said == [f"unet {folder} has no variant fp16; diffusion_pytorch_model.safetensors is taken"]


def test_weights_are_told_without_reading_them(copied: Callable):
    folder = copied("pipeline/unet")
    plain = stored_weights(folder, "unet")
    with_variant(folder, "fp16")
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    file = "diffusion_pytorch_model.{}safetensors"
    found = [stored_weights(folder, "unet", variant=variant) for variant in ("", "fp16")]
    assert [(one.file, one.of) for one in found] == [(file.format(""), 2), (file.format("fp16."), 2)]
    assert stored_weights(folder, "unet", allow_pickle=True).of == 3
    assert plain.parameters == pytest.approx(sum(one.numel() for one in load_unet(folder).parameters()), rel=0.1)


@pytest.mark.parametrize(("variant", "index"), [(None, ""), ("fp16", "fp16.")])
def test_shards_are_told_as_one(tiny_checkpoints: Path, tmp_path: Path, variant: str | None, index: str):
    whole = load_unet(tiny_checkpoints / "pipeline" / "unet")
    whole.save_pretrained(tmp_path, max_shard_size="50KB", variant=variant)
    found = stored_weights(tmp_path, "unet")
    assert found.file == f"diffusion_pytorch_model.safetensors.index.{index}json"
    assert found.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_a_header_tells_how_many_weights_there_are(copied: Callable, kind: str):
    folder = copied("encoder")
    file = folder / "model.safetensors"
    weights = {name: value.to(getattr(torch, kind)) for name, value in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
    count = sum(value.numel() for value in weights.values())
    assert stored_weights(folder, "encoder").parameters == pytest.approx(count, rel=0.1)


def test_no_weights_are_none(tmp_path: Path):
    assert stored_weights(tmp_path, "unet") is None


@pytest.mark.parametrize(("load", "part", "file"), PARTS)
def test_shards_are_put_together(tiny_checkpoints: Path, tmp_path: Path, load: Callable, part: str, file: str):
    whole = load(tiny_checkpoints / part)
    whole.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*-of-*.safetensors"))) > 1
    assert_same(load(tmp_path), whole)
    role = part.split("/")[-1]
    assert weights_bytes(tmp_path, role) == sum(one.stat().st_size for one in tmp_path.glob("*-of-*"))


def test_a_missing_shard_is_named(tiny_checkpoints: Path, tmp_path: Path):
    load_unet(tiny_checkpoints / "pipeline" / "unet").save_pretrained(tmp_path, max_shard_size="50KB")
    shards = sorted(tmp_path.glob("*-of-*.safetensors"))
    shards[1].unlink()
    assert f"lacks {shards[1].name}, one of {len(shards)} shards" in refusal(load_unet, tmp_path)


def test_an_adapter_may_have_any_depth(tmp_path: Path):
    write_encoder(tmp_path, num_adapter_layers=1)
    with torch.inference_mode():
        tokens = load_encoder(tmp_path)(input_features=torch.zeros(1, 153, 160)).last_hidden_state
    assert tokens.shape == (1, 77, WIDTH)


def test_the_attention_of_an_autoencoder_may_have_its_first_names(tmp_path: Path):
    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4).eval()
    vae.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    first = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {re.sub("|".join(first), lambda found: first[found[0]], name): one for name, one in load_file(file).items()}
    save_file(state, file, {"format": "pt"})
    assert "encoder.mid_block.attentions.0.query.weight" in state
    assert_same(load_vae(tmp_path, "AutoencoderKL"), vae)


def test_the_text_encoder_may_have_the_names_and_leftovers_of_published_files(copied: Callable, tiny_checkpoints: Path):
    folder = copied("pipeline/text_encoder")
    plain = {name.removeprefix("text_model."): one for name, one in load_file(folder / "model.safetensors").items()}
    published = {f"text_model.{name}": one for name, one in plain.items()}
    published["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(published, folder / "model.safetensors", {"format": "pt"})
    assert_same(load_text_encoder(folder), load_text_encoder(tiny_checkpoints / "pipeline" / "text_encoder"))


def test_a_missing_tokenizer_is_refused(tmp_path: Path):
    expected = f"tokenizer {tmp_path} has no vocabulary; expected tokenizer.json, or vocab.json and merges.txt"
    assert refusal(load_tokenizer, tmp_path) == expected


def test_a_spoiled_tokenizer_is_one_line(copied: Callable):
    folder = copied("pipeline/tokenizer")
    (folder / "vocab.json").write_text("{")
    assert "tokenizer" in refusal(load_tokenizer, folder)


def test_weights_are_weighed_as_they_are_stored(tiny_checkpoints: Path):
    unet = tiny_checkpoints / "pipeline" / "unet"
    file = unet / "diffusion_pytorch_model.safetensors"
    assert weights_bytes(unet, "unet") == file.stat().st_size
    assert weights_bytes(file, "unet") == file.stat().st_size
    assert weights_bytes(tiny_checkpoints / "pipeline" / "text_encoder", "text_encoder") > 0


@pytest.mark.parametrize(
    ("where", "role"),
    [("/not/here", "unet"), ("me/unet", "unet"), ("me/model.safetensors", "unet"), (".", "scheduler")],
)
def test_unknown_weights_weigh_nothing(where: str, role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use_cache(tmp_path / "hub", monkeypatch)
    assert weights_bytes(where, role) == 0


def test_the_places_that_are_given_are_named_by_role():
    sources = Sources("me/encoder", "me/unet", "me/scheduler", "me/vae", lora=(Lora("me/lcm"), Lora("me/style", 0.5)))
    assert sources.checkpoints() == {
        "encoder": "me/encoder",
        "unet": "me/unet",
        "scheduler": "me/scheduler",
        "vae": "me/vae",
        "lora": "me/lcm",
        "lora 2": "me/style",
    }


def test_a_single_file_stands_for_all_parts_of_a_pipeline(tmp_path: Path):
    (tmp_path / "model.safetensors").touch()
    sources = Sources.from_pipeline("me/encoder", tmp_path / "model.safetensors")
    assert {sources.unet, sources.vae, sources.scheduler, sources.text_encoder, sources.tokenizer} == {
        tmp_path / "model.safetensors"
    }
