"""Modulation: the sound, the beat and slow waves move parameters, and `react` says how strongly."""

import json
import math
import shutil
import subprocess
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.control.modulation import Modulator, wave
from clavilux.runtime.control.parameters import RANGES, Parameters, describe
from clavilux.runtime.control.routes import ROUTE_COUNT
from clavilux.runtime.pulse import Pulse
from clavilux.server.settings import PAGE

STILL = dict.fromkeys((f"route_{number}" for number in range(1, ROUTE_COUNT + 1)), "")


def routed(*lines: str, **values: Any) -> Parameters:
    """Return parameters with these routes and no others."""
    return Parameters().merge(STILL | {f"route_{i}": line for i, line in enumerate(lines, 1)} | values)


def test_without_routes_the_parameters_come_back_as_they_are() -> None:
    parameters = routed()
    assert Modulator().move(parameters, 1.0) is parameters


def test_a_source_adds_its_amount_at_once_where_attack_is_0() -> None:
    modulator, parameters = Modulator(), routed("level > exposure 2", exposure=0.5)
    modulator.feel(Pulse(level=0.5), parameters, at=0.01)
    assert modulator.move(parameters, 0.01).exposure == pytest.approx(0.5 + 2 * 0.5)


def test_react_scales_all_of_it_and_0_is_as_it_was() -> None:
    modulator, parameters = Modulator(), routed("level > exposure 1")
    modulator.feel(Pulse(level=1.0), parameters, at=0.0)
    strong, none = replace(parameters, react=2.0), replace(parameters, react=0.0)
    assert modulator.move(strong, 0.0).exposure == pytest.approx(2.0)
    assert modulator.move(none, 0.0) is none


def test_an_onset_of_one_reading_is_seen_by_a_picture_that_comes_later() -> None:
    modulator, parameters = Modulator(), routed("onset > exposure 1, release 0.1")
    modulator.feel(Pulse(onset=1.0), parameters, at=0.01)
    for k in range(2, 7):
        modulator.feel(Pulse(), parameters, at=k / 100)
    assert modulator.move(parameters, 0.06).exposure == pytest.approx(math.exp(-0.05 / 0.1))


def test_attack_and_release_are_time_constants() -> None:
    modulator, parameters = Modulator(), routed("level > exposure 1, attack 0.2, release 0.5")
    for k in range(20):
        modulator.feel(Pulse(level=1.0), parameters, at=k / 100)
    risen = modulator.move(parameters, 0.2).exposure
    assert risen == pytest.approx(1 - math.exp(-1), abs=1e-9)
    for k in range(50):
        modulator.feel(Pulse(), parameters, at=0.2 + k / 100)
    assert modulator.move(parameters, 0.7).exposure == pytest.approx(risen * math.exp(-1))


def test_a_curve_makes_small_values_count_less() -> None:
    modulator, parameters = Modulator(), routed("level > exposure 1, curve 2")
    modulator.feel(Pulse(level=0.5), parameters, at=0.0)
    assert modulator.move(parameters, 0.0).exposure == pytest.approx(0.25)


def test_routes_to_one_parameter_add_up_and_stay_in_its_range() -> None:
    modulator, parameters = Modulator(), routed("level > exposure 3", "low > exposure 3", "high > glow -2", glow=0.5)
    modulator.feel(Pulse(level=1.0, low=1.0, high=1.0), parameters, at=0.0)
    moved = modulator.move(parameters, 0.0)
    assert (moved.exposure, moved.glow) == (RANGES["exposure"].high, 0.0)


def test_a_parameter_that_the_bundle_has_not_is_left_alone() -> None:
    modulator, parameters = Modulator(), routed("level > guidance 3")
    modulator.feel(Pulse(level=1.0), parameters, at=0.0)
    without = {name: spec for name, spec in RANGES.items() if name != "guidance"}
    assert modulator.move(parameters, 0.0, ranges=without) is parameters


