"""The page's pulse under node gives the numbers that the server's gives, on the same samples."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.pulse import Pulse
from clavilux.runtime.sound.resample import Resampler
from tests.paths import ROOT
from tests.runtime.hearing.pulse.sounds import drum_loop, sweep

HERE = Path(__file__).parent
SOUNDS = ROOT / "tests" / "sounds"
NODE = shutil.which("node")
NAMES = [field.name for field in fields(Pulse)]
ROUND = ("pitch_class", "beat_phase")  # 0 and 1 are the same
TOLERANCE = 1e-3
Samples = NDArray[np.float32]


def clips() -> Samples:
    """Return the four sounds of the tests, with half a second between."""
    pause = np.zeros(8000, np.float32)
    read = [soundfile.read(SOUNDS / f"{name}.wav", dtype="float32")[0] for name in ("elephant", "penguin", "piano")]
    return np.concatenate([part for sound in read for part in (sound, pause)])


def in_javascript(
    samples: Samples, folder: Path, *, rate: int = 16_000, piece: int = 128, taps: tuple[int, ...] = (), pause: str = ""
):
    """Return the readings of pulse.js as [n, fields]; samples come in pieces, taps and a pause at the readings told."""
    assert NODE, "no Node.js here; `bash .ci/run` installs it"
    path = folder / "samples"
    samples.tofile(path)
    command = [NODE, HERE / "pulse_readings.mjs", path, *map(str, (rate, piece, *taps)), *pause.split()]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert answer["names"] == NAMES
    return np.array(answer["readings"])


def in_python(samples: Samples, rate: int = 16_000, taps: tuple[int, ...] = ()):
    """Return the readings of the server's tracker, as [n, fields]."""
    tracker, readings = PulseTracker(), []
    heard = samples if rate == 16_000 else Resampler(rate, 1).push(samples[:, None])
    for start in range(0, len(heard) // 160 * 160, 160):
        readings += tracker.push(heard[start : start + 160])
        if readings[-1].index in taps:
            tracker.tap(readings[-1].index)
    return np.array([astuple(one) for one in readings])


def differences(one: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, float]:
    """Return the largest difference of each reading that is beyond the tolerance."""
    away = np.abs(one - other)
    for name in ROUND:
        column = away[:, NAMES.index(name)]
        np.minimum(column, 1 - column, out=column)
    return {name: float(worst) for name, worst in zip(NAMES, away.max(axis=0), strict=True) if worst > TOLERANCE}


SOUNDS_BY_NAME: dict[str, Callable[[], Samples]] = {
    "clips": clips,
    "drums": lambda: drum_loop(tempo=126, seconds=12),
    "sweep": lambda: sweep(seconds=4),
    "silence": lambda: np.zeros(16_000, np.float32),
    "noise at full scale": lambda: np.random.default_rng(0).uniform(-1, 1, 48_000).astype(np.float32),
}


@pytest.mark.parametrize("name", SOUNDS_BY_NAME)
def test_the_page_reads_what_the_server_reads(name: str, tmp_path: Path):
    samples = SOUNDS_BY_NAME[name]()
    here, there = in_python(samples), in_javascript(samples, tmp_path)
    assert here.shape == there.shape == (len(samples) // 160, len(NAMES))
    assert differences(here, there) == {}


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_page_at_another_rate_reads_the_same(rate: int, tmp_path: Path):
    samples = np.concatenate([drum_loop(tempo=110, seconds=6, rate=rate), sweep(seconds=2, rate=rate)])
    here, there = in_python(samples, rate), in_javascript(samples, tmp_path, rate=rate)
    assert here.shape == there.shape
    assert len(here) > 780
    assert differences(here, there) == {}


def test_taps_do_the_same_in_the_page(tmp_path: Path):
    samples, taps = drum_loop(tempo=100, seconds=7), (200, 255, 310, 365)
    here, there = in_python(samples, taps=taps), in_javascript(samples, tmp_path, taps=taps)
    assert differences(here, there) == {}
    assert differences(here, in_javascript(samples, tmp_path)) != {}


def test_a_pause_does_the_same_in_the_page(tmp_path: Path):
    samples = drum_loop(tempo=100, seconds=9)
    tracker = PulseTracker()
    before = tracker.push(samples[: 600 * 160])
    tracker.pause(3.0)
    here = np.array([astuple(one) for one in before + tracker.push(samples[600 * 160 :])])
    there = in_javascript(samples, tmp_path, piece=160, pause="599+3.0")
    assert differences(here, there) == {}
    assert differences(here, in_javascript(samples, tmp_path)) != {}


def test_the_page_takes_pieces_of_any_size_and_what_is_no_number_as_silence(tmp_path: Path):
    samples = clips()
    broken = samples.copy()
    samples[100], broken[100] = 0, np.nan
    whole = in_javascript(samples, tmp_path, piece=len(samples))
    assert np.array_equal(whole, in_javascript(broken, tmp_path, piece=37))
