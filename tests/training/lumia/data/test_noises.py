"""Noises mean nothing, keep the test's seeds apart, and have the spectra that their names promise."""

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import noises
from clavilux.training.lumia.data.clips import PEAK
from clavilux.training.lumia.data.noises import NOISES, SECONDS, take


def slope(sound: np.ndarray) -> float:
    """Fall of the power from 200..400 Hz to 3200..6400 Hz in dB an octave."""
    power = np.square(np.abs(np.fft.rfft(sound, 2 * SAMPLE_RATE)))
    low, high = power[400:800].mean(), power[6_400:12_800].mean()
    return float(10 * np.log10(low / high) / 4)


@pytest.mark.parametrize("name", NOISES)
def test_a_take_is_finite_level_short_and_means_nothing(name):
    clip = take(name, 0, 1, "train")
    assert np.isfinite(clip.sound).all()
    assert 0.3 < len(clip.sound) / SAMPLE_RATE <= SECONDS
    assert np.abs(clip.sound).max() == pytest.approx(PEAK)
    assert (clip.label, clip.text, clip.origin.voice) == ("", "", name)
    assert (clip.origin.source, clip.origin.licence) == ("synthesised", "Apache-2.0")


@pytest.mark.parametrize("name", ["noise/pink", "tone/sweep", "singing/solo"])
def test_the_same_seed_gives_the_same_take_and_the_test_has_its_own(name):
    first = take(name, 0, 1, "train").sound.tobytes()
    assert first == take(name, 0, 1, "train").sound.tobytes()
    assert first not in {take(name, i, 1, "test").sound.tobytes() for i in range(3)}
    assert first != take(name, 0, 2, "train").sound.tobytes()


def test_a_tenth_of_each_is_for_the_test(monkeypatch):
    monkeypatch.setattr(noises, "NOISES", {"noise/white": (noises.white, 20), "tone/pure": (noises.pure, 10)})
    trained, measured = ([clip.origin.voice for clip in noises.noises(1, split)] for split in ("train", "test"))
    assert trained == ["noise/white"] * 20 + ["tone/pure"] * 10
    assert measured == ["noise/white"] * 2 + ["tone/pure"]


@pytest.mark.parametrize(
    ("name", "low", "high"), [("noise/white", -1, 1), ("noise/pink", 1.5, 4.6), ("noise/brown", 4.4, 8.5)]
)
def test_noises_fall_by_their_colour(name, low, high):
    falls = [slope(take(name, i, 1, "train").sound) for i in range(5)]
    assert low < min(falls)
    assert max(falls) < high


def test_a_hum_has_its_power_at_multiples_of_the_mains():
    for i in range(4):
        power = np.square(np.abs(np.fft.rfft(take("noise/hum", i, 1, "train").sound, 4 * SAMPLE_RATE)))[: 4 * 1_000]
        hertz = np.arange(len(power)) / 4
        shares = [power[np.abs(hertz - mains * np.round(hertz / mains)) < 3].sum() / power.sum() for mains in (50, 60)]
        assert max(shares) > 0.5


def test_a_sung_note_has_its_pitch():
    sound = noises.sung(np.random.default_rng(1), SAMPLE_RATE, 200.0, 17.0)
    power = np.abs(np.fft.rfft(sound))
    harmonic = np.concatenate([power[200 * k - 12 : 200 * k + 12] for k in range(1, 8)])
    between = np.concatenate([power[200 * k + 80 : 200 * k + 120] for k in range(1, 8)])
    assert np.square(harmonic).mean() > 20 * np.square(between).mean()
