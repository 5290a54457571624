"""Single files become folders; they are made here from tiny models by undoing what diffusers' loader does."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel

from clavilux.export.checkpoints.load import Sources, load_text_encoder, load_unet, load_vae
from clavilux.export.checkpoints.locate import read_config
from clavilux.export.checkpoints.single_file import open_single_file, unpack_single_file, unpack_single_files
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import use_cache, write_cache
from tests.export.checkpoints.originals import original_clip, original_open_clip, original_unet, original_vae, prefixed
from tests.tiny import WIDTH, write_unet

LEVELS = 2  # of the autoencoder
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline with an AutoencoderKL, of which single files are made."""
    folder = Path(shutil.copytree(tiny_checkpoints / "pipeline", tmp_path_factory.mktemp("single") / "pipeline"))
    shutil.rmtree(folder / "vae")
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * LEVELS,
        up_block_types=("UpDecoderBlock2D",) * LEVELS,
        norm_num_groups=4,
    )
    vae.eval().save_pretrained(folder / "vae")
    return folder


def weights(pipeline: Path, part: str) -> dict[str, Tensor]:
    kind = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}[part]
    return dict(kind.from_pretrained(pipeline / part).state_dict())


def whole(pipeline: Path) -> dict[str, Tensor]:
    """A file of the SD 2.x kind, with what such files hold besides."""
    return (
        prefixed(UNET, original_unet(weights(pipeline, "unet")))
        | prefixed(VAE, original_vae(weights(pipeline, "vae"), LEVELS))
        | prefixed(TEXT, original_open_clip(weights(pipeline, "text_encoder")))
        | {"betas": torch.zeros(4), "model_ema.decay": torch.zeros(1)}
    )


@pytest.fixture(scope="module")
def file(pipeline: Path) -> Path:
    """The whole pipeline in one file. Read only."""
    save_file(whole(pipeline), pipeline.parent / "model.safetensors")
    return pipeline.parent / "model.safetensors"


def write(path: Path, state: dict[str, Tensor]) -> Path:
    save_file(state, path)
    return path


def unpack(file: Path, out: Path, config: Path | str | None, role: str = "unet") -> Path:
    return unpack_single_file(open_single_file(file, role), out, role, config)


def refusal(call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(ExportError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_same(found: torch.nn.Module, expected: dict[str, Tensor]) -> None:
    state = found.state_dict()
    assert state.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(state[name], weight), name


def test_a_whole_pipeline_becomes_folders_with_the_same_weights(pipeline: Path, file: Path, tmp_path: Path):
    given = replace(Sources.from_pipeline("me/encoder", str(file)), single_file_config=pipeline)
    sources = unpack_single_files(given, tmp_path)
    assert_same(load_unet(sources.unet), weights(pipeline, "unet"))
    assert_same(load_vae(sources.vae, "AutoencoderKL"), weights(pipeline, "vae"))
    assert_same(load_text_encoder(sources.text_encoder), weights(pipeline, "text_encoder"))


def test_parts_of_one_file_lie_beside_each_other_and_those_of_another_do_not(
    pipeline: Path, file: Path, tmp_path: Path
):
    """So that only an autoencoder of the UNet's own file counts as the one that it was trained with."""
    given = replace(Sources.from_pipeline("me/encoder", file), single_file_config=pipeline)
    sources = unpack_single_files(given, tmp_path / "one")
    assert (sources.pipeline(), sources.vae.name) == (sources.vae.parent, "vae")
    copy = shutil.copy(file, tmp_path / "other.safetensors")
    sources = unpack_single_files(replace(given, vae=copy), tmp_path / "two")
    assert sources.pipeline() != sources.vae.parent


def test_scheduler_and_tokenizer_are_those_of_the_configuration(pipeline: Path, file: Path, tmp_path: Path):
    given = replace(Sources.from_pipeline("me/encoder", file), single_file_config=pipeline)
    sources = unpack_single_files(given, tmp_path)
    assert (sources.scheduler, sources.tokenizer) == (pipeline / "scheduler", pipeline / "tokenizer")
    assert sources.encoder == "me/encoder"


def test_folders_stay_where_they_are(tiny_checkpoints: Path, tmp_path: Path):
    sources = Sources.from_pipeline("me/encoder", tiny_checkpoints / "pipeline")
    assert unpack_single_files(sources, tmp_path) is sources


def test_each_step_is_reported(pipeline: Path, file: Path, tmp_path: Path):
    said: list[str] = []
    given = replace(Sources.from_pipeline("me/encoder", pipeline), unet=file, single_file_config=pipeline)
    unpack_single_files(given, tmp_path, said.append)
    assert said == ["unet: unpacking model.safetensors"]


def test_without_weights_the_folders_hold_configurations_alone(pipeline: Path, file: Path, tmp_path: Path):
    said: list[str] = []
    given = replace(Sources.from_pipeline("me/encoder", file), single_file_config=pipeline)
    sources = unpack_single_files(given, tmp_path, said.append, weights=False)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"config.json"}
    assert read_config(sources.unet, "unet") == read_config(pipeline / "unet", "unet")
    assert said == []


def test_the_unpacked_unet_paints_the_same(pipeline: Path, file: Path, tmp_path: Path):
    sample, tokens = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 32)
    unets = [load_unet(folder) for folder in (pipeline / "unet", unpack(file, tmp_path / "unet", pipeline))]
    with torch.inference_mode():
        expected, found = (unet(sample, 999, tokens, return_dict=False)[0] for unet in unets)
    assert torch.equal(found, expected)


