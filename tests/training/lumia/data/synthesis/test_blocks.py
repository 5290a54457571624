"""The building blocks do to spectra and envelopes what their names say."""

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.synthesis import blocks
from clavilux.training.lumia.data.synthesis.blocks import Dice, Sound

N = SAMPLE_RATE  # a second


@pytest.fixture
def dice() -> Dice:
    return np.random.default_rng(7)


def spectrum(sound: Sound) -> Sound:
    """Magnitudes at whole hertz, of a second of sound."""
    return np.abs(np.fft.rfft(sound[:N], N))


def power(sound: Sound, low: int, high: int) -> float:
    return float(np.square(spectrum(sound)[low:high]).mean())


def test_a_duration_in_samples_is_never_nothing():
    assert (blocks.length(0.5), blocks.length(0.0)) == (SAMPLE_RATE // 2, 32)


def test_ratios_lie_between_and_halves_are_as_likely_below_the_geometric_mean(dice):
    drawn = [blocks.ratio(dice, 10, 1_000) for _ in range(400)]
    assert 10 <= min(drawn) < max(drawn) <= 1_000
    assert 160 < sum(one < 100 for one in drawn) < 240


def test_a_kind_without_a_share_is_never_picked(dice):
    picked = {float(blocks.pick(dice, (lambda _: np.zeros(1), lambda _: np.ones(1)), (0, 1))[0]) for _ in range(20)}
    assert picked == {1.0}


def test_a_contour_begins_and_ends_at_its_points_and_stays_between():
    found = blocks.curve(100, 1.0, 3.0, 2.0)
    assert (found[0], found[-1]) == (1.0, 2.0)
    assert found.min() >= 1.0
    assert found.max() == pytest.approx(3.0, abs=0.01)


def test_a_contour_of_one_point_is_constant():
    assert set(blocks.curve(10, 2.0)) == {2.0}


def test_a_swell_is_silent_at_both_ends_and_whole_between():
    found = blocks.swell(1_600, 0.02, 0.02)
    assert found[0] == 0
    assert found[-1] < 0.01
    assert found[800] == 1


def test_a_decay_has_lost_60_decibels_after_its_time():
    assert 20 * np.log10(blocks.decay(N + 1, 1.0)[-1]) == pytest.approx(-60)


@pytest.mark.parametrize("hertz", [50, 440, 7_000])
def test_a_tone_has_its_pitch(hertz):
    assert spectrum(blocks.tone(hertz, N)).argmax() == hertz


def test_harmonics_fall_by_their_tilt_and_end_below_the_top():
    found = spectrum(blocks.harmonics(np.full(N, 500.0), 6.02))
    assert found[1_000] / found[500] == pytest.approx(0.5, rel=0.01)
    assert found[7_550:].max() < 1e-3 * found[500]


def test_odd_harmonics_leave_the_even_ones_out():
    found = spectrum(blocks.harmonics(np.full(N, 500.0), 6, odd=True))
    assert found[1_000] < 1e-6 * found[1_500]


def test_noise_falls_by_its_slope(dice):
    white, brown = blocks.noise(dice, N), blocks.noise(dice, N, 1.0)
    assert power(white, 500, 1_000) == pytest.approx(power(white, 4_000, 8_000), rel=0.2)
    assert power(brown, 500, 1_000) == pytest.approx(64 * power(brown, 4_000, 8_000), rel=0.3)
    assert (white.std(), brown.std()) == pytest.approx((1, 1), rel=0.03)


def test_a_band_keeps_what_lies_in_it_and_takes_what_does_not(dice):
    found = blocks.band(blocks.noise(dice, N), 1_000, 2_000)
    assert power(found, 1_200, 1_800) > 30 * power(found, 200, 400)
    assert power(found, 1_200, 1_800) > 30 * power(found, 6_000, 7_000)


def test_a_filter_over_time_that_does_nothing_gives_the_sound_back(dice):
    sound = blocks.noise(dice, 3_001)
    frames = -(-len(sound) // blocks.HOP) + blocks.FRAME // blocks.HOP
    assert blocks.refiltered(sound, np.ones((frames, blocks.FRAME // 2 + 1))) == pytest.approx(sound, abs=1e-9)


@pytest.mark.parametrize("shape", [blocks.resonance, blocks.bell])
def test_a_formant_lifts_its_frequency(dice, shape):
    found = blocks.formants(blocks.noise(dice, N), [2_000.0], 8, shape)
    assert power(found, 1_950, 2_050) > 20 * power(found, 500, 700)
    assert power(found, 1_950, 2_050) > 20 * power(found, 5_000, 6_000)


def test_a_bell_leaves_alone_what_is_far_from_it_and_a_resonance_takes_what_is_above():
    far = np.array([10.0, 8_000.0])
    assert blocks.bell(far, 500.0, 60.0) == pytest.approx([1.0, 1.0], abs=0.01)
    assert blocks.resonance(far, 500.0, 60.0) == pytest.approx([1.0, 0.004], abs=0.01)


def test_a_formant_follows_its_track(dice):
    n = 2 * N
    found = blocks.formants(blocks.noise(dice, n), [np.repeat([800.0, 4_000.0], N)], 10)
    for part, centre in ((found[:N], 800), (found[N:], 4_000)):
        assert abs(int(np.convolve(spectrum(part) ** 2, np.ones(200), "same").argmax()) - centre) < 250


def test_a_voice_has_the_pitch_that_it_is_given(dice):
    found = spectrum(blocks.voice(dice, np.full(N, 200.0), [600.0, 1_500.0], jitter=0.0, breath=0.0))
    assert np.abs(found[200 - 3 : 200 + 4]).max() > 20 * found[280:320].max()


def test_a_rough_voice_has_more_between_its_harmonics(dice):
    smooth, rough = (blocks.voice(dice, np.full(N, 200.0), [600.0], rough=rough, jitter=0) for rough in (0, 1))
    assert power(rough, 280, 320) / power(rough, 195, 205) > 3 * power(smooth, 280, 320) / power(smooth, 195, 205)


def test_a_longer_tube_has_lower_resonances_and_the_quarter_wave_is_the_first():
    assert blocks.tube(17.5)[:2] == pytest.approx([500, 1_500])
    assert blocks.tube(35.0)[0] == pytest.approx(250)
    assert max(blocks.tube(6.0)) < blocks.TOP


def test_modes_decay_by_their_times():
    found = blocks.modes(N, [1_000.0], [0.5], [1.0])
    early, late = (np.abs(found[start : start + 160]).max() for start in (0, 4_000))
    assert 20 * np.log10(late / early) == pytest.approx(-30, abs=1)


def test_modes_above_the_top_are_left_out():
    assert not blocks.modes(100, [9_000.0], [1.0], [1.0]).any()


def test_a_knock_is_soon_gone(dice):
    found = np.square(blocks.knock(dice, N // 2, 800, 0.08))
    assert found[: N // 10].sum() > 100 * found[N // 4 :].sum()


def test_convolving_with_a_click_gives_the_sound_at_its_place(dice):
    sound = blocks.noise(dice, 100)
    found = blocks.convolved(sound, np.array([0.0, 0.0, 2.0]))
    assert len(found) == 102
    assert found[2:] == pytest.approx(2 * sound)


def test_impulses_come_at_their_rate(dice):
    assert 150 < np.count_nonzero(blocks.impulses(dice, N, 200.0)) < 250
    assert not blocks.impulses(dice, N, 0.0).any()


def test_a_sound_is_added_where_it_begins_and_cut_where_the_other_ends():
    target = np.zeros(N)
    blocks.add(target, np.ones(200), 0.99, 0.5)
    assert np.flatnonzero(target).tolist() == list(range(int(0.99 * N), N))[:200]
    blocks.add(target, np.ones(10), 5.0)
    assert target.max() == 0.5


def test_sounds_in_turn_keep_their_gaps():
    assert blocks.in_turn([np.ones(4), np.ones(4)], [0.001, 0.0]).tolist() == [1] * 4 + [0] * 16 + [1] * 4


def test_calls_are_counted_from_nought(dice):
    asked: list[int] = []

    def call(number: int) -> Sound:
        asked.append(number)
        return np.ones(10)

    assert len(blocks.repeated(dice, call, 3, (0.1, 0.1))) > 3 * 10
    assert asked == [0, 1, 2]


def test_silence_stays_silent_at_any_level():
    assert not blocks.level(np.zeros(4)).any()
    assert blocks.level(np.array([0.1, -0.2])) == pytest.approx([0.5, -1])


def test_a_driven_sound_is_louder_on_average_and_no_higher():
    sound = blocks.tone(100, N) * np.linspace(0, 1, N)
    driven = blocks.soft(sound, 4)
    assert np.abs(driven).max() == pytest.approx(1, abs=1e-3)
    assert driven.std() > 1.2 * sound.std()


def test_a_room_adds_a_tail_behind_the_sound(dice):
    found = blocks.room(dice, blocks.level(blocks.noise(dice, 800)), 1.0, 0.5)
    tail = [np.square(found[start : start + 800]).sum() for start in (1_600, 6_400)]
    assert tail[0] > 4 * tail[1] > 0


def test_half_of_all_sounds_are_near_and_left_as_they_are():
    sound = blocks.tone(500, 1_000)
    left = [blocks.afar(np.random.default_rng(seed), sound) is sound for seed in range(100)]
    assert 30 < sum(left) < 70
