"""Each link between mouth and encoder does what it is called, and a chain is seeded and keeps the length."""

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import channel
from clavilux.training.lumia.data.channel import Surroundings
from clavilux.training.lumia.data.clips import PEAK

BOX = np.array([5.0, 4.0, 3.0])
MOUTH, EAR = np.array([1.0, 2.0, 1.5]), np.array([3.0, 2.0, 1.5])


def noise(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def power(sound: np.ndarray) -> float:
    return float(np.square(sound, dtype=np.float64).mean())


def band(sound: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    return float(spectrum[(hertz >= low) & (hertz < high)].sum() / spectrum.sum())


def test_the_direct_sound_comes_first_after_its_way():
    response = channel.impulse_response(BOX, MOUTH, EAR, 0.7)
    assert np.abs(response).argmax() == pytest.approx(2.0 / channel.SPEED_OF_SOUND * SAMPLE_RATE, abs=1)


def test_walls_that_swallow_everything_leave_the_direct_sound_alone():
    response = channel.impulse_response(BOX, MOUTH, EAR, 0.0)
    assert np.sort(np.abs(response))[-2] < 0.1 * np.abs(response).max()


def test_the_first_reflections_come_from_the_images_behind_the_walls():
    delays, gains = channel._images(BOX, MOUTH, EAR, 0.5, reach=4.5)
    floor = np.hypot(2.0, 3.0)  # m: mouth and ear are 1.5 m above it, and as far below the ceiling
    near = np.isclose(delays * channel.SPEED_OF_SOUND, floor)
    assert near.sum() == 2
    assert gains[near] == pytest.approx(0.5 / (4 * np.pi * floor))


def test_harder_walls_ring_longer():
    soft, hard = (channel.impulse_response(BOX, MOUTH, EAR, reflection) for reflection in (0.5, 0.9))
    late = SAMPLE_RATE // 10
    assert power(hard[late:]) / power(hard) > 10 * power(soft[late:]) / power(soft)


def test_sound_in_a_room_begins_with_the_direct_sound_and_has_a_tail():
    click = np.zeros(4000, np.float32)
    click[100] = 1.0
    wet = channel.in_a_room(click, channel.room(3))
    assert np.abs(wet).argmax() == 100
    assert len(wet) == 4000 + channel.TAIL
    assert np.abs(wet[101:]).max() > 0


def test_a_room_of_a_number_is_always_the_same():
    channel.room.cache_clear()
    first = channel.room(7)
    channel.room.cache_clear()
    np.testing.assert_array_equal(channel.room(7), first)
    assert not np.array_equal(channel.room(8), first)


@pytest.mark.parametrize("decibel", [5.0, 20.0])
def test_what_lies_underneath_is_as_many_decibels_below(decibel):
    speech, music = tone(300.0), noise()
    rest = channel.over(speech, music, decibel) - speech
    assert 10 * np.log10(power(speech) / power(rest)) == pytest.approx(decibel, abs=0.1)


def test_silence_underneath_changes_nothing():
    np.testing.assert_array_equal(channel.over(tone(300.0), np.zeros(8000, np.float32), 5.0), tone(300.0))


def test_sounds_are_laid_over_each_other_without_a_gap():
    mixed = channel.overlaid([noise(0.1), noise(0.15, 1)], 16_000, np.random.default_rng(0))
    assert len(mixed) == 16_000
    assert min(power(piece) for piece in mixed.reshape(10, -1)) > 0


def test_a_small_loudspeaker_has_no_low_frequencies():
    low, high = (power(channel.small_loudspeaker(tone(hertz), np.random.default_rng(1))) for hertz in (60.0, 1500.0))
    assert low < 0.05 * high


def test_a_telephone_passes_its_band_alone():
    through = [power(channel.telephone(tone(hertz))) / power(tone(hertz)) for hertz in (100.0, 1000.0, 6000.0)]
    assert through[0] < 0.1
    assert through[1] == pytest.approx(1.0, abs=0.2)
    assert through[2] < 1e-3


def test_narrow_sound_has_nothing_above_four_kilohertz():
    assert band(channel.narrow(noise()), 4300.0, 8000.0) < 1e-3
    assert len(channel.narrow(noise())) == len(noise())


def test_automatic_gain_brings_soft_and_loud_nearer():
    sound = np.concatenate([0.05 * tone(300.0), tone(300.0), 0.05 * tone(300.0, 1.0)])
    even = channel.automatic_gain(sound, 0.01, 0.1)
    assert power(even[8000:16_000]) / power(even[-4000:]) < 0.2 * power(sound[8000:16_000]) / power(sound[-4000:])


def test_clipping_flattens_the_peaks_by_as_many_decibels():
    flat = channel.clipped(tone(300.0), 6.0)
    assert np.abs(flat).max() == pytest.approx(PEAK)
    assert (np.abs(flat) > 0.999 * PEAK).mean() == pytest.approx(2 / 3, abs=0.02)  # arcsin(1/2) of the rest
    assert (np.abs(channel.clipped(tone(300.0), 6.0, soft=True)) > 0.999 * PEAK).mean() < 0.2


def test_eight_bits_have_their_steps():
    steps = channel.in_bytes(noise()) * channel.BYTE_STEPS
    np.testing.assert_array_equal(steps, np.round(steps))
    assert len(np.unique(steps)) <= 256


def test_faint_sound_lies_on_the_steps_of_sixteen_bits():
    soft = channel.faint(tone(300.0), -60.0)
    assert np.abs(soft).max() == pytest.approx(1e-3, abs=2 / 32768)
    np.testing.assert_array_equal(soft * 32768, np.round(soft * 32768))


@pytest.mark.parametrize("codec", channel.CODECS)
def test_a_codec_returns_the_same_sound_in_its_place(codec):
    sound = np.pad(tone(440.0, 0.3) * np.hanning(4800).astype(np.float32), (2000, 2000))
    back = channel.coded(sound, *codec)
    assert len(back) == len(sound)
    assert np.corrcoef(back, sound)[0, 1] > 0.9
    assert not np.array_equal(back, sound)


def test_a_chain_is_seeded_and_keeps_length_and_peak():
    around = Surroundings([noise(1.0, 1)], [noise(0.3, 2)])
    peaks, changed = [], 0
    for seed in range(30):
        one, two = (channel.travelled(tone(300.0), np.random.default_rng(seed), around) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.float32
        assert len(one) - len(tone(300.0)) in (0, channel.TAIL)
        peaks.append(np.abs(one).max())
        changed += not np.array_equal(one, tone(300.0))
    assert changed == 30
    usual = [peak for peak in peaks if peak == pytest.approx(PEAK)]
    faint = [peak for peak in peaks if peak < 0.04]
    assert len(usual) + len(faint) == 30
    assert len(usual) > 20
    assert faint


def test_without_other_sounds_a_chain_still_holds():
    for seed in range(10):
        assert np.isfinite(channel.travelled(noise(0.02, seed), np.random.default_rng(seed), Surroundings())).all()
