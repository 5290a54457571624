"""Chunk by chunk gives what the masked forward gives over the whole sequence, and nothing sees what it must not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.features import MEL_BINS, STRIDE, normalised
from clavilux.training.lumia.models import encoder
from clavilux.training.studies.chunked import Caches, Chunks, StreamingEncoder, attending, running, streamed

KEPT = 12  # stacked frames in the window
WINDOW = KEPT * STRIDE


def model_of(positions: str | None, **changes: object) -> Wav2Vec2BertModel:
    """Return a small real encoder with weights that make attention and positions matter."""
    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "output_hidden_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "feature_projection_input_dim": MEL_BINS * STRIDE,
        "add_adapter": True,
        "num_adapter_layers": 2,
        "conv_depthwise_kernel_size": 5,
        "left_max_position_embeddings": 6,
        "right_max_position_embeddings": 2,
        "position_embeddings_type": positions,
        "initializer_range": 0.4,
        "layerdrop": 0.0,
        "attn_implementation": "eager",
    }
    return Wav2Vec2BertModel(Wav2Vec2BertConfig(**small | changes)).eval()


MODELS = {
    "without positions": model_of(None),
    "relative keys": model_of("relative_key"),
    "a feed-forward before the adapter": model_of("relative_key", use_intermediate_ffn_before_adapter=True),
    "a convolution wider than a window": model_of("relative_key", conv_depthwise_kernel_size=31),
    "the adapter's width": model_of(None, output_hidden_size=16),
    "no adapter": model_of(None, add_adapter=False, output_hidden_size=16),
}


def sound(frames: int, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Return log-mel frames [batch, frames, 80] that wander."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(batch, frames, MEL_BINS, generator=dice).cumsum(1) * 0.3 - 5


@torch.no_grad()
def stepped(streaming: StreamingEncoder, frames: torch.Tensor) -> tuple[list[torch.Tensor], Caches]:
    """Return the tokens of every hop and the last caches; the first WINDOW - step frames are the first hop's past."""
    step, tokens, caches = streaming.chunks.size * STRIDE, [], streaming.begin(len(frames))
    for end in range(WINDOW, frames.shape[1] + 1, step):
        found, *rest = streaming(frames[:, end - WINDOW : end], **caches.named())
        tokens, caches = [*tokens, found], Caches(*rest)
    return tokens, caches


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=8, deadline=None)
@given(chunks=st.builds(Chunks, st.integers(1, 6), st.integers(0, 5)), hops=st.integers(1, 9), seed=st.integers(0, 99))
def test_step_by_step_equals_the_masked_forward(name: str, chunks: Chunks, hops: int, seed: int) -> None:
    model, frames = MODELS[name], sound(WINDOW + (hops - 1) * chunks.size * STRIDE, seed=seed)
    streaming = StreamingEncoder(model, chunks, KEPT)
    tokens, caches = stepped(streaming, frames)
    clean = running(frames, WINDOW, chunks.size * STRIDE).reshape(2, hops * chunks.size, -1)
    with torch.no_grad(), attending(model, chunks):
        whole = model(clean, output_hidden_states=True).hidden_states[-1]
    heard = min(KEPT, hops * chunks.size)
    torch.testing.assert_close(caches.hidden[:, -heard:], whole[:, -heard:], rtol=1e-5, atol=2e-5)
    assert caches.heard.tolist() == [hops * chunks.size] * 2
    if heard == KEPT:
        expected = streamed(model, frames, chunks, kept=KEPT, window=WINDOW)
        torch.testing.assert_close(tokens[-1], expected, rtol=1e-5, atol=5e-5)


def test_one_chunk_of_the_whole_window_is_full_attention() -> None:
    model, inputs = MODELS["relative keys"], torch.randn(2, KEPT, MEL_BINS * STRIDE)
    with torch.no_grad():
        full = model(inputs).last_hidden_state
        with attending(model, Chunks(KEPT, 0)):
            one = model(inputs).last_hidden_state
    torch.testing.assert_close(one, full)


