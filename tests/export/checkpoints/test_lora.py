"""LoRAs fused into a UNet, against the same UNet with PEFT's own layers, in each of the formats that are published."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from clavilux.export.checkpoints.load import Lora, load_unet
from clavilux.export.checkpoints.lora import fuse_loras
from clavilux.runtime.errors import ExportError
from tests.export.checkpoints.hub import use_cache, write_cache
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


def kohya(changes: dict[str, Tensor], ranks: dict[str, int] = RANKS) -> dict[str, Tensor]:
    """The same in the names of kohya's trainers, with a scalar alpha for each layer."""
    renamed = {}
    for name, weight in changes.items():
        layer, _, rest = name.partition(".lora_")
        key = f"lora_unet_{layer.replace('.', '_')}"
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
    file = write(tmp_path / "lora.safetensors", kohya(changes) | extra)
    said: list[str] = []
    found = paint(fuse_loras(unet, (Lora(file),), report=said.append))
    torch.testing.assert_close(found, expected(adapted, 1.0), rtol=1e-4, atol=1e-4)
    assert said == [f"lora {file}: 1 layers for the text encoder are left out; sound stands for its words"]


def test_layers_that_the_unet_lacks_are_reported(
    unet: UNet2DConditionModel, changes: dict[str, Tensor], tmp_path: Path
):
    strange = {f"unet.no_such_block.0.to_q.lora_{letter}.weight": torch.ones(2, 2) for letter in "AB"}
    file = write(tmp_path / "lora.safetensors", in_diffusers_names(changes) | strange)
    said: list[str] = []
    fuse_loras(unet, (Lora(file),), report=said.append)
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
    assert f"attn2.to_k from 768 to 16 channels, the unet's goes from {WIDTH} to 16" in message
    assert message.endswith("expected a LoRA for the same family")


def test_a_lora_for_convolutions_does_not_fit_a_linear_layer(unet: UNet2DConditionModel, tmp_path: Path):
    layer = "unet.down_blocks.0.attentions.0.proj_in"
    state = {f"{layer}.lora_A.weight": torch.zeros(2, 16, 1, 1), f"{layer}.lora_B.weight": torch.zeros(16, 2, 1, 1)}
    assert "expected a LoRA for the same family" in refusal(unet, write(tmp_path / "lora.safetensors", state))


def test_half_a_pair_is_refused(unet: UNet2DConditionModel, tmp_path: Path):
    state = {"unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": torch.zeros(2, 16)}
    assert "expected two matrices" in refusal(unet, write(tmp_path / "lora.safetensors", state))


def test_a_lora_that_matches_no_layer_is_refused(unet: UNet2DConditionModel, tmp_path: Path):
    state = {f"unet.transformer_blocks.0.to_q.lora_{letter}.weight": torch.ones(2, 2) for letter in "AB"}
    message = refusal(unet, write(tmp_path / "lora.safetensors", state))
    assert "matches no layer of the unet, first transformer_blocks.0.to_q; expected one for its family" in message


def test_a_lora_for_words_alone_is_refused(unet: UNet2DConditionModel, tmp_path: Path):
    state = {f"text_encoder.text_model.layers.0.q_proj.lora_{letter}.weight": torch.ones(2, 2) for letter in "AB"}
    assert "matches no layer of the unet" in refusal(unet, write(tmp_path / "lora.safetensors", state))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("lora_unet_mid.dora_scale", "DoRA"), ("lora_unet_mid.hada_w1_a", "LoHa"), ("lora_unet_mid.lokr_w1", "LoKr")],
)
def test_kinds_that_are_no_plain_lora_are_refused_by_name(
    unet: UNet2DConditionModel, tmp_path: Path, name: str, kind: str
):
    file = write(tmp_path / "lora.safetensors", {name: torch.zeros(1)})
    assert f"is a {kind}, which cannot be fused; expected a plain LoRA" in refusal(unet, file)


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


def test_without_peft_one_line_says_how_to_get_it(
    unet: UNet2DConditionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("clavilux.export.checkpoints.lora.find_spec", lambda _: None)
    assert "peft is not installed" in refusal(unet, tmp_path)


def test_an_sd_1_unet_takes_loras_for_its_convolutions(tmp_path: Path):
    write_unet(tmp_path / "unet", use_linear_projection=False)
    unet = load_unet(tmp_path / "unet")
    layer = "lora_unet_down_blocks_0_attentions_0_proj_in"
    down, up = torch.randn(2, 16, 1, 1), torch.randn(16, 2, 1, 1)
    state = {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up, f"{layer}.alpha": torch.tensor(1.0)}
    own = load_unet(tmp_path / "unet").down_blocks[0].attentions[0].proj_in.weight
    fuse_loras(unet, (Lora(write(tmp_path / "lora.safetensors", state)),))
    found = unet.down_blocks[0].attentions[0].proj_in.weight - own
    torch.testing.assert_close(found[..., 0, 0], 0.5 * up[..., 0, 0] @ down[..., 0, 0])