def test_the_beat_is_1_on_the_beat_as_it_will_be_seen() -> None:
    parameters = routed("beat > exposure 1, release 0")
    heard = Pulse(tempo=120.0, beat_phase=0.5, beat_confidence=1.0)  # the next beat comes in a quarter of a second

    def exposure(now: float, ahead: float) -> float:
        modulator = Modulator()
        modulator.feel(heard, parameters, at=10.0)
        return modulator.move(parameters, now, ahead=ahead).exposure

    assert exposure(10.0, 0.0) == pytest.approx(0.5)
    assert exposure(10.26, 0.0) == pytest.approx(0.98)
    assert exposure(10.0, 0.26) == pytest.approx(0.98)  # seen that much later, so sent that much earlier


def test_a_beat_that_is_a_guess_moves_nothing() -> None:
    modulator, parameters = Modulator(), routed("beat > exposure 1, release 0", "beat_phase > glow 1, release 0")
    modulator.feel(Pulse(tempo=120.0, beat_confidence=0.1), parameters, at=0.0)
    assert modulator.move(parameters, 0.1) == parameters


def test_a_wave_goes_at_its_own_speed_or_with_the_beat() -> None:
    free = routed("lfo_1 > exposure 1, release 0", lfo_1=0.5)
    modulator = Modulator()
    modulator.move(free, 0.0)
    assert modulator.move(free, 0.5).exposure == pytest.approx(1.0)  # a quarter of its two seconds
    tied = replace(free, lfo_1_beats=4.0)
    modulator = Modulator()
    for k in range(101):  # a second of music at 60 beats a minute: one beat, a quarter of the wave
        modulator.feel(Pulse(tempo=60.0, beat_phase=k / 100 % 1.0, beat_confidence=1.0), tied, at=k / 100)
        moved = modulator.move(tied, k / 100)
    assert moved.exposure == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ("sine", [0, 1, 0, -1]),
        ("triangle", [0, 1, 0, -1]),
        ("ramp", [-1, -0.5, 0, 0.5]),
        ("square", [1, 1, 1, -1]),
    ],
)
def test_waves_have_the_shapes_of_their_names(shape: str, values: list[float]) -> None:
    assert [wave(shape, quarter / 4) for quarter in range(4)] == pytest.approx(values, abs=1e-12)
    assert [wave(shape, 3 + quarter / 4) for quarter in range(4)] == pytest.approx(values, abs=1e-12)


TWIN = """
import { readFileSync } from 'node:fs';
import { Modulator } from '%s';
const { values, ranges, steps } = JSON.parse(readFileSync(0, 'utf8'));
const modulator = new Modulator();
const moved = steps.map(({ pulses, now, known, ahead }) => {
  for (const { at, ...pulse } of pulses) modulator.feel(pulse, values, at);
  return modulator.move(values, ranges, now, { known, ahead });
});
process.stdout.write(JSON.stringify(moved));
"""