def test_the_text_encoder_of_sd_1_is_read(pipeline: Path, tmp_path: Path):
    state = prefixed(TEXT, original_clip(weights(pipeline, "text_encoder")))
    file = write(tmp_path / "old.safetensors", state)
    assert_same(
        load_text_encoder(unpack(file, tmp_path / "out", pipeline, "text_encoder")), weights(pipeline, "text_encoder")
    )


def test_a_unet_alone_needs_no_prefix(pipeline: Path, tmp_path: Path):
    file = write(tmp_path / "unet.safetensors", prefixed("", original_unet(weights(pipeline, "unet"))))
    assert_same(load_unet(unpack(file, tmp_path / "out", pipeline)), weights(pipeline, "unet"))


def test_a_vae_alone_needs_no_prefix(pipeline: Path, tmp_path: Path):
    file = write(tmp_path / "vae.safetensors", prefixed("", original_vae(weights(pipeline, "vae"), LEVELS)))
    assert_same(load_vae(unpack(file, tmp_path / "out", pipeline, "vae"), "AutoencoderKL"), weights(pipeline, "vae"))


def test_a_file_in_diffusers_own_names_is_taken_as_it_is(pipeline: Path, tmp_path: Path):
    file = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    assert_same(load_unet(unpack(file, tmp_path / "out", pipeline)), weights(pipeline, "unet"))


def test_the_configuration_may_be_the_parts_own_folder(pipeline: Path, file: Path, tmp_path: Path):
    assert_same(load_unet(unpack(file, tmp_path / "out", pipeline / "unet")), weights(pipeline, "unet"))


@pytest.mark.parametrize(
    ("role", "kind"),
    [("unet", torch.float16), ("text_encoder", torch.bfloat16), ("unet", torch.float8_e4m3fn)],
)
def test_weights_keep_the_type_they_are_stored_in(pipeline: Path, tmp_path: Path, role: str, kind: torch.dtype):
    half = {name: weight.to(kind) for name, weight in whole(pipeline).items()}
    out = unpack(write(tmp_path / "half.safetensors", half), tmp_path / "out", pipeline, role)
    stored = load_file(next(out.glob("*.safetensors")))
    assert {weight.dtype for weight in stored.values()} == {kind}


