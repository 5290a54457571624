from itertools import pairwise

import numpy as np
import pytest

from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.pulse import Pulse
from tests.runtime.hearing.pulse.sounds import clicks, drum_loop, times


def beats(readings: list[Pulse], since: float = 0) -> np.ndarray:
    """Return when phases began anew, in seconds."""
    found = [
        (now.index + 1) / 100 - now.beat_phase * 60 / now.tempo
        for before, now in pairwise(readings)
        if before.tempo and now.tempo and now.beat_phase < before.beat_phase - 0.5
    ]
    return np.array([one for one in found if one > since])


def furthest(found: np.ndarray, truth: np.ndarray) -> float:
    return float(max(np.abs(truth - one).min() for one in found))


@pytest.mark.parametrize("tempo", [80, 97, 120, 140])
def test_a_metronome_is_followed_within_thirty_milliseconds(tempo: float):
    at = times(tempo, 12)
    found = beats(PulseTracker().push(clicks(at, 12)), since=at[8])
    assert furthest(found, times(tempo, 13)) < 0.03
    assert len(found) == pytest.approx(len(at) - 8, abs=1)


@pytest.mark.parametrize("tempo", [92, 126])
def test_drums_are_followed_and_their_tempo_told(tempo: float):
    readings = PulseTracker().push(drum_loop(tempo, 12))
    found = beats(readings, since=5)
    assert furthest(found, times(tempo, 13)) < 0.03
    assert len(found) == pytest.approx(7 * tempo / 60, abs=1.5)
    assert readings[-50].tempo == pytest.approx(tempo, rel=0.02)
    assert readings[-50].beat_confidence > 0.7


def test_the_next_beat_is_foretold():
    at = times(110, 12)
    readings = [one for one in PulseTracker().push(clicks(at, 12)) if one.index > 600]
    expected = [(one.index + 1) / 100 + one.next_beat for one in readings if one.index < 1080]
    assert furthest(np.array(expected), times(110, 14)) < 0.04


def test_a_phase_never_falls_within_a_beat():
    readings = PulseTracker().push(drum_loop(117, 10))[400:]
    steps = np.diff([one.beat_phase for one in readings])
    assert ((steps > 0) | (steps < -0.5)).all()


def test_another_tempo_is_found_within_four_seconds():
    first, second = times(100, 12), times(132, 12)
    readings = PulseTracker().push(np.concatenate([drum_loop(100, 10), drum_loop(132, 10)]))
    assert furthest(beats(readings[:1000], since=5), first) < 0.04
    found = beats(readings, since=14.5)
    assert furthest(found, 10 + second) < 0.04
    assert len(found) == pytest.approx(5.5 * 132 / 60, abs=1)


def test_a_break_is_played_through_and_silence_after_eight_seconds_is_told():
    playing = drum_loop(120, 8)
    readings = PulseTracker().push(np.concatenate([playing, np.zeros(16_000 * 10, np.float32)]))
    through = beats(readings[:1400], since=8.5)
    assert furthest(through, times(120, 20)) < 0.05
    assert len(through) == pytest.approx(11, abs=1)
    assert readings[1300].beat_confidence < readings[900].beat_confidence
    assert (readings[-1].tempo, readings[-1].next_beat, readings[-1].beat_confidence) == (0, 0, 0)


def test_nothing_is_told_before_a_beat_is_known():
    readings = PulseTracker().push(np.zeros(16_000, np.float32))
    assert {one.tempo for one in readings} == {0}
    assert {one.beat_phase for one in readings} == {0}


def test_a_tap_moves_the_beat_to_where_it_was_tapped():
    tracker = PulseTracker()
    readings = tracker.push(drum_loop(120, 6))
    off_beat = next(one.index for one in reversed(readings) if abs(one.beat_phase - 0.5) < 0.02)
    tracker.tap(off_beat)
    (after,) = tracker.push(np.zeros(160, np.float32))
    waited = (after.index - off_beat) / 50
    assert (after.beat_phase - waited + 0.5) % 1 - 0.5 == pytest.approx(0, abs=0.05)


def test_even_taps_set_a_tempo_in_silence():
    tracker = PulseTracker()
    for _ in range(4):
        tracker.push(np.zeros(16_000 * 6 // 10, np.float32))
        index = tracker.push(np.zeros(160, np.float32))[-1].index
        tracker.tap(index)
    readings = tracker.push(np.zeros(16_000 * 3, np.float32))
    assert readings[100].tempo == pytest.approx(6000 / 61, rel=0.02)
    assert np.abs(beats(readings) - (index + 1) / 100 - 0.61 * np.arange(1, 5)).max() < 0.06


def test_a_tap_that_is_newer_than_the_sound_is_not_moved_back_to_it():
    tracker = PulseTracker()
    newest = tracker.push(drum_loop(120, 6))[-1]
    tracker.tap(newest.index + 10)
    (after,) = tracker.push(np.zeros(160, np.float32))
    assert after.beat_phase == pytest.approx(1 - 9 / 50, abs=0.05)


def test_one_tap_leaves_the_tempo_as_it_is():
    tracker = PulseTracker()
    newest = tracker.push(drum_loop(120, 6))[-1]
    tracker.tap(newest.index - 7)
    assert tracker.push(np.zeros(160, np.float32))[-1].tempo == pytest.approx(newest.tempo, rel=0.02)