@pytest.mark.parametrize("rate", [40, 3])
def test_the_page_moves_parameters_by_the_same_numbers(rate: int) -> None:
    node = shutil.which("node")
    assert node, "no Node.js here; `bash .ci/run` installs it"
    dice = np.random.default_rng(5)
    parameters = routed(
        "onset > exposure 0.8, attack 0, release 0.2",
        "low > zoom 0.1, attack 0.02, release 0.3, curve 2",
        "beat > glow 0.5, release 0.05",
        "beat_phase > hue 30, release 0",
        "known > light -0.5, attack 0.5, release 0.5",
        "lfo_1 > rotation 20, release 0",
        "lfo_2 > motion_zoom 0.2, release 0.1",
        "brightness > exposure -3, curve 0.5",
        lfo_1_shape="triangle",
        lfo_2_beats=2.0,
        react=1.5,
    )
    names = ("level", "low", "brightness", "beat_phase", "beat_confidence")
    steps, reading = [], 0
    for k in range(100):  # the last of them after the sound has ended
        pulses = []
        for _ in range(int(dice.integers(0, 4)) if k < 60 else 0):
            reading += 1
            drawn = {name: float(dice.uniform()) for name in names}
            pulse = Pulse(**drawn, onset=float(dice.uniform() > 0.8), tempo=0.0 if k < 10 else 97.0)
            pulses.append(asdict(pulse) | {"at": reading / 100})
        steps.append({"pulses": pulses, "now": k / rate, "known": float(dice.uniform()), "ahead": 0.08})
    given = {"values": parameters.values(), "ranges": describe(), "steps": steps}
    module = (PAGE / "modulation.js").as_uri()
    run = subprocess.run(
        [node, "--input-type=module", "-e", TWIN % module],
        input=json.dumps(given), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    modulator = Modulator()
    for step, theirs in zip(steps, json.loads(run.stdout), strict=True):
        for pulse in step["pulses"]:
            values = {name: value for name, value in pulse.items() if name != "at"}
            modulator.feel(Pulse(**values), parameters, pulse["at"])
        ours = modulator.move(parameters, step["now"], known=step["known"], ahead=step["ahead"]).values()
        assert {name: theirs[name] for name in ours} == pytest.approx(ours, abs=1e-9)


@pytest.mark.parametrize("rate", [60, 4, 2, 1.5])
def test_a_wave_that_is_tied_to_the_beat_keeps_to_it_at_any_rate_of_pictures(rate: float) -> None:
    """150 beats a minute are 2.5 a second: more than half of one passes between two pictures."""
    modulator = Modulator()
    parameters = routed("lfo_1 > exposure 1, release 0", lfo_1_beats=16.0, lfo_1_shape="ramp")
    read = 0
    for k in range(round(12 * rate)):
        now = k / rate
        while read / 100 <= now:
            beats = read / 100 * 150 / 60
            modulator.feel(Pulse(beat_phase=beats % 1.0, tempo=150.0, beat_confidence=1.0), parameters, at=read / 100)
            read += 1
        moved = modulator.move(parameters, now)
        assert moved.exposure == pytest.approx(2 * (now * 2.5 / 16 % 1.0) - 1, abs=1e-6)


def test_sound_that_comes_late_is_no_silence() -> None:
    modulator, parameters = Modulator(), routed("level > exposure 1, release 0.1", "beat > glow 1")
    late = Pulse(level=1.0, tempo=120.0, beat_confidence=1.0)
    for k in range(1, 200):
        modulator.feel(replace(late, beat_phase=k / 50 % 1.0), parameters, at=k / 100)
        moved = modulator.move(parameters, k / 100 + 3.0)
    assert moved.exposure == pytest.approx(1.0)
    assert modulator.beat.tempo == 120.0


def test_an_envelope_comes_to_rest() -> None:
    modulator, parameters = Modulator(), routed("onset > motion_zoom 1.5, release 0.1")
    modulator.feel(Pulse(onset=1.0), parameters, at=0.0)
    for k in range(100):
        modulator.feel(Pulse(), parameters, at=k / 100)
    assert modulator.move(parameters, 1.0).motion_zoom == 0.0


def test_what_a_source_moved_lets_go_when_it_is_pulled_out() -> None:
    modulator, parameters = Modulator(), routed("level > exposure 1, release 0.1")
    modulator.feel(Pulse(level=1.0), parameters, at=0.0)
    assert modulator.move(parameters, 0.4).exposure == 1.0
    for k in range(1, 11):
        moved = modulator.move(parameters, 0.4 + k / 5)
    assert moved.exposure == 0.0


def test_the_beat_ends_with_the_sound_and_waves_that_were_tied_to_it_go_on_by_themselves() -> None:
    parameters = routed("beat > exposure 1, release 0", "lfo_1 > hue 10, release 0", lfo_1=0.5, lfo_1_beats=4.0)
    modulator = Modulator()
    modulator.feel(Pulse(tempo=120.0, beat_phase=0.0, beat_confidence=1.0), parameters, at=0.0)
    assert modulator.move(parameters, 0.0).exposure == pytest.approx(1.0)
    for k in range(1, 8):
        modulator.move(parameters, k / 10)
    before, after = (modulator.move(parameters, now) for now in (3600.0, 3600.5))
    assert (before.exposure, after.exposure) == (0.0, 0.0)
    assert before.hue != after.hue
