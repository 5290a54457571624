"""LoRAs fused into a UNet, against the same UNet with PEFT's own layers, in each of the formats that are published."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from clavilux.export.checkpoints.load import Lora, empty_unet, load_unet
from clavilux.export.checkpoints.lora import check_loras, fuse_loras
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import use_cache, write_cache
from tests.export.checkpoints.originals import original_unet
from tests.tiny import WIDTH, write_unet

RANK, ALPHA = 4, 2.0
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.0.proj", "conv1", "time_emb_proj"]
RANKS = {"conv1": 2, "time_emb_proj": 3}  # those of some layers differ, as in many published files
SCALE = 0.7


@pytest.fixture(scope="module")
def adapted(tiny_checkpoints: Path) -> UNet2DConditionModel:
    """The tiny UNet with layers of an adapter beside its own, random and not fused: alpha / rank is not 1."""
    torch.manual_seed(0)
    unet = load_unet(tiny_checkpoints / "pipeline" / "unet")
    alphas = dict.fromkeys(RANKS, ALPHA)
    config = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=TARGETS,
        rank_pattern=RANKS,
        alpha_pattern=alphas,
        init_lora_weights=False,
    )
    unet.add_adapter(config, "default")
    return unet.eval()


@pytest.fixture(scope="module")
def changes(adapted: UNet2DConditionModel) -> dict[str, Tensor]:
    """The adapter's matrices, in PEFT's names."""
    return {name: weight.contiguous() for name, weight in get_peft_model_state_dict(adapted).items()}


@pytest.fixture
def unet(tiny_checkpoints: Path) -> UNet2DConditionModel:
    return load_unet(tiny_checkpoints / "pipeline" / "unet")


def paint(unet: UNet2DConditionModel) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(1, 4, 8, 8, generator=generator)
    tokens = torch.randn(1, 3, WIDTH, generator=generator)
    with torch.inference_mode():
        return unet(sample, 999, tokens, return_dict=False)[0]


def expected(adapted: UNet2DConditionModel, scale: float) -> Tensor:
    """Output of the UNet with its adapter beside it at `scale`, by PEFT."""
    adapted.set_adapters("default", scale)
    return paint(adapted)


def kohya(changes: dict[str, Tensor], called: Callable[[str], str] = str) -> dict[str, Tensor]:
    """The same in the names of kohya's trainers, with a scalar alpha for each layer; `called` is what they call it."""
    renamed = {}
    for name, weight in changes.items():
        layer, _, rest = name.partition(".lora_")
        key = f"lora_unet_{called(layer).replace('.', '_')}"
        renamed[f"{key}.lora_{'down' if rest.startswith('A') else 'up'}.weight"] = weight.clone()
        renamed[f"{key}.alpha"] = torch.tensor(ALPHA)
    return renamed


