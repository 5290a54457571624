"""Conditions are what they are called, for every clip, and the same each time."""

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import channel
from clavilux.training.lumia.data.clips import PEAK, LabelledClip, Origin
from clavilux.training.lumia.measure import conditions
from clavilux.training.lumia.measure.conditions import LEAD, WHOLE, amplitude

ORIGIN = Origin("hibari/heart", "PyPI hibari-tts", "Apache-2.0")
MUSIC = [np.sin(0.05 * np.arange(20_000)).astype(np.float32), np.sin(0.11 * np.arange(9000)).astype(np.float32)]


def clips(count: int = 3) -> list[LabelledClip]:
    time = np.arange(SAMPLE_RATE // 2)
    return [LabelledClip((PEAK * np.sin(0.1 * (i + 2) * time)).astype(np.float32), "dog", ORIGIN) for i in range(count)]


def deviation(sound: np.ndarray) -> float:
    return float(np.sqrt(np.square(sound, dtype=np.float64).mean()))


def test_every_condition_keeps_the_words_and_is_seeded():
    first, second = (conditions.conditions(clips(), MUSIC) for _ in range(2))
    assert len({one.what for one in first}) == len(first) == 8
    for one, two in zip(first, second, strict=True):
        assert [clip.label for clip in one.clips] == ["dog"] * 3
        assert all(np.array_equal(x.sound, y.sound) for x, y in zip(one.clips, two.clips, strict=True))
        assert not any(np.array_equal(x.sound, y.sound) for x, y in zip(one.clips, clips(), strict=True))


def test_without_music_there_is_no_such_condition():
    assert not any("music" in one.what for one in conditions.conditions(clips(), []))


def test_what_sounds_through_ends_behind_the_word_and_is_looked_at_there():
    for one in conditions.conditions(clips(), MUSIC):
        longer = len(one.clips[0].sound) - SAMPLE_RATE // 2
        assert longer == (LEAD + WHOLE if one.offset == 0 else channel.TAIL if "room" in one.what else 0)


@pytest.mark.parametrize("decibel", [-40.0, -30.0])
def test_noise_has_its_level_before_and_behind(decibel):
    (noisy, *_) = conditions.in_noise(clips(), amplitude(decibel), 0)
    for part in (noisy.sound[:LEAD], noisy.sound[-WHOLE:]):
        assert 20 * np.log10(deviation(part)) == pytest.approx(decibel, abs=0.3)


def test_a_quiet_word_lies_on_the_steps_of_sixteen_bits_in_noise():
    (soft, *_) = conditions.quiet(clips())
    steps = soft.sound * channel.SHORT_STEPS
    np.testing.assert_array_equal(steps, np.round(steps))
    assert np.abs(steps).max() == pytest.approx(1e-3 * channel.SHORT_STEPS, abs=5)
    assert 0 < np.abs(steps[:LEAD]).max() <= 6


def test_clipping_keeps_the_peak_and_adds_power():
    flat = [conditions.clipped(clips(), decibel)[0].sound for decibel in (6.0, 12.0)]
    assert [np.abs(one).max() for one in flat] == [pytest.approx(PEAK)] * 2
    assert deviation(flat[1]) > deviation(flat[0]) > deviation(clips()[0].sound)


def test_rooms_are_none_of_trainings():
    assert not set(conditions.ROOMS) & set(range(channel.ROOMS))


def test_music_is_ten_decibels_below_the_word():
    (mixed, *_) = conditions.over_music(clips(), MUSIC)
    rest = mixed.sound - np.pad(clips()[0].sound, (LEAD, WHOLE))
    assert 20 * np.log10(deviation(clips()[0].sound) / deviation(rest)) == pytest.approx(10.0, abs=0.1)