def test_a_stream_as_long_as_the_window_in_one_chunk_is_the_models_own_answer() -> None:
    model, frames = MODELS["relative keys"], sound(WINDOW)
    with torch.no_grad():
        expected = model(normalised(frames).reshape(2, KEPT, -1)).last_hidden_state
    (tokens,), _ = stepped(StreamingEncoder(model, Chunks(KEPT, 0), KEPT), frames)
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-4)


def test_chunks_see_themselves_and_those_to_the_left_counted_from_the_end() -> None:
    rows = ["".join(".x"[int(one)] for one in row) for row in Chunks(2, 1).visible(5)]
    assert rows == ["x....", "xxx..", "xxx..", ".xxxx", ".xxxx"]


def test_no_frame_hears_what_comes_after_its_chunk() -> None:
    model, inputs = MODELS["relative keys"], torch.randn(1, 12, MEL_BINS * STRIDE)
    changed = inputs.clone()
    changed[:, 8:] = 0
    with torch.no_grad(), attending(model, Chunks(4, 1)):
        one, other = (model(part, output_hidden_states=True).hidden_states[-1] for part in (inputs, changed))
    torch.testing.assert_close(one[:, :8], other[:, :8])
    assert not torch.allclose(one[:, 8:], other[:, 8:])


def test_the_model_is_itself_again_afterwards() -> None:
    model, inputs = MODELS["relative keys"], torch.randn(1, KEPT, MEL_BINS * STRIDE)
    with torch.no_grad():
        before = model(inputs).last_hidden_state
        with attending(model, Chunks(2, 1)), pytest.raises((ValueError, IndexError)):
            model(inputs[0, 0])
        with attending(model, Chunks(2, 1)):
            assert not torch.allclose(model(inputs).last_hidden_state, before)
        torch.testing.assert_close(model(inputs).last_hidden_state, before)


def test_training_goes_through_the_mask_with_checkpointed_layers_too() -> None:
    model, inputs = model_of("relative_key"), torch.randn(1, 6, MEL_BINS * STRIDE, requires_grad=True)
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model.train()
    with attending(model, Chunks(2, 1)):
        hidden = model.encoder(model.feature_projection(inputs)[0]).last_hidden_state
        hidden[:, :2].pow(3).sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[:, :2].abs().sum() > 0
    assert inputs.grad[:, 2:].abs().sum() == 0


def test_the_default_bundles_pupil_learns_with_the_mask() -> None:
    torch.manual_seed(0)
    model = encoder.build(16, 16, layers=2)
    with attending(model, Chunks(5, 3)):
        seen = model(torch.randn(2, 20, MEL_BINS * STRIDE), output_hidden_states=True)
    assert len(seen.hidden_states) == 3
    assert seen.last_hidden_state.shape == (2, 5, 16)


def test_the_newest_chunk_is_normalised_as_the_window_is() -> None:
    frames = sound(WINDOW + 13)
    found = running(frames, WINDOW, 6)
    assert found.shape == (2, 18, MEL_BINS)
    torch.testing.assert_close(found[:, -6:], normalised(frames[:, -WINDOW:])[:, -6:])
    torch.testing.assert_close(found[:, -12:-6], normalised(frames[:, -WINDOW - 6 : -6])[:, -6:])


def test_digital_silence_is_normalised_to_zeros() -> None:
    assert running(torch.full((1, 40, MEL_BINS), -15.9424), 24, 4).abs().max() < 1e-6


def test_absolute_positions_are_refused() -> None:
    with pytest.raises(ClaviluxError, match="'rotary'; expected one of"):
        StreamingEncoder(model_of("rotary"), Chunks(2, 1), KEPT)


def test_padding_masks_are_refused() -> None:
    model = MODELS["relative keys"]
    with attending(model, Chunks(2, 1)), pytest.raises(ClaviluxError, match="without padding"):
        model(torch.randn(1, 6, MEL_BINS * STRIDE), attention_mask=torch.ones(1, 6, dtype=torch.long))


@pytest.mark.parametrize(("size", "left"), [(0, 1), (1, -1)])
def test_impossible_chunks_are_refused(size: int, left: int) -> None:
    with pytest.raises(ClaviluxError, match="expected at least 1 and 0"):
        Chunks(size, left)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ClaviluxError, match="10 frames are given; expected a window of 24"):
        running(sound(10), 24, 4)