def scaled(changes: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with alpha / rank multiplied in, for the formats that know no alpha."""
    return {
        name: weight * ALPHA / weight.shape[1] if ".lora_B." in name else weight.clone()
        for name, weight in changes.items()
    }


def in_diffusers_first_names(changes: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, weight in scaled(changes).items():
        old = name.replace("lora_A", "lora.down").replace("lora_B", "lora.up")
        for letter in ("q", "k", "v", "out.0"):
            short = letter.partition(".")[0]
            old = old.replace(f".to_{letter}.lora.", f".processor.to_{short}_lora.")
        renamed[f"unet.{old}"] = weight
    return renamed


def in_diffusers_names(changes: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"unet.{name}": weight for name, weight in scaled(changes).items()}


def without_prefix(changes: dict[str, Tensor]) -> dict[str, Tensor]:
    return scaled(changes)


FORMATS: list[Callable[[dict[str, Tensor]], dict[str, Tensor]]] = [
    kohya,
    in_diffusers_first_names,
    in_diffusers_names,
    without_prefix,
]


def write(path: Path, state: dict[str, Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


def refusal(unet: UNet2DConditionModel, where: Path | str, **how: bool) -> str:
    with pytest.raises(ExportError) as caught:
        fuse_loras(unet, (Lora(where),), **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_plain(unet: UNet2DConditionModel, folder: Path) -> None:
    """Nothing of an adapter is left: layers, names and settings are those of the checkpoint."""
    assert [type(one) for one in unet.modules()] == [type(one) for one in load_unet(folder).modules()]
    assert unet.state_dict().keys() == load_unet(folder).state_dict().keys()
    assert not hasattr(unet, "peft_config")
    assert not any(weight.requires_grad for weight in unet.parameters())


@pytest.mark.parametrize("write_as", FORMATS)
@pytest.mark.parametrize("scale", [1.0, SCALE, -0.5])
def test_a_fused_unet_paints_as_one_with_the_adapter_beside_it(
    unet: UNet2DConditionModel,
    adapted: UNet2DConditionModel,
    changes: dict[str, Tensor],
    tmp_path: Path,
    write_as: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    scale: float,
):
    file = write(tmp_path / "lora.safetensors", write_as(changes))
    before = paint(unet)
    found = paint(fuse_loras(unet, (Lora(file, scale),)))
    torch.testing.assert_close(found, expected(adapted, scale), rtol=1e-4, atol=1e-4)
    assert (found - before).abs().max() > 0.1


def test_a_fused_unet_is_a_plain_one(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tiny_checkpoints: Path, tmp_path: Path
):
    fused = fuse_loras(unet, (Lora(write(tmp_path / "lora.safetensors", kohya(changes))),))
    assert_plain(fused, tiny_checkpoints / "pipeline" / "unet")


def test_what_diffusers_itself_saves_is_read_with_its_alphas(
    unet: UNet2DConditionModel, adapted: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    metadata = adapted.peft_config["default"].to_dict()
    StableDiffusionPipeline.save_lora_weights(tmp_path, dict(changes), unet_lora_adapter_metadata=metadata)
    found = paint(fuse_loras(unet, (Lora(tmp_path, SCALE),)))
    torch.testing.assert_close(found, expected(adapted, SCALE), rtol=1e-4, atol=1e-4)


def test_what_peft_saves_is_read_with_its_alphas(
    unet: UNet2DConditionModel, adapted: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    write(tmp_path / "adapter_model.safetensors", {f"base_model.model.{name}": one for name, one in changes.items()})
    config = adapted.peft_config["default"].to_dict()
    config["target_modules"] = sorted(config["target_modules"])
    (tmp_path / "adapter_config.json").write_text(json.dumps(config, default=str))
    found = paint(fuse_loras(unet, (Lora(tmp_path),)))
    torch.testing.assert_close(found, expected(adapted, 1.0), rtol=1e-4, atol=1e-4)


def test_several_loras_add_up(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path, tiny_checkpoints: Path
):
    lora = write(tmp_path / "lora.safetensors", kohya(changes))
    twice = fuse_loras(unet, (Lora(lora, 0.25), Lora(str(lora), 0.5)))
    once = fuse_loras(load_unet(tiny_checkpoints / "pipeline" / "unet"), (Lora(lora, 0.75),))
    torch.testing.assert_close(paint(twice), paint(once), rtol=1e-4, atol=1e-4)
    assert_plain(twice, tiny_checkpoints / "pipeline" / "unet")


def test_without_loras_the_unet_stays_as_it_is(unet: UNet2DConditionModel):
    before = paint(unet)
    assert torch.equal(paint(fuse_loras(unet, ())), before)


def test_layers_for_the_text_encoder_are_left_out_and_reported(
    unet: UNet2DConditionModel, adapted: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    words = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    extra = {f"{words}.lora_down.weight": torch.ones(2, 8), f"{words}.lora_up.weight": torch.ones(8, 2)}
    extra[f"{words}.alpha"] = torch.tensor(1.0)
    file = write(tmp_path / "lora.safetensors", kohya(changes) | extra)
    said: list[str] = []
    check_loras((Lora(file),), unet, report=said.append)
    found = paint(fuse_loras(unet, (Lora(file),)))
    torch.testing.assert_close(found, expected(adapted, 1.0), rtol=1e-4, atol=1e-4)
    assert said == [f"lora {file}: 1 layers for the text encoder are left out: words that are typed stay as they were"]


def test_layers_that_the_unet_lacks_are_reported(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    strange = {f"unet.no_such_block.0.to_q.lora_{letter}.weight": torch.ones(2, 2) for letter in "AB"}
    file = write(tmp_path / "lora.safetensors", in_diffusers_names(changes) | strange)
    said: list[str] = []
    check_loras((Lora(file),), unet, report=said.append)
    assert "1 of" in said[0]
    assert said[0].endswith("layers are not in the unet, first no_such_block.0.to_q")


def test_a_lora_is_found_by_its_hub_name_its_file_there_and_its_folder(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "lora" / "pytorch_lora_weights.safetensors", kohya(changes))
    write_cache(use_cache(tmp_path / "hub", monkeypatch), "me/lcm-lora", tmp_path / "lora")
    wheres = ("me/lcm-lora", "me/lcm-lora/pytorch_lora_weights.safetensors", tmp_path / "lora")
    before = paint(unet)
    fuse_loras(unet, tuple(Lora(where, 0.0) for where in wheres))
    torch.testing.assert_close(paint(unet), before)


def test_a_folder_with_one_file_of_another_name_needs_no_more(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    write(tmp_path / "style.safetensors", kohya(changes))
    before = paint(unet)
    assert not torch.equal(paint(fuse_loras(unet, (Lora(tmp_path),))), before)


def test_a_folder_with_several_files_wants_one_named(unet: UNet2DConditionModel, tmp_path: Path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.safetensors", {"unet.to_q.lora_A.weight": torch.zeros(1)})
    assert "has 2 safetensors files; expected one: name the file" in refusal(unet, tmp_path)


def test_a_repository_without_the_usual_file_wants_one_named(
    unet: UNet2DConditionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    use_cache(tmp_path / "hub", monkeypatch)
    assert "is not in the hub's cache, and the hub cannot be reached" in refusal(unet, "me/lora")


def test_a_lora_for_another_width_is_refused(unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path):
    wide = {name: torch.zeros(RANK, 768) if "attn2.to_k.lora_A" in name else weight for name, weight in changes.items()}
    message = refusal(unet, write(tmp_path / "lora.safetensors", kohya(wide)))
    assert re.search(
        rf"is for a weight of \[16, 768\], the unet's \S+attn2.to_k has \[16, {WIDTH}\]; expected", message
    )
    assert message.endswith("expected a LoRA for the same family")


def test_a_lora_for_wide_convolutions_does_not_fit_a_linear_layer(unet: UNet2DConditionModel, tmp_path: Path):
    layer = "unet.down_blocks.0.attentions.0.proj_in"
    state = {f"{layer}.lora_A.weight": torch.zeros(2, 16, 3, 3), f"{layer}.lora_B.weight": torch.zeros(16, 2, 1, 1)}
    assert "is for a weight of [16, 16, 3, 3], the unet's down_blocks.0.attentions.0.proj_in has [16, 16]" in refusal(
        unet, write(tmp_path / "lora.safetensors", state)
    )


def test_half_a_pair_is_refused(unet: UNet2DConditionModel, tmp_path: Path):
    state = {"unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": torch.zeros(2, 16)}
    assert "expected two matrices" in refusal(unet, write(tmp_path / "lora.safetensors", state))


def test_a_lora_that_matches_no_layer_is_refused(unet: UNet2DConditionModel, tmp_path: Path):
    state = {f"unet.transformer_blocks.0.to_q.lora_{letter}.weight": torch.ones(2, 2) for letter in "AB"}
    message = refusal(unet, write(tmp_path / "lora.safetensors", state))
    assert "matches no layer of the unet, first transformer_blocks.0.to_q; expected one for its family" in message


def test_a_lora_for_words_alone_is_refused(unet: UNet2DConditionModel, tmp_path: Path):
    state = {f"text_encoder.text_model.layers.0.q_proj.lora_{letter}.weight": torch.ones(2, 2) for letter in "AB"}
    message = refusal(unet, write(tmp_path / "lora.safetensors", state))
    assert message.endswith("changes only a text encoder; sound stands for its words: leave it out")


LAYER = "lora_unet_mid_block_attentions_0_proj_in"
PROJECTION = "lora_unet_down_blocks_0_attentions_0_proj_in"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"{LAYER}.dora_scale", "DoRA"),
        ("base_model.model.mid_block.attentions.0.proj_in.lora_magnitude_vector", "DoRA"),
        (f"{LAYER}.hada_w1_a", "LoHa"),
        (f"{LAYER}.lokr_w1", "LoKr"),
        (f"{LAYER}.oft_blocks", "OFT"),
        (f"{LAYER}.oft_diag", "OFT"),
        ("base_model.model.mid_block.attentions.0.proj_in.oft_R", "OFT"),
        ("base_model.model.mid_block.attentions.0.proj_in.boft_R", "BOFT"),
        ("base_model.model.mid_block.attentions.0.proj_in.ia3_l", "IA3"),
        (f"{LAYER}.on_input", "IA3"),
        (f"{LAYER}.a1.weight", "GLoRA"),
        (f"{LAYER}.lora_mid.weight", "Tucker-decomposed LoRA"),
    ],
)
def test_kinds_that_are_no_plain_lora_are_refused_by_name(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path, name: str, kind: str
):
    file = write(tmp_path / "lora.safetensors", kohya(changes) | {name: torch.zeros(1)})
    assert refusal(unet, file) == (
        f"lora {file} holds {kind} layers, which cannot be fused; expected a plain LoRA: "
        "merge it into its checkpoint with the tool that made it, and give that to --unet"
    )


def test_a_checkpoint_is_no_lora(unet: UNet2DConditionModel, tiny_checkpoints: Path):
    file = tiny_checkpoints / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors"
    assert "holds no LoRA layers; expected a LoRA" in refusal(unet, file)


def test_weights_that_are_no_numbers_are_refused(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    broken = {name: torch.full_like(weight, torch.nan) for name, weight in changes.items()}
    assert "holds values that are no numbers" in refusal(unet, write(tmp_path / "lora.safetensors", kohya(broken)))


def test_a_pickle_is_read_when_it_is_allowed(unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path):
    torch.save(kohya(changes), tmp_path / "lora.bin")
    assert "is a pickle; expected safetensors; with --allow-pickle" in refusal(unet, tmp_path / "lora.bin")
    before = paint(unet)
    assert not torch.equal(paint(fuse_loras(unet, (Lora(tmp_path / "lora.bin"),), allow_pickle=True)), before)


@pytest.fixture(scope="module")
def sd_1_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UNet whose projections are convolutions of one point."""
    folder = tmp_path_factory.mktemp("sd-1") / "unet"
    torch.manual_seed(2)
    write_unet(folder, use_linear_projection=False)
    return folder


@pytest.mark.parametrize("kernel", [(), (1, 1)], ids=["matrices", "convolutions"])
@pytest.mark.parametrize("own", ["linear", "convolutions"])
def test_matrices_and_convolutions_of_one_point_stand_for_each_other(
    tiny_checkpoints: Path, sd_1_folder: Path, tmp_path: Path, own: str, kernel: tuple[int, ...]
):
    """Kohya's trainers write either, for projections of SD 2.x that are linear and of SD 1.x that are not."""
    folder = tiny_checkpoints / "pipeline" / "unet" if own == "linear" else sd_1_folder
    down, up = torch.randn(2, 16, *kernel), torch.randn(16, 2, *kernel)
    state = {f"{PROJECTION}.lora_down.weight": down, f"{PROJECTION}.lora_up.weight": up}
    file = write(tmp_path / "lora.safetensors", state | {f"{PROJECTION}.alpha": torch.tensor(1.0)})
    before = load_unet(folder).down_blocks[0].attentions[0].proj_in.weight
    after = fuse_loras(load_unet(folder), (Lora(file),)).down_blocks[0].attentions[0].proj_in.weight
    torch.testing.assert_close((after - before).reshape(16, 16), 0.5 * up.reshape(16, 2) @ down.reshape(2, 16))


def lora_layers(unet: UNet2DConditionModel) -> list[str]:
    return [name for name, one in unet.named_modules() if isinstance(one, (torch.nn.Linear, torch.nn.Conv2d))]


def test_every_layer_of_a_unet_is_found_by_the_name_that_kohyas_trainers_give_it(
    unet: UNet2DConditionModel, sd_1_folder: Path, tmp_path: Path
):
    for whole in (unet, load_unet(sd_1_folder)):
        state = {}
        for name in lora_layers(whole):
            weight, key = whole.get_submodule(name).weight, f"lora_unet_{name.replace('.', '_')}"
            state[f"{key}.lora_down.weight"] = torch.ones(1, *weight.shape[1:])
            state[f"{key}.lora_up.weight"] = torch.ones(len(weight), 1, *(1,) * (weight.ndim - 2))
        before = {name: whole.get_submodule(name).weight.clone() for name in lora_layers(whole)}
        fuse_loras(whole, (Lora(write(tmp_path / "lora.safetensors", state), 3.0),))
        for name, weight in before.items():
            torch.testing.assert_close(whole.get_submodule(name).weight, weight + 3.0)


def test_the_originals_numbers_of_blocks_are_understood(
    unet: UNet2DConditionModel, adapted: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    """Trainers on the original's own UNet count as it does: attentions 1 of input block 1, and so on."""
    stems = {name.partition(".lora_")[0]: name for name in changes}
    renamed = original_unet({f"{stem}.weight": torch.empty(0) for stem in stems})
    old = {stem: name.removesuffix(".weight") for stem, name in zip(stems, renamed, strict=True)}
    state = kohya(changes, old.__getitem__)
    assert any("input_blocks_1_1_transformer" in key for key in state)
    found = paint(fuse_loras(unet, (Lora(write(tmp_path / "lora.safetensors", state)),)))
    torch.testing.assert_close(found, expected(adapted, 1.0), rtol=1e-4, atol=1e-4)


def test_plain_differences_of_weights_biases_and_norms_are_added(unet: UNet2DConditionModel, tmp_path: Path):
    conv, norm = unet.conv_in, unet.conv_norm_out
    given = {
        "conv_in.diff": torch.randn_like(conv.weight),
        "conv_in.diff_b": torch.randn_like(conv.bias),
        "conv_norm_out.w_norm": torch.randn_like(norm.weight),
        "conv_norm_out.b_norm": torch.randn_like(norm.bias),
    }
    state = {}
    for name, one in given.items():
        layer, _, end = name.rpartition(".")
        state[f"lora_unet_{layer}.{end}"] = one
    before = [one.clone() for one in (conv.weight, conv.bias, norm.weight, norm.bias)]
    fuse_loras(unet, (Lora(write(tmp_path / "lora.safetensors", state), 0.5),))
    after = (conv.weight, conv.bias, norm.weight, norm.bias)
    for was, now, change in zip(before, after, given.values(), strict=True):
        torch.testing.assert_close(now, was + 0.5 * change)


def test_embeddings_within_a_lora_are_left_out_and_reported(
    unet: UNet2DConditionModel, adapted: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    extra = {"bundle_emb.my-style.string_to_param.*": torch.ones(2, WIDTH)}
    file = write(tmp_path / "lora.safetensors", kohya(changes) | extra)
    said: list[str] = []
    check_loras((Lora(file),), unet, report=said.append)
    found = paint(fuse_loras(unet, (Lora(file),)))
    torch.testing.assert_close(found, expected(adapted, 1.0), rtol=1e-4, atol=1e-4)
    assert said == [f"lora {file}: 1 embeddings are left out: they stand for words that would be typed"]


def test_a_textual_inversion_is_no_lora(unet: UNet2DConditionModel, tmp_path: Path):
    file = write(tmp_path / "style.safetensors", {"emb_params": torch.ones(2, WIDTH)})
    assert refusal(unet, file) == (
        f"lora {file} is a textual inversion, which stands for a word; sound has no words: leave it out"
    )


def test_weights_of_an_unknown_kind_are_reported(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    file = write(tmp_path / "lora.safetensors", kohya(changes) | {"lora_unet_conv_in.new_invention": torch.ones(1)})
    said: list[str] = []
    check_loras((Lora(file),), unet, report=said.append)
    assert said == [f"lora {file}: 1 weights of an unknown kind are left out, first lora_unet_conv_in.new_invention"]


def test_matrices_of_two_ranks_are_refused(unet: UNet2DConditionModel, tmp_path: Path):
    state = {f"{PROJECTION}.lora_down.weight": torch.ones(2, 16), f"{PROJECTION}.lora_up.weight": torch.ones(16, 3)}
    assert "by matrices of [2, 16] and [16, 3]; expected two of one rank" in refusal(
        unet, write(tmp_path / "lora.safetensors", state)
    )


ALPHAS = {
    "diffusers": ("lora_A", "lora_B", ".alpha"),
    "diffusers with lora": ("lora.down", "lora.up", ".lora.alpha"),
    "diffusers, kohya's ends": ("lora_down", "lora_up", ".alpha"),
    "PEFT": ("lora_A.default", "lora_B.default", ".alpha"),
}


@pytest.mark.parametrize("prefix", ["unet.", "", "base_model.model."])
@pytest.mark.parametrize("ends", ALPHAS.values(), ids=ALPHAS)
def test_alphas_count_in_any_names(
    unet: UNet2DConditionModel,
    adapted: UNet2DConditionModel,
    changes: dict[str, Tensor],
    tmp_path: Path,
    ends: tuple[str, str, str],
    prefix: str,
):
    down, up, alpha = ends
    state = {}
    for name, weight in changes.items():
        layer, _, rest = name.partition(".lora_")
        state[f"{prefix}{layer}.{down if rest.startswith('A') else up}.weight"] = weight.clone()
        state[f"{prefix}{layer}{alpha}"] = torch.tensor(ALPHA)
    file = write(tmp_path / "lora.safetensors", state)
    found = paint(fuse_loras(unet, (Lora(file),)))
    torch.testing.assert_close(found, expected(adapted, 1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*invalid shape")  # PEFT 0.21 takes its own biases for cut-off matrices
@pytest.mark.parametrize(
    "settings",
    [{}, {"use_rslora": True}, {"lora_bias": True}, {"alpha_pattern": {r"attn2\.to_k": 7, "^conv_in": 5}}],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_what_peft_scales_by_is_what_we_scale_by(
    unet: UNet2DConditionModel, tmp_path: Path, settings: dict[str, object]
):
    targets = ["attn2.to_k", "attn1.to_out.0", "conv_in", "proj_in"]
    if "lora_bias" in settings:
        targets.remove("attn2.to_k")  # which has no bias to change
    torch.manual_seed(3)
    beside = load_unet(tmp_path_of(unet))
    beside.add_adapter(LoraConfig(r=RANK, lora_alpha=3, target_modules=targets, init_lora_weights=False, **settings))
    for name, weight in beside.named_parameters():
        if "lora_B" in name and name.endswith("bias"):
            torch.nn.init.normal_(weight)
    state = {f"base_model.model.{name}": one.contiguous() for name, one in get_peft_model_state_dict(beside).items()}
    write(tmp_path / "adapter_model.safetensors", state)
    config = beside.peft_config["default"].to_dict() | {"target_modules": targets}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config, default=str))
    found = paint(fuse_loras(unet, (Lora(tmp_path),)))
    torch.testing.assert_close(found, paint(beside.eval()), rtol=1e-4, atol=1e-4)


def tmp_path_of(unet: UNet2DConditionModel) -> str:
    return str(unet.config["_name_or_path"])


def test_a_bias_for_a_layer_that_has_none_is_refused(unet: UNet2DConditionModel, tmp_path: Path):
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    state = {
        f"{layer}.lora_A.weight": torch.ones(2, WIDTH),
        f"{layer}.lora_B.weight": torch.ones(16, 2),
        f"{layer}.lora_B.bias": torch.ones(16),
    }
    assert "is for a bias of [16], the unet's" in refusal(unet, write(tmp_path / "lora.safetensors", state))


def test_a_peft_file_without_its_settings_is_said_to_count_as_it_is(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    file = write(tmp_path / "lora.safetensors", {f"base_model.model.{name}": one for name, one in changes.items()})
    said: list[str] = []
    check_loras((Lora(file),), unet, report=said.append)
    assert said == [f"lora {file} has no adapter_config.json, which tells its alpha; its changes are taken as they are"]


@pytest.mark.parametrize("write_as", [kohya, in_diffusers_first_names, in_diffusers_names])
def test_a_fused_unet_has_the_weights_that_diffusers_pipeline_fuses(
    unet: UNet2DConditionModel,
    changes: dict[str, Tensor],
    tiny_checkpoints: Path,
    tmp_path: Path,
    write_as: Callable[[dict[str, Tensor]], dict[str, Tensor]],
):
    """Of layers of one rank: others diffusers 0.39 scaled wrongly."""
    one_rank = {name: one for name, one in changes.items() if not any(layer in name for layer in RANKS)}
    file = write(tmp_path / "lora.safetensors", write_as(one_rank))
    plain = load_unet(tiny_checkpoints / "pipeline" / "unet")
    others = dict.fromkeys(("vae", "text_encoder", "tokenizer", "scheduler", "safety_checker", "feature_extractor"))
    pipeline = StableDiffusionPipeline(unet=plain, requires_safety_checker=False, **others)
    pipeline.load_lora_weights(tmp_path, weight_name=file.name)
    pipeline.fuse_lora(lora_scale=SCALE)
    pipeline.unload_lora_weights()
    fused = fuse_loras(unet, (Lora(file, SCALE),)).state_dict()
    for name, weight in pipeline.unet.state_dict().items():
        torch.testing.assert_close(fused[name], weight, rtol=1e-4, atol=1e-5)


def test_a_lora_is_checked_against_a_unet_without_weights(
    changes: dict[str, Tensor], tiny_checkpoints: Path, tmp_path: Path
):
    (tmp_path / "unet").mkdir()
    shutil.copy(tiny_checkpoints / "pipeline" / "unet" / "config.json", tmp_path / "unet")
    skeleton = empty_unet(tmp_path / "unet")
    check_loras((Lora(write(tmp_path / "lora.safetensors", kohya(changes))),), skeleton)
    wide = {name: torch.zeros(RANK, 768) if "attn2.to_k.lora_A" in name else one for name, one in changes.items()}
    file = write(tmp_path / "wide.safetensors", kohya(wide))
    with pytest.raises(ExportError, match="expected a LoRA for the same family"):
        check_loras((Lora(file),), skeleton)


LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"


def pair(rank: int = 2, size: float = 1.0) -> dict[str, Tensor]:
    """Return a change of one layer, whose weight is [16, 32]."""
    shapes = {"lora_A": (rank, WIDTH), "lora_B": (16, rank)}
    return {f"unet.{LAYER}.{end}.weight": size * torch.ones(shape) for end, shape in shapes.items()}


@pytest.mark.parametrize(
    ("state", "metadata", "message"),
    [
        (pair(0) | {f"unet.{LAYER}.alpha": torch.tensor(1.0)}, {}, "by matrices of rank 0; expected 1 or more"),
        (pair() | {f"unet.{LAYER}.alpha": torch.ones(2)}, {}, "cannot be loaded: "),
        (pair(), {"lora_adapter_metadata": '{"unet.lora_alpha": "eight"}'}, "cannot be loaded: could not convert"),
        (pair(), {"lora_adapter_metadata": "[1]"}, "cannot be loaded: "),
    ],
    ids=["rank 0", "two alphas", "a word for alpha", "no settings"],
)
def test_numbers_that_cannot_be_are_one_line(
    unet: UNet2DConditionModel, tmp_path: Path, state: dict[str, Tensor], metadata: dict[str, str], message: str
):
    save_file(state, tmp_path / "lora.safetensors", metadata)
    assert message in refusal(unet, tmp_path / "lora.safetensors")


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(unet: UNet2DConditionModel, tmp_path: Path, scale: float):
    save_file(pair(), tmp_path / "lora.safetensors")
    with pytest.raises(ExportError, match=f"has the scale {scale}; expected a finite number"):
        check_loras((Lora(tmp_path / "lora.safetensors", scale),), unet)


def test_a_change_that_grows_beyond_numbers_is_told_as_the_loras(unet: UNet2DConditionModel, tmp_path: Path):
    save_file(pair(size=1e30), tmp_path / "lora.safetensors")
    with pytest.raises(ExportError, match=rf"lora .* makes weights of {re.escape(LAYER)} infinite; is it whole\?"):
        fuse_loras(unet, (Lora(tmp_path / "lora.safetensors"),))
