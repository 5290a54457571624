"""The energy gate: loudness in dBFS, an open gate with a tail, silence after the hold."""

import numpy as np
import pytest

from clavilux.runtime.hearing.energy_gate import MIN_LEVEL, TAIL, EnergyGate, decibels


def test_a_full_scale_square_wave_is_at_0_dbfs() -> None:
    assert decibels(np.array([1.0, -1.0], np.float32)) == pytest.approx(0.0)


def test_a_tenth_of_full_scale_is_at_minus_20_dbfs() -> None:
    assert decibels(np.full(100, 0.1, np.float32)) == pytest.approx(-20.0, abs=1e-4)


@pytest.mark.parametrize("samples", [np.zeros(10, np.float32), np.zeros(0, np.float32), np.full(4, 1e-30, np.float32)])
def test_nothing_is_quieter_than_the_floor(samples: np.ndarray) -> None:
    assert decibels(samples) == MIN_LEVEL


def test_a_gate_that_heard_nothing_is_silent_and_does_not_listen() -> None:
    gate = EnergyGate()
    assert gate.is_silent(hold=1.0)
    assert not gate.listens


def test_a_loud_hop_opens_the_gate() -> None:
    gate = EnergyGate()
    gate.pass_hop(-20.0, 0.1, threshold=-50.0)
    assert gate.listens
    assert not gate.is_silent(hold=0.0)


def test_the_gate_still_listens_to_the_tail_of_a_sound() -> None:
    gate = EnergyGate()
    gate.pass_hop(-20.0, 0.1, threshold=-50.0)
    gate.pass_hop(-80.0, TAIL, threshold=-50.0)
    assert gate.listens
    gate.pass_hop(-80.0, 0.1, threshold=-50.0)
    assert not gate.listens


def test_a_short_pause_holds_and_a_long_one_is_silence() -> None:
    gate = EnergyGate()
    gate.pass_hop(-20.0, 0.1, threshold=-50.0)
    gate.pass_hop(-80.0, 1.0, threshold=-50.0)
    assert not gate.is_silent(hold=1.5)
    gate.pass_hop(-80.0, 1.0, threshold=-50.0)
    assert gate.is_silent(hold=1.5)