@pytest.fixture
def wide(pipeline: Path, tmp_path: Path) -> Path:
    """A file with a UNet that takes tokens 1024 wide, as those of SD 2.x, beside the folder it was made of."""
    write_unet(tmp_path / "wide" / "unet", cross_attention_dim=1024)
    shutil.copytree(pipeline / "scheduler", tmp_path / "wide" / "scheduler")
    state = original_unet(weights(tmp_path / "wide", "unet"))
    return write(tmp_path / "wide.safetensors", prefixed(UNET, state))


def test_without_configuration_it_is_that_of_the_pipeline_that_diffusers_takes_it_for(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_cache(use_cache(tmp_path / "hub", monkeypatch), "stabilityai/stable-diffusion-2-1", tmp_path / "wide")
    said: list[str] = []
    sources = Sources(encoder="me/encoder", unet=wide, scheduler=wide, vae="me/vae")
    unpacked = unpack_single_files(sources, tmp_path / "out", said.append)
    assert_same(load_unet(unpacked.unet), weights(tmp_path / "wide", "unet"))
    assert unpacked.scheduler == "stabilityai/stable-diffusion-2-1/scheduler"
    assert said == ["unet: unpacking wide.safetensors"]
    assert unpacked.notes == (
        "scheduler: stabilityai/stable-diffusion-2-1/scheduler, which predicts v; for sd-turbo or 2-1-base name theirs",
    )


def test_a_unet_in_diffusers_names_is_known_by_its_width(wide: Path, tmp_path: Path):
    assert open_single_file(wide, "unet").family == "v2"
    own = tmp_path / "wide" / "unet" / "diffusion_pytorch_model.safetensors"
    assert open_single_file(own, "unet").family == "v2"


def test_without_configuration_and_network_one_is_asked_for(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    use_cache(tmp_path / "hub", monkeypatch)
    message = refusal(unpack, file, tmp_path / "out", None)
    assert "comes without a configuration, and stable-diffusion-v1-5/stable-diffusion-v1-5 cannot be had" in message
    assert "give --config FOLDER" in message


def test_a_file_on_the_hub_is_named_by_its_path_there(
    pipeline: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "repository").mkdir()
    shutil.copy(file, tmp_path / "repository")
    write_cache(use_cache(tmp_path / "hub", monkeypatch), "me/models", tmp_path / "repository")
    opened = open_single_file("me/models/model.safetensors", "unet")
    assert opened.path.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "where", ["./not/here.safetensors", "/not/here.safetensors", "here.safetensors", Path("a/b/c.ckpt")]
)
def test_a_missing_file_is_said_to_be_missing(where: Path | str):
    assert "does not exist; expected a file, or owner/repository/file on the hub" in refusal(
        open_single_file, where, "unet"
    )


def test_a_lora_is_no_checkpoint(tmp_path: Path):
    file = write(tmp_path / "lora.safetensors", {"lora_unet_mid_block.lora_down.weight": torch.zeros(1)})
    assert "is a LoRA; expected a checkpoint: give it with --lora" in refusal(open_single_file, file, "unet")


def test_an_sdxl_checkpoint_is_refused_by_name(tmp_path: Path):
    file = write(tmp_path / "xl.safetensors", {"conditioner.embedders.0.transformer.weight": torch.zeros(1)})
    assert "is a checkpoint of the kind SDXL; expected SD 1.x or 2.x" in refusal(open_single_file, file, "unet")


def test_an_inpainting_checkpoint_is_refused_by_name(tmp_path: Path):
    file = write(tmp_path / "in.safetensors", {f"{UNET}input_blocks.0.0.weight": torch.zeros(8, 9, 3, 3)})
    assert "of the kind inpainting" in refusal(open_single_file, file, "unet")


def test_a_file_that_was_cut_off_is_refused(file: Path, tmp_path: Path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    size = file.stat().st_size
    assert f"cut.safetensors is cut off; found {size - 100} bytes, expected {size}" in refusal(
        open_single_file, cut, "unet"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a safetensors file, or its header is cut off"),
        (b"<html>not a model at all</html>", "is not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "is a git-lfs pointer; run `git lfs pull`"),
        (b"PK\x03\x04 and more", "is a pickle; expected safetensors; with --allow-pickle pickles are read too"),
        (b"\x80\x02 and more", "is a pickle"),
        (b"\x08\0\0\0\0\0\0\0[1,2,3] ", "is not a safetensors file"),
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, data: bytes, message: str):
    (tmp_path / "model.safetensors").write_bytes(data)
    assert message in refusal(open_single_file, tmp_path / "model.safetensors", "unet")


def test_a_pickle_is_read_when_it_is_allowed(pipeline: Path, tmp_path: Path):
    torch.save({"state_dict": whole(pipeline), "epoch": 3}, tmp_path / "model.ckpt")
    opened = open_single_file(tmp_path / "model.ckpt", "unet", allow_pickle=True)
    assert_same(load_unet(unpack_single_file(opened, tmp_path / "out", "unet", pipeline)), weights(pipeline, "unet"))


def test_a_pickle_that_holds_more_than_tensors_is_refused_even_then(tmp_path: Path):
    torch.save({"state_dict": {}, "callback": shutil.rmtree}, tmp_path / "model.ckpt")
    message = refusal(lambda: open_single_file(tmp_path / "model.ckpt", "unet", allow_pickle=True))
    assert "model.ckpt holds more than tensors, which is not unpickled" in message


@pytest.mark.parametrize(("role", "called"), [("unet", "unet"), ("text_encoder", "text encoder")])
def test_a_part_that_the_file_lacks_is_named(pipeline: Path, tmp_path: Path, role: str, called: str):
    file = write(tmp_path / "vae.safetensors", prefixed(VAE, original_vae(weights(pipeline, "vae"), LEVELS)))
    message = refusal(unpack, file, tmp_path / "out", pipeline, role)
    assert f"holds no {called}; expected one, or a folder with --{role.replace('_', '-')}" in message


def test_a_taesd_in_one_file_is_refused_by_name(pipeline: Path, tmp_path: Path):
    file = write(tmp_path / "taesd.safetensors", {"decoder.layers.0.weight": torch.zeros(1)})
    assert "is a TAESD; expected its folder, or a hub name" in refusal(unpack, file, tmp_path / "o", pipeline, "vae")


@pytest.mark.parametrize("role", ["unet", "vae", "text_encoder"])
def test_weights_that_the_file_lacks_are_an_error_not_random(pipeline: Path, tmp_path: Path, role: str):
    state = whole(pipeline)
    names = {
        "unet": f"{UNET}out.2.weight",
        "vae": f"{VAE}decoder.conv_in.weight",
        "text_encoder": f"{TEXT}model.ln_final.bias",
    }
    del state[names[role]]
    file = write(tmp_path / "less.safetensors", state)
    assert "; does --config fit the file?" in refusal(unpack, file, tmp_path / "out", pipeline, role)


def test_a_configuration_of_another_width_is_refused(pipeline: Path, wide: Path, tmp_path: Path):
    message = refusal(unpack, wide, tmp_path / "out", pipeline)
    assert "expected shape torch.Size([16, 32]), but got torch.Size([16, 1024])" in message
    assert message.endswith(".")


def test_a_configuration_of_another_class_is_refused(tiny_checkpoints: Path, file: Path, tmp_path: Path):
    message = refusal(unpack, file, tmp_path / "out", tiny_checkpoints / "pipeline", "vae")
    assert "its configuration is of a AutoencoderTiny; expected AutoencoderKL" in message


def test_a_configuration_that_is_not_there_is_named(file: Path, tmp_path: Path):
    assert "has no unet/config.json; expected the configuration of" in refusal(unpack, file, tmp_path / "out", tmp_path)


def test_a_spoiled_configuration_is_one_line(file: Path, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"down_block_types": ["NoSuchBlock"]}))
    assert "cannot be loaded" in refusal(unpack, file, tmp_path / "out", tmp_path)


def test_without_accelerate_one_line_says_how_to_get_it(
    pipeline: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("clavilux.export.checkpoints.single_file.find_spec", lambda _: None)
    assert "pip install 'clavilux[export]'" in refusal(unpack, file, tmp_path / "out", pipeline)


def told_by(file: Path, pipeline: Path, out: Path) -> Sources:
    given = replace(Sources.from_pipeline("me/encoder", pipeline), unet=file, single_file_config=pipeline)
    return unpack_single_files(given, out)


def test_a_file_without_marks_tells_nothing_of_its_scheduler(pipeline: Path, file: Path, tmp_path: Path):
    assert told_by(file, pipeline, tmp_path).told == {}


@pytest.mark.parametrize(
    ("marks", "metadata", "told"),
    [
        (["v_pred"], {}, {"prediction_type": "v_prediction"}),
        (["v_pred", "ztsnr"], {}, {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}),
        ([], {"modelspec.prediction_type": "v"}, {"prediction_type": "v_prediction"}),
        ([], {"modelspec.prediction_type": "epsilon"}, {"prediction_type": "epsilon"}),
    ],
)
def test_the_marks_of_a_file_tell_which_scheduler_it_was_trained_with(
    pipeline: Path, tmp_path: Path, marks: list[str], metadata: dict[str, str], told: dict[str, object]
):
    save_file(whole(pipeline) | dict.fromkeys(marks, torch.zeros(0)), tmp_path / "v.safetensors", metadata)
    assert told_by(tmp_path / "v.safetensors", pipeline, tmp_path / "out").told == told


def test_of_plain_and_averaged_weights_the_plain_ones_are_taken_and_that_is_said(pipeline: Path, tmp_path: Path):
    state = whole(pipeline)
    averaged = {
        f"model_ema.diffusion_model{name.removeprefix(UNET).replace('.', '')}": torch.zeros_like(one)
        for name, one in state.items()
        if name.startswith(UNET)
    }
    file = write(tmp_path / "ema.safetensors", state | averaged)
    sources = told_by(file, pipeline, tmp_path / "out")
    assert_same(load_unet(sources.unet), weights(pipeline, "unet"))
    assert sources.notes == (f"unet {file} holds averaged weights (EMA) beside the plain ones, which are taken",)


def test_the_text_encoder_of_an_old_merge_is_taken(pipeline: Path, tmp_path: Path):
    """Those of the first year lack `text_model` in their names, and number positions with halves."""
    state = {
        name.replace("text_model.", ""): one
        for name, one in prefixed(TEXT, original_clip(weights(pipeline, "text_encoder"))).items()
    }
    state[f"{TEXT}transformer.embeddings.position_ids"] = torch.arange(77, dtype=torch.float16)[None] - 0.5
    file = write(tmp_path / "merge.safetensors", prefixed(UNET, original_unet(weights(pipeline, "unet"))) | state)
    unpacked = unpack(file, tmp_path / "out", pipeline, "text_encoder")
    assert_same(load_text_encoder(unpacked), weights(pipeline, "text_encoder"))


@pytest.mark.parametrize("projected", [False, True])
def test_an_open_clip_with_or_without_its_projection_is_taken(pipeline: Path, tmp_path: Path, projected: bool):
    """Merges lose `text_projection`, which pictures do not need."""
    state = prefixed(TEXT, original_open_clip(weights(pipeline, "text_encoder")))
    if projected:
        state[f"{TEXT}model.text_projection"] = torch.eye(WIDTH)
    file = write(tmp_path / "words.safetensors", prefixed(UNET, original_unet(weights(pipeline, "unet"))) | state)
    unpacked = unpack(file, tmp_path / "out", pipeline, "text_encoder")
    assert_same(load_text_encoder(unpacked), weights(pipeline, "text_encoder"))
