"""Windows fit their tokens; encoders begin from checkpoints, configurations or nothing, and the export reads them."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import SeamlessM4TFeatureExtractor

from clavilux.export.checkpoints.load import load_encoder
from clavilux.export.checkpoints.locate import read_config
from clavilux.export.models.audio_encoder import check_encoder, token_count
from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.window import Adapter, window_for
from clavilux.training.alignment.pretrained import (
    Scratch,
    describe,
    from_config,
    from_scratch,
    load_pretrained,
    save_encoder,
)
from tests import tiny

SMALL = Adapter()


def tokens_of(model: torch.nn.Module, frames: int) -> tuple[int, ...]:
    with torch.inference_mode():
        return tuple(model.eval()(input_features=torch.zeros(1, frames // 2, 160)).last_hidden_state.shape)


@pytest.mark.parametrize(("tokens", "frames", "seconds"), [(47, 376, 3.75), (76, 608, 6.07), (25, 200, 1.99)])
def test_the_window_follows_from_the_tokens(tokens: int, frames: int, seconds: float) -> None:
    window = window_for(tokens, Adapter())
    assert (window.frames, window.seconds) == (frames, seconds)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200), st.integers(1, 3), st.integers(1, 9), st.integers(1, 4))
def test_it_is_the_longest_window_of_so_many_tokens(tokens: int, layers: int, kernel: int, stride: int) -> None:
    adapter = Adapter(layers, kernel, stride)
    try:
        window = window_for(tokens, adapter)
    except ClaviluxError:
        return
    assert window.frames % 2 == 0
    assert token_count(adapter.settings(), window.frames) == tokens
    assert token_count(adapter.settings(), window.frames + 2) == tokens + 1


def test_the_adapter_gives_as_many_tokens_as_said() -> None:
    window = window_for(19, SMALL)
    assert tokens_of(from_scratch(Scratch(1, 24), 16, SMALL), window.frames) == (1, 19, 16)


def test_no_tokens_have_no_window() -> None:
    with pytest.raises(ClaviluxError, match="no window gives 0 tokens"):
        window_for(0, Adapter())


def test_a_checkpoint_with_an_adapter_keeps_its_weights(tiny_checkpoints: Path) -> None:
    model = load_pretrained(str(tiny_checkpoints / "encoder"), tiny.WIDTH, SMALL)
    expected = load_encoder(tiny_checkpoints / "encoder").state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_without_an_adapter_gets_a_fresh_one(tmp_path: Path) -> None:
    tiny.write_encoder(tmp_path, add_adapter=False, layerdrop=0.1)
    model = load_pretrained(str(tmp_path), 48, Adapter(layers=3))
    assert tokens_of(model, 64) == (1, 4, 48)
    assert model.config.layerdrop == 0.0
    assert all(weight.requires_grad for name, weight in model.named_parameters() if name.startswith("adapter"))


@pytest.mark.parametrize(
    ("adapter", "width", "line"),
    [
        (Adapter(kernel=5), tiny.WIDTH, "kernel 3, not 5; give --adapter-kernel 3, or begin from an encoder without"),
        (Adapter(layers=3), tiny.WIDTH, "layers 2, not 3; give --adapter-layers 2, or"),
        (SMALL, 48, "token width 32, not 48; expected the text encoder's: take a text encoder of width 32, or"),
    ],
)
def test_a_checkpoint_whose_adapter_has_another_shape_is_one_line(
    tiny_checkpoints: Path, adapter: Adapter, width: int, line: str
) -> None:
    with pytest.raises(ClaviluxError, match=f"encoder .* has an adapter with {line}"):
        load_pretrained(str(tiny_checkpoints / "encoder"), width, adapter)


def test_a_checkpoint_that_is_not_whole_is_one_line(tmp_path: Path) -> None:
    tiny.write_encoder(tmp_path, num_hidden_layers=1)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(ClaviluxError, match=r"lacks \d+ weights, first encoder\.layers\.1"):
        load_pretrained(str(tmp_path), tiny.WIDTH, SMALL)


def test_another_kind_of_model_is_one_line(tiny_checkpoints: Path) -> None:
    with pytest.raises(ClaviluxError, match="is a 'clip_text_model' model; expected 'wav2vec2-bert'"):
        load_pretrained(str(tiny_checkpoints / "pipeline" / "text_encoder"), tiny.WIDTH, SMALL)


def test_a_configuration_gives_an_untrained_encoder(tiny_checkpoints: Path) -> None:
    for where in (tiny_checkpoints / "encoder", tiny_checkpoints / "encoder" / "config.json"):
        assert tokens_of(from_config(str(where), 40, SMALL), 64) == (1, 8, 40)


def test_a_width_that_does_not_divide_is_one_line() -> None:
    with pytest.raises(ClaviluxError, match="width 97 does not divide by 4 heads; try 96"):
        from_scratch(Scratch(1, 97), 16, SMALL)


def test_a_saved_encoder_is_what_the_export_reads(tmp_path: Path) -> None:
    model = from_scratch(Scratch(1, 24), 16, SMALL)
    save_encoder(model, tmp_path)
    check_encoder(read_config(tmp_path, "encoder"), tmp_path)
    again = load_encoder(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert SeamlessM4TFeatureExtractor.from_pretrained(tmp_path).num_mel_bins == 80


def test_an_encoder_is_described() -> None:
    found = describe(from_scratch(Scratch(2, 24), 16, SMALL))
    assert (found["layers"], found["width"], found["token_width"]) == (2, 24, 16)
    assert found["parameters"] > 1000


def test_a_mask_that_is_never_used_waits_for_no_gradient(tmp_path: Path) -> None:
    tiny.write_encoder(tmp_path, apply_spec_augment=False)
    model = load_pretrained(str(tmp_path), tiny.WIDTH, SMALL)
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    assert frozen in (["masked_spec_embed"], [])
