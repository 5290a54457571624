from dataclasses import astuple, fields, replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.pulse import Pulse
from tests.paths import ROOT
from tests.runtime.hearing.pulse.sounds import drum_loop

SOUNDS = ROOT / "tests" / "sounds"
BOUNDS = {"index": 10**9, "tempo": 215, "next_beat": 1.2}  # largest; others are 0 to 1 or decibels


def piano() -> np.ndarray:
    return soundfile.read(SOUNDS / "piano.wav", dtype="float32")[0]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=6))
def test_pieces_of_any_size_give_the_same_as_the_whole(cuts: list[int]):
    sound = np.concatenate([piano(), drum_loop(120, 2)])
    tracker = PulseTracker()
    in_pieces = [one for piece in np.split(sound, sorted(cuts)) for one in tracker.push(piece)]
    assert in_pieces == PulseTracker().push(sound)


def test_readings_are_counted_and_know_nothing_that_comes_later():
    sound = drum_loop(120, 3)
    readings = PulseTracker().push(sound)
    assert [one.index for one in readings] == list(range(300))
    assert PulseTracker().push(sound[:16_000]) == readings[:100]


AWKWARD = {
    "silence": np.zeros(48_000),
    "a constant": np.ones(48_000),
    "full scale": np.random.default_rng(0).uniform(-1, 1, 48_000),
    "clipping": np.clip(8 * np.sin(np.arange(48_000) / 7), -1, 1),
    "one sample": np.eye(1, 48_000, 20_000)[0],
    "almost nothing": np.random.default_rng(0).normal(0, 1e-9, 48_000),
    "far over full scale": 64 * np.sign(np.sin(np.arange(48_000) / 50)),
    "silence after noise": np.concatenate([np.random.default_rng(0).normal(0, 0.3, 24_000), np.zeros(24_000)]),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_sounds_give_finite_readings_within_their_ranges(name: str):
    readings = np.array([astuple(one) for one in PulseTracker().push(AWKWARD[name].astype(np.float32))])
    for column, field in zip(readings.T, fields(Pulse), strict=True):
        low, high = (-120, 0) if field.name.endswith("_db") else (0, BOUNDS.get(field.name, 1))
        assert low <= column.min() <= column.max() <= high, field.name


def test_silence_and_the_noise_of_a_room_stay_near_nought():
    noise = np.random.default_rng(0).normal(0, 1e-3, 160_000).astype(np.float32)
    assert max(one.level for one in PulseTracker().push(noise)) < 0.05
    assert max(one.level for one in PulseTracker().push(np.zeros(16_000, np.float32))) == 0


def test_a_piano_that_is_twelve_decibels_softer_stays_lower():
    phrase = np.tile(np.concatenate([piano(), np.zeros(4000, np.float32)]), 8)
    loud, soft = (
        np.array([one.level for one in PulseTracker().push(phrase * np.float32(gain))])
        for gain in (1, 10 ** (-12 / 20))
    )
    sounding = loud > 0.5
    assert (loud - soft)[sounding].mean() > 0.15
    assert soft[sounding].max() > 0.4


def test_golden_readings_of_a_piano():
    last = PulseTracker().push(piano())[60]
    assert last.level_db == pytest.approx(GOLDEN["level_db"], abs=1e-6)
    assert last.brightness == pytest.approx(GOLDEN["brightness"], abs=1e-9)
    assert last.noisiness == pytest.approx(GOLDEN["noisiness"], abs=1e-9)
    assert last.harmonicity == pytest.approx(GOLDEN["harmonicity"], abs=1e-9)
    assert last.pitch_height == pytest.approx(GOLDEN["pitch_height"], abs=1e-9)


GOLDEN = {
    "level_db": -17.4407676617,
    "brightness": 0.3344656231,
    "noisiness": 0.6113019975,
    "harmonicity": 0.1918656143,
    "pitch_height": 0.1460656135,
}


def test_a_pause_is_silence_without_readings():
    one, other, sound = PulseTracker(), PulseTracker(), drum_loop(120, 3)[:47_950]
    one.push(sound)
    one.pause(2.0)
    other.push(np.concatenate([sound, np.zeros(32_000, np.float32)]))
    found, expected = one.push(sound), other.push(sound)
    assert [replace(pulse, index=pulse.index + 200) for pulse in found] == expected
