"""The losses equal their formulas; the memory of negatives holds what it says, and is exact."""

import math
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertModel

from clavilux.training.alignment import losses
from clavilux.training.alignment.losses import (
    Memory,
    Objective,
    TwoStream,
    attention_mask,
    norm_term,
    sequence_contrast,
)

LENGTH, WIDTH = 5, 6


def by_the_formula(audio: Tensor, text: Tensor, temperature: float = 0.15) -> float:
    """Return the reference's loss as it is written down, one number at a time."""
    a, t = audio.double().numpy(), text.double().numpy()
    costs = []
    for i in range(len(a)):
        for place in range(a.shape[1]):
            logits = [
                a[i, place] @ t[j, place] / np.linalg.norm(a[i, place]) / np.linalg.norm(t[j, place]) / temperature
                for j in range(len(t))
            ]
            costs.append(math.log(sum(math.exp(one) for one in logits)) - logits[i])
    return float(np.mean(costs))


def drawn(count: int, seed: int, length: int = LENGTH) -> Tensor:
    return torch.randn(count, length, WIDTH, generator=torch.Generator().manual_seed(seed))


class Straight(nn.Module):
    """An encoder that gives a learnt scale of what it is fed, in place of Wav2Vec2-BERT."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, input_features: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=input_features * self.scale)


def two_streams(**objective: object) -> TwoStream:
    return TwoStream(Straight(), Objective(**objective), (LENGTH, WIDTH))


def keys(*names: int) -> Tensor:
    return torch.tensor(names)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 99), st.sampled_from([0.05, 0.15, 1.0]))
def test_the_contrast_is_the_formula(count: int, length: int, seed: int, temperature: float) -> None:
    audio, text = drawn(count, seed, length), drawn(count, seed + 1, length)
    found = float(sequence_contrast(audio, text, temperature))
    assert found == pytest.approx(by_the_formula(audio, text, temperature), rel=1e-5, abs=1e-6)


def test_more_candidates_are_more_negatives() -> None:
    audio, text = drawn(3, 0), drawn(8, 1)
    assert float(sequence_contrast(audio, text)) == pytest.approx(by_the_formula(audio, text), rel=1e-5)


def test_without_options_the_loss_is_the_references_in_training_and_evaluation() -> None:
    model, audio, text = two_streams(), drawn(4, 2), drawn(4, 3)
    for training in (True, False):
        model.train(training)
        assert model(audio, text, keys(1, 2, 3, 3))["loss"].item() == pytest.approx(
            by_the_formula(audio, text), rel=1e-5
        )


def test_a_masked_duplicate_is_no_negative() -> None:
    model, audio, text = two_streams(mask_duplicates=True), drawn(3, 2), drawn(3, 3)
    text[2] = text[0]
    masked = model(audio, text, keys(7, 8, 7))["loss"].item()
    first = by_the_formula_of(audio, text, 0, (0, 1))
    second = by_the_formula_of(audio, text, 1, (0, 1, 2))
    third = by_the_formula_of(audio, text, 2, (2, 1))
    assert masked == pytest.approx(np.mean([first, second, third]), rel=1e-5)
    assert masked < by_the_formula(audio, text)


def by_the_formula_of(audio: Tensor, text: Tensor, clip: int, candidates: tuple[int, ...]) -> float:
    """Return one clip's mean cost against `candidates`, its own among them."""
    others = [one for one in candidates if one != clip]
    order = [clip, *others]
    cosines = torch.einsum(
        "ld,jld->jl",
        nn.functional.normalize(audio[clip], dim=-1),
        nn.functional.normalize(text[order], dim=-1),
    )
    return float((torch.logsumexp(cosines / 0.15, dim=0) - cosines[0] / 0.15).mean())


def test_a_lone_clip_among_its_duplicates_costs_nothing() -> None:
    model, text = two_streams(mask_duplicates=True), drawn(1, 3).expand(3, -1, -1)
    assert model(drawn(3, 2), text, keys(7, 7, 7))["loss"].item() == pytest.approx(0.0, abs=1e-6)


def test_remembered_text_is_as_good_as_a_larger_batch() -> None:
    model = two_streams(negatives=6).train()
    earlier, audio, text = drawn(4, 5), drawn(2, 2), drawn(2, 3)
    model(drawn(4, 4), earlier, keys(1, 2, 3, 4))
    found = model(audio, text, keys(5, 6))["loss"].item()
    assert found == pytest.approx(by_the_formula(audio, torch.cat([text, earlier])), rel=1e-5)


