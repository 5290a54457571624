"""Scores count what they say, on clips whose answers are known."""

import numpy as np
import pytest
import torch

from training import evaluate
from training.clips import ClipBank
from training.concepts import NAMES
from training.evaluate import Score, answers, confusions, in_a_room, report, score, table_of
from training.features import SILENCE

TABLE = torch.eye(len(NAMES))[:, None, :]  # one token per concept, each in its own direction


def clip(concept: int) -> np.ndarray:
    """A sound that `knowing` recognises: its peak frame's brightest bin tells the concept."""
    pitch = 500 + 200 * concept
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(8000) / 16_000)).astype(np.float32)


def brightest(frames: torch.Tensor) -> torch.Tensor:
    return frames.amax(dim=1).argmax(dim=1)


BINS = torch.stack([brightest(evaluate.windows(clip(i), [0]))[0] for i in range(len(NAMES))])


def knowing(frames: torch.Tensor) -> torch.Tensor:
    nearest = (brightest(frames)[:, None] - BINS[None, :]).abs().argmin(dim=1)
    return TABLE[nearest]


def bank(concepts: tuple[int, ...], voice: str = "flite/rms") -> ClipBank:
    return ClipBank([clip(i) for i in concepts], [NAMES[i] for i in concepts], [voice] * len(concepts))


def test_a_knowing_encoder_is_always_right():
    found = answers(knowing, TABLE, bank((0, 9, 20)).sounds, [0, 1600])
    assert found.tolist() == [[0, 0], [9, 9], [20, 20]]


def test_a_score_is_the_share_of_right_windows():
    found = torch.tensor([[0, 1], [9, 9]])
    assert score("x", found, bank((0, 9))) == Score("x", 2, 0.75)


def test_the_report_has_a_row_per_engine_and_for_all():
    speech = bank((0, 3)).merged(bank((5,), "hibari/heart"))
    scores = report(knowing, TABLE, speech, bank((4,), "effect/1"))
    names = [one.what for one in scores]
    assert names[:3] == ["flite, whole word", "hibari, whole word", "all held-out voices, whole word"]
    assert {one.right for one in scores[:3]} == {1.0}
    assert scores[-1].clips == 1


def test_the_report_slides_the_window_past_the_word():
    names = [one.what for one in report(knowing, TABLE, bank((0,)), bank((0,)))]
    assert sum("sliding window" in name for name in names) == len(evaluate.SLIDING)


def test_a_room_has_noise_everywhere_and_the_sound_in_it():
    (room,) = in_a_room([clip(3)], seed=0)
    assert len(room) == 8000 + 2.5 * 16_000
    assert room[:16_000].std() == pytest.approx(evaluate.ROOM_NOISE, rel=0.1)
    assert np.abs(room).max() == pytest.approx(0.5, abs=0.05)


def test_a_room_is_the_same_each_time():
    np.testing.assert_array_equal(in_a_room([clip(3)], seed=1)[0], in_a_room([clip(3)], seed=1)[0])


def test_the_table_is_markdown_with_the_chance_level():
    lines = table_of([Score("flite", 28, 0.5)]).splitlines()
    assert lines[2] == "| flite | 28 | 50.0 % |"
    assert lines[-1] == f"| chance | | {100 / len(NAMES):.1f} % |"


def test_confusions_are_counted_and_sorted():
    found = torch.tensor([[1], [1], [5]])
    speech = bank((0, 0, 5))
    assert confusions(found, speech) == [f"{NAMES[0]} as {NAMES[1]}: 2"]


def test_silence_looks_like_nothing_that_is_known():
    assert float(evaluate.windows(np.zeros(1, np.float32), [0]).amax()) == pytest.approx(SILENCE, rel=1e-5)
