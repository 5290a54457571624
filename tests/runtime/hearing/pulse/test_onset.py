import numpy as np

from clavilux.runtime.hearing.pulse.onset import Onsets
from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from tests.runtime.hearing.pulse.sounds import clicks, drum_loop, placed, times, tone

LATEST = 0.025  # s


def told(samples: np.ndarray) -> np.ndarray:
    """Return the ends of the readings that tell an onset, in seconds."""
    return np.array([(one.index + 1) / 100 for one in PulseTracker().push(samples) if one.onset])


def test_every_click_is_told_once_and_in_time():
    at = times(tempo=173, seconds=8)
    found = told(clicks(at, 8))
    assert len(found) == len(at)
    assert 0 <= (found - at).min() <= (found - at).max() <= LATEST


def test_notes_of_soft_instruments_are_told_too():
    note = tone(220, 0.5, decay=0.05, loud=0.05) * np.minimum(1, np.arange(8000) / 80)
    at = times(tempo=100, seconds=6)
    found = told(placed(note, at, 6))
    assert len(found) == len(at)
    assert np.abs(found - at).max() <= LATEST


def test_hats_are_told_between_drums():
    assert len(told(drum_loop(tempo=120, seconds=6))) == len(times(240, 6))


def test_a_held_note_with_vibrato_is_one_onset():
    time = np.arange(48_000) / 16_000
    vibrato = 0.3 * np.sin(2 * np.pi * 440 * time + 3 * np.sin(2 * np.pi * 6 * time))
    assert len(told(vibrato.astype(np.float32))) <= 2


def test_steady_noise_tells_nothing_after_its_beginning():
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    assert told(noise / 100)[1:].size <= 1
    assert told(noise)[1:].size <= 6  # it wavers, and more when it is loud


def test_strength_grows_with_the_flux():
    weak, strong = Onsets().push(0.2), Onsets().push(1.0)
    assert 0 < weak < strong < 1


def test_ten_onsets_a_second_are_dense():
    onsets = Onsets()
    densities = []
    for index in range(1500):
        onsets.push(1.0 if index % 10 == 0 else 0.0)
        densities.append(onsets.density)
    assert 0.95 < densities[-1] <= 1
    for _ in range(1000):
        onsets.push(0.0)
    assert onsets.density < 0.01