def test_an_empty_memory_changes_nothing() -> None:
    audio, text = drawn(3, 2), drawn(3, 3)
    assert two_streams(negatives=6)(audio, text, keys(1, 2, 3))["loss"].item() == pytest.approx(
        by_the_formula(audio, text), rel=1e-5
    )


def test_remembered_duplicates_are_masked_too() -> None:
    model = two_streams(negatives=6, mask_duplicates=True).train()
    audio, text = drawn(2, 2), drawn(2, 3)
    model(audio, text, keys(1, 2))
    model(audio, text, keys(1, 2))
    found = model(audio, text, keys(1, 2))["loss"].item()
    plain = two_streams()
    both = torch.cat([text, text[1:], text[1:]]), torch.cat([text, text[:1], text[:1]])
    first = by_the_formula_of(audio, both[0], 0, (0, 1, 2, 3))
    second = by_the_formula_of(audio, both[1], 1, (1, 0, 2, 3))
    assert found == pytest.approx((first + second) / 2, rel=1e-5)
    assert found > plain(audio, text, keys(1, 2))["loss"].item()


def test_evaluating_neither_reads_nor_writes_the_memory() -> None:
    model, audio, text = two_streams(negatives=4), drawn(2, 2), drawn(2, 3)
    model.train()(drawn(2, 4), drawn(2, 5), keys(8, 9))
    before = {name: value.clone() for name, value in model.memory.state_dict().items()}
    assert model.eval()(audio, text, keys(1, 2))["loss"].item() == pytest.approx(by_the_formula(audio, text), rel=1e-5)
    assert all(torch.equal(before[name], value) for name, value in model.memory.state_dict().items())


def test_the_memory_is_part_of_a_checkpoint() -> None:
    assert {"memory.keys", "memory.text", "memory.audio", "memory.written"} <= set(
        two_streams(negatives=2).state_dict()
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.lists(st.integers(1, 5), max_size=6))
def test_the_memory_holds_the_newest(size: int, batches: list[int]) -> None:
    memory, expected, counter = Memory(size, (1, 2), audio=True), deque[int](maxlen=size), 0
    for count in batches:
        names = torch.arange(counter, counter + count)
        tokens = names[:, None, None].expand(-1, 1, 2).float()
        memory.remember(names, tokens, -tokens)
        expected.extend(names.tolist())
        counter += count
    found, text, audio = memory.held()
    assert sorted(found.tolist()) == sorted(expected)
    assert text[:, 0, 0].tolist() == found.tolist()
    assert audio[:, 0, 0].tolist() == [-one for one in found.tolist()]


def test_both_directions_are_two_contrasts() -> None:
    audio, text = drawn(3, 2), drawn(3, 3)
    found = two_streams(symmetric=0.5)(audio, text, keys(1, 2, 3))["loss"].item()
    assert found == pytest.approx(by_the_formula(audio, text) + 0.5 * by_the_formula(text, audio), rel=1e-5)


def test_remembered_sounds_are_negatives_of_the_other_direction() -> None:
    model, audio, text = two_streams(symmetric=1.0, negatives=2).train(), drawn(2, 2), drawn(2, 3)
    before, words = drawn(2, 4), drawn(2, 5)
    model(before, words, keys(8, 9))
    found = model(audio, text, keys(1, 2))["loss"].item()
    there = by_the_formula(audio, torch.cat([text, words]))
    assert found == pytest.approx(there + by_the_formula(text, torch.cat([audio, before])), rel=1e-5)


def test_a_regression_adds_the_mean_squared_distance() -> None:
    audio, text = drawn(3, 2), drawn(3, 3)
    found = two_streams(regression=0.3)(audio, text, keys(1, 2, 3))["loss"].item()
    expected = by_the_formula(audio, text) + 0.3 * float(np.square(audio.numpy() - text.numpy()).mean())
    assert found == pytest.approx(expected, rel=1e-5)


def test_norms_add_the_squared_difference_of_their_logarithms() -> None:
    audio, text = drawn(3, 2), drawn(3, 3)
    found = two_streams(norms=2.0)(audio, text, keys(1, 2, 3))["loss"].item()
    logs = [np.log(np.linalg.norm(one.numpy(), axis=-1)) for one in (audio, text)]
    assert found == pytest.approx(by_the_formula(audio, text) + 2 * np.square(logs[0] - logs[1]).mean(), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 10), st.integers(0, 99))
def test_the_contrast_leaves_norms_free_and_the_norm_term_does_not(scale: float, seed: int) -> None:
    audio, text = drawn(2, seed), drawn(2, seed + 1)
    torch.testing.assert_close(
        sequence_contrast(scale * audio, text), sequence_contrast(audio, text), rtol=1e-4, atol=1e-5
    )
    assert float(norm_term(scale * text, text)) == pytest.approx(math.log(scale) ** 2, abs=1e-5)


