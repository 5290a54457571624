"""Models that load but cannot run are one line each, before anything is traced."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from clavilux.export.checkpoints.load import Sources
from clavilux.export.options import Options
from clavilux.export.parts import Parts, running
from clavilux.export.plan import make_plan
from clavilux.runtime.errors import ExportError
from tests.tiny import tiny_options, tiny_sources, write_encoder, write_unet


def parts(sources: Sources, options: Options | None = None) -> Parts:
    return Parts(make_plan(sources, options or tiny_options()), lambda _: None)


def refusal(load: Callable[[], object]) -> str:
    with pytest.raises(ExportError) as caught:
        load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_part_of_a_sound_plan_loads_and_runs(tiny_checkpoints: Path):
    whole = parts(tiny_sources(tiny_checkpoints))
    for model in (whole.audio_encoder(), whole.unet(), whole.vae(), whole.text_encoder()):
        assert not model.training


def test_an_encoder_whose_heads_do_not_divide_its_width_is_one_line(tiny_checkpoints: Path, tmp_path: Path):
    write_encoder(tmp_path / "encoder", hidden_size=112, output_hidden_size=32, num_attention_heads=3)
    sources = replace(tiny_sources(tiny_checkpoints), encoder=tmp_path / "encoder")
    message = refusal(parts(sources).audio_encoder)
    assert message.startswith(
        f"encoder {tmp_path / 'encoder'} loads, but its own library cannot run it (RuntimeError: "
    )
    assert message.endswith(
        "); look at hidden_size, num_attention_heads and what is said of the adapter in its config.json"
    )


def test_a_unet_that_pools_tokens_by_heads_that_they_do_not_have_is_one_line(tiny_checkpoints: Path, tmp_path: Path):
    write_unet(tmp_path / "unet", addition_embed_type="text", addition_embed_type_num_heads=5)
    message = refusal(parts(replace(tiny_sources(tiny_checkpoints), unet=tmp_path / "unet")).unet)
    assert message.startswith(f"unet {tmp_path / 'unet'} loads, but its own library cannot run it (RuntimeError: ")
    assert message.endswith("; look at attention_head_dim, block_out_channels and norm_num_groups in its config.json")


def test_what_a_library_cannot_run_is_told_with_its_component():
    with pytest.raises(ExportError) as caught, running("vae", "me/vae", "block_out_channels"):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert str(caught.value) == (
        "vae me/vae loads, but its own library cannot run it (RuntimeError: mat1 and mat2 shapes cannot be multiplied "
        "(2x3 and 2x3)); look at block_out_channels in its config.json"
    )


def test_a_unet_with_a_number_of_heads_by_name_is_told_where_it_belongs(tiny_checkpoints: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": 2}))
    assert refusal(lambda: parts(replace(tiny_sources(tiny_checkpoints), unet=folder))) == (
        f"unet {folder} has num_attention_heads, which diffusers does not take: the number of heads is called "
        "attention_head_dim there; give it in config.json under that name"
    )


@pytest.mark.parametrize("groups", [3, 0])
def test_an_autoencoder_that_cannot_even_be_built_is_one_line(tiny_checkpoints: Path, tmp_path: Path, groups: int):
    AutoencoderKL(block_out_channels=(8,), norm_num_groups=4).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"norm_num_groups": groups}))
    message = refusal(parts(replace(tiny_sources(tiny_checkpoints), vae=tmp_path)).vae)
    assert message.startswith(f"vae {tmp_path} cannot be loaded: ")
