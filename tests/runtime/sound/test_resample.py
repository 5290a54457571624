"""Resampling: true to the sound, free of aliases, 2 to 5 ms behind, and the same however the sound was cut."""

from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.sound import resample
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.resample import PHASES, Resampler, filter_bank, most_phases
from tests.runtime.sound.sounds import cuts, noise

RATES = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 47_999, 48_000, 96_000, 191_999, 192_000]
EDGE = 400  # samples at both ends where a sound that begins or ends at once rings


def tone(rate: int, hertz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    resampler = Resampler(rate, 1)
    return np.concatenate([resampler.push(sound[:, None]), resampler.finish()])


def decibels(sound: np.ndarray) -> float:
    return float(20 * np.log10(np.std(sound[EDGE:-EDGE]) * np.sqrt(2) + 1e-9))


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_time_and_its_strength(rate: int) -> None:
    found = resampled(tone(rate, 1000.0), rate)
    assert len(found) == SAMPLE_RATE
    np.testing.assert_allclose(found[EDGE:-EDGE], tone(SAMPLE_RATE, 1000.0)[EDGE:-EDGE], atol=1e-4)


@pytest.mark.parametrize("rate", [22_050, 44_100, 47_999, 48_000, 192_000])
@pytest.mark.parametrize(("hertz", "least", "most"), [(7300.0, -0.1, 0.1), (8700.0, -999.0, -80.0)])
def test_what_16_khz_holds_passes_and_what_it_does_not_is_gone(
    rate: int, hertz: float, least: float, most: float
) -> None:
    assert least <= decibels(resampled(tone(rate, hertz), rate)) <= most


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_speech_like_sound_equals_that_of_another_resampler(rate: int) -> None:
    time = np.arange(rate) / rate
    sound = sum(np.sin(2 * np.pi * hertz * time * (1 + 0.1 * time)) / 5 for hertz in (120, 700, 2500, 5000))
    theirs = soxr.resample(sound.astype(np.float32), rate, SAMPLE_RATE)
    np.testing.assert_allclose(resampled(sound.astype(np.float32), rate)[EDGE:-EDGE], theirs[EDGE:-EDGE], atol=2e-4)


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate != SAMPLE_RATE])
def test_the_output_is_never_more_than_a_few_milliseconds_behind(rate: int) -> None:
    resampler, made, block = Resampler(rate, 1), 0, rate // 100
    for count in range(1, 60):
        made += len(resampler.push(np.zeros((block, 1), np.float32)))
        behind = count * block / rate - made / SAMPLE_RATE
        assert 0 <= behind < (0.0026 if rate > SAMPLE_RATE else 0.0055)


@given(places=cuts(4800, most=6), rate=st.sampled_from(RATES))
@settings(max_examples=25, deadline=None)
def test_any_cut_gives_the_same_samples(places: list[int], rate: int) -> None:
    sound = noise(4800)[:, None]
    whole, parts = Resampler(rate, 1), Resampler(rate, 1)
    expected = np.concatenate([whole.push(sound), whole.finish()])
    found = [parts.push(sound[start:stop]) for start, stop in pairwise([0, *places, 4800])]
    np.testing.assert_array_equal(np.concatenate([*found, parts.finish()]), expected)


@given(samples=st.integers(0, 3000), rate=st.sampled_from(RATES))
@settings(max_examples=40, deadline=None)
def test_a_source_of_any_length_gives_all_its_time(samples: int, rate: int) -> None:
    found = resampled(np.ones(samples, np.float32), rate)
    assert len(found) == -(-samples * SAMPLE_RATE // rate)


def test_constant_sound_stays_constant() -> None:
    np.testing.assert_allclose(resampled(np.ones(48_000, np.float32), 48_000)[EDGE:-EDGE], 1.0, atol=1e-6)


def test_channels_become_one_before_that() -> None:
    both = np.stack([tone(48_000, 500.0), -tone(48_000, 500.0)], axis=1)
    resampler = Resampler(48_000, channels=2)
    found = resampler.push(both)
    np.testing.assert_allclose(found[EDGE:-EDGE], tone(SAMPLE_RATE, 500.0)[EDGE : len(found) - EDGE], atol=1e-4)
    assert resampler.mixdown.taken == 1


def test_every_filter_sums_to_one() -> None:
    bank = filter_bank(44_100, 160)
    assert bank.shape[0] == 161
    np.testing.assert_allclose(bank.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("rate", [8_009, 44_056, 96_001, 191_992, 191_999])
def test_no_rate_asks_for_a_larger_bank_than_any_other(rate: int) -> None:
    bank = filter_bank(rate, most_phases(rate))
    assert bank.size <= 1.1 * filter_bank(16_001, PHASES).size


def test_the_filters_of_rates_in_use_are_exact_ones() -> None:
    for rate in (8_000, 11_025, 22_050, 44_100, 88_200, 176_400):
        assert SAMPLE_RATE // np.gcd(rate, SAMPLE_RATE) <= most_phases(rate)


@pytest.mark.parametrize("rate", [47_999, 191_999])
def test_between_two_filters_lies_what_the_exact_one_gives(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = resampled(noise(rate // 10), rate)
    monkeypatch.setattr(resample, "most_phases", lambda _: SAMPLE_RATE)
    np.testing.assert_allclose(found, resampled(noise(rate // 10), rate), atol=1e-7)


def test_a_rate_that_comes_back_finds_its_filters_and_nobody_changes_them() -> None:
    assert Resampler(44_100, 1)._bank is Resampler(44_100, 2)._bank
    assert not filter_bank(44_100, 160).flags.writeable


def test_it_counts_what_it_took_and_what_waits() -> None:
    resampler = Resampler(48_000, 1)
    resampler.push(noise(1000)[:, None])
    assert (resampler.taken, resampler.waiting) == (960, 40)
    resampler.finish()
    assert (resampler.taken, resampler.waiting) == (1000, 0)
