"""The energy gate: open and shut at different levels, above the noise, with a tail, silent after the hold."""

import numpy as np
import pytest

from clavilux.runtime.hearing.energy_gate import HYSTERESIS, LOWEST, MARGIN, TAIL, EnergyGate
from clavilux.runtime.sound.format import STEP_SECONDS


def hear(gate: EnergyGate, level: float, seconds: float, threshold: float = -45.0, *, follows: bool = False) -> None:
    """Let the gate take so many seconds of a level in dBFS."""
    gate.push(np.full(round(seconds / STEP_SECONDS), 10 ** (level / 10)), threshold, follows=follows)


def test_a_gate_that_heard_nothing_is_silent_and_does_not_listen() -> None:
    gate = EnergyGate()
    assert gate.is_silent(hold=1.0)
    assert not gate.listens


def test_a_loud_sound_opens_the_gate_at_once() -> None:
    gate = EnergyGate()
    hear(gate, -20.0, STEP_SECONDS)
    assert gate.is_open
    assert gate.listens
    assert not gate.is_silent(hold=0.0)


def test_the_gate_still_listens_to_the_tail_of_a_sound() -> None:
    gate = EnergyGate()
    hear(gate, -20.0, 0.1)
    hear(gate, -80.0, TAIL)
    assert gate.listens
    hear(gate, -80.0, 0.2)
    assert not gate.listens


def test_a_short_pause_holds_and_a_long_one_is_silence() -> None:
    gate = EnergyGate()
    hear(gate, -20.0, 0.1)
    hear(gate, -80.0, 1.0)
    assert not gate.is_silent(hold=1.5)
    hear(gate, -80.0, 1.0)
    assert gate.is_silent(hold=1.5)


def test_time_without_any_sound_counts_as_silence() -> None:
    gate = EnergyGate()
    hear(gate, -20.0, 0.1)
    assert not gate.is_silent(hold=1.5, stalled=1.0)
    assert gate.is_silent(hold=1.5, stalled=1.6)


def test_it_opens_higher_than_it_shuts() -> None:
    gate = EnergyGate()
    hear(gate, -46.0, 1.0)
    assert not gate.is_open
    hear(gate, -44.0, 1.0)
    assert gate.is_open
    hear(gate, -45.0 - HYSTERESIS + 0.5, 1.0)
    assert gate.is_open
    hear(gate, -45.0 - HYSTERESIS - 0.5, 1.0)
    assert not gate.is_open


def test_one_that_follows_opens_above_the_noise_of_the_room() -> None:
    gate = EnergyGate()
    hear(gate, -70.0, 5.0, follows=True)
    assert gate.threshold == pytest.approx(-70.0 + MARGIN)
    assert not gate.is_open
    hear(gate, -60.0, 0.5, follows=True)
    assert gate.is_open


def test_in_digital_silence_it_does_not_follow_all_the_way_down() -> None:
    gate = EnergyGate()
    hear(gate, -120.0, 5.0, follows=True)
    assert gate.threshold == LOWEST
    assert not gate.is_open


def test_a_loud_sound_that_is_held_is_never_taken_for_noise() -> None:
    gate = EnergyGate()
    hear(gate, -40.0, 60.0, follows=True)
    assert gate.threshold == -45.0
    assert gate.is_open


def test_one_that_does_not_follow_stays_where_it_was_put() -> None:
    gate = EnergyGate()
    hear(gate, -70.0, 20.0, threshold=-80.0)
    assert (gate.threshold, gate.is_open) == (-80.0, True)


def test_at_its_lowest_it_is_always_open() -> None:
    gate = EnergyGate()
    hear(gate, -120.0, 20.0, threshold=-120.0, follows=True)
    assert gate.is_open
