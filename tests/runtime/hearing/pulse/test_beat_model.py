import numpy as np
import pytest

from clavilux.runtime.hearing.pulse.beat_model import CHANGES, EXPECTED, PERIOD_OF, PHASE_OF, PRIOR, STATES, BeatModel


def test_the_states_are_the_readings_of_every_period():
    assert STATES == sum(range(28, 110)) == len(PERIOD_OF) == len(PHASE_OF)
    assert PRIOR.sum() == pytest.approx(1)
    assert np.allclose(CHANGES.sum(axis=0), 1)


def test_notes_are_expected_most_on_the_beat_and_then_in_its_middle():
    period = PERIOD_OF == 60
    expected = EXPECTED[period]
    assert expected[0] == expected.max()
    assert expected[0] > expected[30] > expected[45] > expected[15] > expected[7]


def test_a_steady_move_turns_every_phase_and_keeps_every_period():
    model = BeatModel()
    model.expect(ago=10, period=50)
    before = model.around(50, 0.2)
    model.move(steady=True)
    after = model.likeliest()
    assert after.mass == pytest.approx(before.mass, abs=1e-3)
    assert (after.period, after.phase) == (pytest.approx(50, abs=0.3), pytest.approx(11 / 50, abs=0.02))


def test_notes_at_even_times_become_a_beat():
    model = BeatModel()
    for index in range(400):
        model.move(steady=False)
        model.observe(*((30.0, 21.0) if (index + 1) % 48 < 3 else (0.5, 0.0)))
    found = model.likeliest()
    assert found.mass > 0.7
    assert found.period == pytest.approx(48, abs=0.5)
    assert found.phase % 1 == pytest.approx(399 % 48 / 48, abs=0.04)


def test_an_observation_that_says_nothing_changes_next_to_nothing():
    model = BeatModel()
    model.expect(ago=0, period=50)
    before = model.around(50, 0.0).mass
    model.observe(1.0, 0.0)
    assert model.around(50, 0.0).mass == pytest.approx(before, abs=1e-3)


def test_states_far_from_any_probability_are_no_beat():
    model = BeatModel()
    for _ in range(4):
        model.expect(ago=0, period=50)
    assert model.around(100, 0.5) == type(model.around(100, 0.5))(0.0, 100, 0.5)


def test_what_is_forgotten_is_gone():
    model = BeatModel()
    model.expect(ago=0, period=50)
    model.forget()
    assert model.around(50, 0.0).mass < 0.1
