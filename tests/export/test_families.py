"""Other members of the family: SD 1.x's UNets and widths, v_prediction, other adapters."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.export.build import export_bundle
from clavilux.export.checkpoints.load import Sources
from clavilux.export.checkpoints.locate import read_config
from clavilux.export.models.audio_encoder import max_frames, token_count
from clavilux.runtime.bundle.bundle import Bundle
from tests.runtime.instruments import instrument
from tests.tiny import tiny_options, write_encoder, write_scheduler, write_text_encoder, write_unet

OTHER_WIDTH = 48  # as SD 1.x's 768 stands beside SD 2.x's 1024


@pytest.fixture(scope="module")
def older(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """As Stable Diffusion 1.5: another width, heads by number, convolutions as projections, epsilon or v."""
    folder = tmp_path_factory.mktemp("older")
    torch.manual_seed(4)
    write_encoder(folder / "encoder", hidden_size=OTHER_WIDTH, output_hidden_size=OTHER_WIDTH, num_adapter_layers=1)
    write_text_encoder(folder / "text_encoder", hidden_size=OTHER_WIDTH)
    write_unet(folder / "unet", cross_attention_dim=OTHER_WIDTH, attention_head_dim=8, use_linear_projection=False)
    write_scheduler(
        folder / "scheduler", DDIMScheduler, timestep_spacing="leading", set_alpha_to_one=False, clip_sample=False
    )
    sources = Sources(
        encoder=folder / "encoder",
        unet=folder / "unet",
        scheduler=folder / "scheduler",
        vae=tiny_checkpoints / "pipeline" / "vae",
        text_encoder=folder / "text_encoder",
    )
    return export_bundle(sources, folder / "bundle", replace(tiny_options("older"), steps=3, proof_steps=3))


def test_the_older_family_passes_the_same_proof(older: Bundle):
    proved = {figure.component for figure in older.parity}
    assert {"latents, 1 step", "latents, 3 steps", "picture, 3 steps"} <= proved
    assert (older.schedule.kind, older.schedule.prediction) == ("ddim", "v_prediction")


def test_the_bundle_has_the_width_of_its_checkpoints(older: Bundle):
    assert (older.tokens.count, older.tokens.width) == (51, OTHER_WIDTH)


def test_the_bundle_plays(older: Bundle):
    assert instrument(older.folder).step(0.0).pixels.std() > 0


def tokens_of(config: dict[str, int], frames: int) -> int:
    """Return how many tokens a real model gives."""
    torch.manual_seed(0)
    settings = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = Wav2Vec2BertModel(Wav2Vec2BertConfig(**settings, add_adapter=True, conv_depthwise_kernel_size=3, **config))
    with torch.inference_mode():
        return model.eval()(input_features=torch.zeros(1, frames // 2, 160)).last_hidden_state.shape[1]


ADAPTERS = [
    {"num_adapter_layers": layers, "adapter_kernel_size": kernel, "adapter_stride": stride}
    for layers in (1, 2, 3)
    for kernel, stride in ((3, 2), (2, 2), (5, 2), (3, 1), (5, 3), (7, 4))
]


@pytest.mark.parametrize("config", [{}, *ADAPTERS], ids=lambda config: "-".join(map(str, config.values())) or "plain")
@pytest.mark.parametrize("frames", [200, 376])
def test_tokens_are_counted_as_the_model_gives_them(config: dict[str, int], frames: int):
    assert token_count(config, frames) == tokens_of(config, frames)


def test_the_references_window_has_47_tokens_and_bos_makes_48():
    config = {"num_adapter_layers": 2, "adapter_kernel_size": 3, "adapter_stride": 2}
    assert token_count(config, max_frames(60_000)) == 47


def test_an_adapter_of_one_layer_reaches_clips_77_tokens():
    """BOS and 76 tokens: 3.04 s through one layer of stride 2."""
    window = 48_640  # samples
    config = {"num_adapter_layers": 1, "adapter_kernel_size": 3, "adapter_stride": 2}
    assert token_count(config, max_frames(window)) + 1 == 77
    assert tokens_of(config, max_frames(window)) + 1 == 77


def test_a_saved_configuration_is_counted_too(tmp_path: Path):
    """Libraries leave defaults out of what they save."""
    write_encoder(tmp_path, num_adapter_layers=1)
    assert token_count(read_config(tmp_path, "encoder"), 200) == 50
