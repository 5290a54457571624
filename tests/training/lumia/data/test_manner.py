"""Manners change how speech sounds and not what it says: pitch, length, voicing, tilt, as their names promise."""

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import manner
from clavilux.training.lumia.data.clips import MAX_SPOKEN, PEAK

HERTZ = 120.0  # of the voice that these tests speak with


def vowel(seconds: float = 0.8, hertz: float = HERTZ, formants: tuple[float, ...] = (700.0, 1200.0)) -> np.ndarray:
    """Return pulses through two resonances, between silences: what is left of a vowel."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros(len(time))
    for k in range(1, int(7000 / hertz)):
        height = sum(1 / (1 + ((k * hertz - formant) / 100) ** 2) for formant in formants) + 0.002
        sound += height * np.cos(2 * np.pi * k * hertz * time)
    return (0.4 * sound / np.abs(sound).max()).astype(np.float32)


def pitch(sound: np.ndarray) -> float:
    _, _, found = manner.analysed(sound)
    return float(np.median(found[found > 0]))


def band(sound: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum() / power.sum())


def dice(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_pitch_of_a_voice_is_found():
    assert pitch(vowel()) == pytest.approx(HERTZ, rel=0.03)
    assert pitch(vowel(hertz=230.0)) == pytest.approx(230.0, rel=0.03)


def test_noise_has_no_pitch():
    _, _, found = manner.analysed(dice().standard_normal(SAMPLE_RATE).astype(np.float32))
    assert (found > 0).mean() < 0.2


def test_the_filter_peaks_at_the_formants():
    filters, _, _ = manner.analysed(vowel(formants=(900.0,)))
    peak = np.abs(filters[len(filters) // 2]).argmax() * SAMPLE_RATE / manner.SPECTRUM
    assert peak == pytest.approx(900.0, abs=80.0)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.6])
def test_stretching_changes_the_length_alone(factor):
    long = manner.stretched(vowel(), factor)
    assert len(long) == round(factor * len(vowel()))
    assert pitch(long) == pytest.approx(HERTZ, rel=0.05)
    middle = long[len(long) // 5 : -len(long) // 5]
    assert np.sqrt(np.square(middle).mean()) == pytest.approx(np.sqrt(np.square(vowel()).mean()), rel=0.2)


def test_what_is_too_short_to_stretch_stays():
    assert len(manner.stretched(vowel(0.02), 1.5)) == len(vowel(0.02))


def test_a_child_has_higher_pitch_and_formants_and_takes_as_long():
    child = manner.higher(vowel(), 1.3)
    assert len(child) == pytest.approx(len(vowel()), abs=2)
    assert pitch(child) == pytest.approx(1.3 * HERTZ, rel=0.05)
    assert band(child, 1.3 * 600, 1.3 * 800) == pytest.approx(band(vowel(), 600, 800), abs=0.15)


def test_a_whisper_has_the_formants_without_the_pitch():
    quiet = manner.whispered(vowel(), dice())
    _, _, found = manner.analysed(quiet)
    assert (found > 0).mean() < 0.3
    assert band(quiet, 500, 1500) > 0.5
    assert len(quiet) == len(vowel())


def test_a_song_stays_on_a_note_of_the_scale_and_is_longer():
    song = manner.sung(vowel(), dice(3))
    assert 1.15 * len(vowel()) < len(song) <= 1.85 * len(vowel())
    key = 69 + 12 * np.log2(pitch(song) / 440.0)
    assert key == pytest.approx(round(key), abs=0.35)


def test_a_song_of_another_seed_has_another_note():
    assert len({round(pitch(manner.sung(vowel(), dice(seed)))) for seed in range(6)}) > 2


def test_what_has_no_pitch_is_not_sung():
    noise = (0.1 * np.sign(np.arange(8000) % 7 - 3.5) * dice().standard_normal(8000)).astype(np.float32)
    noise[:] = 0
    assert np.array_equal(manner.sung(noise, dice()), noise)


def test_a_shout_is_higher_and_brighter():
    loud = manner.shouted(vowel(), dice(1))
    assert pitch(loud) > 1.05 * HERTZ
    assert band(loud, 2000, 8000) > band(vowel(), 2000, 8000)


def test_hesitation_pauses_in_the_gap():
    gap = np.concatenate([vowel(0.2), np.zeros(1600, np.float32), vowel(0.4)])
    slow = manner.hesitating(gap, dice(2))
    quiet = np.abs(slow) < 1e-3
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int))))[::2]
    assert len(slow) > 1.15 * len(gap)
    assert runs.max() > 1600 * 1.15 + 0.06 * SAMPLE_RATE


def test_without_a_gap_there_is_no_pause():
    slow = manner.hesitating(vowel(), dice(2))
    assert 1.1 * len(vowel()) < len(slow) < 1.65 * len(vowel())


@pytest.mark.parametrize("name", manner.MANNERS)
def test_every_manner_is_finite_seeded_and_within_a_clip(name):
    for seconds in (0.01, 0.3, MAX_SPOKEN):
        sound = vowel(seconds)
        one, two = (manner.MANNERS[name](sound, dice(5)) for _ in range(2))
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        assert 0 < len(one) <= MAX_SPOKEN * SAMPLE_RATE
        np.testing.assert_array_equal(one, two)


def test_some_manner_has_the_usual_peak():
    for seed in range(6):
        assert np.abs(manner.in_some_manner(vowel(0.4), dice(seed))).max() == pytest.approx(PEAK)