def test_a_token_of_no_length_has_a_finite_norm_term_and_gradient() -> None:
    tokens = torch.zeros(1, 1, WIDTH, requires_grad=True)
    norm_term(tokens, drawn(1, 1, 1)).backward()
    assert torch.isfinite(tokens.grad).all()


def test_only_the_encoder_gets_a_gradient() -> None:
    model = two_streams(negatives=4, symmetric=1.0, regression=1.0, norms=1.0).train()
    model(drawn(2, 2), drawn(2, 3), keys(1, 2))["loss"].backward()
    model(drawn(2, 4), drawn(2, 5), keys(3, 4))["loss"].backward()
    assert model.encoder.scale.grad.abs().sum() > 0
    assert not any(value.requires_grad for value in model.memory.buffers())


@pytest.mark.parametrize("training", [True, False])
def test_a_mask_that_no_frame_drew_has_a_gradient_of_zero(training: bool) -> None:
    model = two_streams().train(training)
    model.encoder.masked_spec_embed = nn.Parameter(torch.ones(WIDTH))
    audio, text = drawn(2, 2), drawn(2, 3)
    loss = model(audio, text, keys(1, 2))["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(by_the_formula(audio, text), rel=1e-5)
    gradient = model.encoder.masked_spec_embed.grad
    assert (gradient is not None) == training
    assert gradient is None or not gradient.any()


def with_another_process(monkeypatch: pytest.MonkeyPatch, other: tuple[Tensor, Tensor, Tensor], rank: int) -> None:
    """Let the next gathering find `other` as the batch of a second process."""
    parts = iter(other)
    monkeypatch.setattr(losses, "is_initialized", lambda: True)
    monkeypatch.setattr(losses, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)

    def gathered(own: Tensor) -> list[Tensor]:
        found = [own, next(parts)]
        return found if rank == 0 else found[::-1]

    monkeypatch.setattr(losses, "_gathered", gathered)


@pytest.mark.parametrize("rank", [0, 1])
def test_gathered_captions_are_negatives(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    audio, text, elsewhere = drawn(2, 2), drawn(2, 3), drawn(2, 6)
    with_another_process(monkeypatch, (keys(8, 9), elsewhere, drawn(2, 7)), rank)
    found = two_streams(gather=True).train()(audio, text, keys(1, 2))["loss"].item()
    assert found == pytest.approx(by_the_formula(audio, torch.cat([text, elsewhere])), rel=1e-5)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_memory_is_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    model = two_streams(negatives=4).train()
    with_another_process(monkeypatch, (keys(8, 9), drawn(2, 6), drawn(2, 7)), rank)
    model(drawn(2, 2), drawn(2, 3), keys(1, 2))
    assert model.memory.keys.tolist() == ([1, 2, 8, 9] if rank == 0 else [8, 9, 1, 2])


@pytest.mark.parametrize("seconds", [0.5, 1.234, 1.99, 3.0])
def test_the_attention_mask_is_that_of_the_references_extractor(seconds: float) -> None:
    sound = torch.randn(round(seconds * 16_000), generator=torch.Generator().manual_seed(1)).numpy()
    how = {"padding": "max_length", "max_length": 200, "truncation": True, "return_tensors": "pt"}
    theirs = SeamlessM4TFeatureExtractor()(sound, sampling_rate=16_000, **how)
    assert torch.equal(attention_mask(theirs["input_features"]), theirs["attention_mask"].long())


def test_with_masks_the_encoder_hears_what_the_references_training_does(tiny_checkpoints: Path) -> None:
    encoder = Wav2Vec2BertModel.from_pretrained(tiny_checkpoints / "encoder").eval()
    sound = torch.randn(8000, generator=torch.Generator().manual_seed(2)).numpy()
    how = {"padding": "max_length", "max_length": 200, "truncation": True, "return_tensors": "pt"}
    asked = SeamlessM4TFeatureExtractor()(sound, sampling_rate=16_000, **how)
    text, shape = torch.randn(1, 25, 32), (25, 32)
    with torch.inference_mode():
        expected = encoder(**asked).last_hidden_state
        masked, plain = (
            TwoStream(encoder, Objective(), shape, masked=masked).eval()(asked["input_features"], text, keys(1))
            for masked in (True, False)
        )
    torch.testing.assert_close(masked["tokens"], expected)
    assert (plain["tokens"] - expected).abs().max() > 0.1
