"""Loudness: the power of each 10 ms, without offset, however the sound was cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.hearing.loudness import Loudness, decibels
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.format import FRAME_STEP

NOISE = np.random.default_rng(0).normal(scale=0.1, size=20 * FRAME_STEP + 70).astype(np.float32)


def test_full_power_is_0_dbfs_and_nothing_is_quieter_than_the_least() -> None:
    assert decibels(1.0) == 0.0
    assert decibels(0.01) == pytest.approx(-20.0)
    assert decibels(0.0) == decibels(1e-30) == SILENCE_DB


def test_a_step_has_the_power_of_its_samples() -> None:
    loudness = Loudness(20)
    loudness.push(NOISE)
    assert 10 * np.log10(loudness.read(0, 20).mean()) == pytest.approx(-20.0, abs=0.3)


def test_an_offset_has_no_power() -> None:
    loudness = Loudness(20)
    loudness.push(np.full(20 * FRAME_STEP, 0.5, np.float32))
    assert loudness.read(0, 20).max() < 1e-20


def test_what_is_gone_and_what_has_not_come_is_left_out() -> None:
    loudness = Loudness(5)
    loudness.push(NOISE[: 8 * FRAME_STEP])
    assert len(loudness.read(0, 100)) == 5
    assert len(loudness.read(7, 100)) == 1
    assert len(loudness.read(8, 100)) == 0


@given(st.lists(st.integers(0, len(NOISE)), max_size=8))
def test_pieces_have_the_same_powers_as_the_whole(cuts: list[int]) -> None:
    whole, pieces = Loudness(20), Loudness(20)
    whole.push(NOISE)
    for piece in np.split(NOISE, sorted(cuts)):
        pieces.push(piece)
    assert pieces.steps == whole.steps == 20
    assert (pieces.read(0, 20) == whole.read(0, 20)).all()
