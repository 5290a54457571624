"""Light settings over time: what each reading of the pulse moves, how fast, and how gently."""

from dataclasses import astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.output.light_state import (
    MAX_SHEETS,
    RIM,
    LightSettings,
    LightState,
    light_amount,
    light_mask,
    loudness,
)
from clavilux.runtime.pulse import Pulse

SHOWN = 1 / 60  # s, from one picture to the next
TONE = Pulse(
    level=0.7,
    level_db=-18.0,
    brightness=0.4,
    noisiness=0.1,
    harmonicity=0.6,
    pitch_class=0.25,
    pitch_height=0.5,
    pitch_confidence=0.9,
    density=0.3,
)
UNIT = st.floats(0, 1)


def after(pulse: Pulse, seconds: float, state: LightState | None = None) -> LightSettings:
    """Return the settings after so many seconds of one reading, which tells its onset once."""
    state = state or LightState()
    for _ in range(round(seconds / SHOWN)):
        shown = state.advance(pulse, SHOWN)
    return shown


def numbers(shown: LightSettings) -> list[float]:
    *others, ripple, time = astuple(shown)
    return [*others, *ripple, time]


def test_silence_dims_slowly_to_a_rest():
    state = LightState()
    loud = after(TONE, 3, state)
    soon, later, rest = after(Pulse(), 0.2, state), after(Pulse(), 3, state), after(Pulse(), 20, state)
    assert loud.light > soon.light > 0.8 * loud.light
    assert soon.light > later.light > rest.light
    assert rest.light < 0.001
    assert (rest.hue, rest.place, rest.fineness) == (loud.hue, loud.place, loud.fineness)


def test_in_silence_the_folds_move_on_slowly():
    state = LightState()
    after(TONE, 3, state)
    first = after(Pulse(), 20, state).time
    assert 0.04 < after(Pulse(), 1, state).time - first < 0.06


@pytest.mark.parametrize("level_db", [-48.0, -36.0, -24.0, -18.0])
def test_louder_is_larger_and_brighter_even_where_the_automatic_range_has_settled(level_db):
    quiet, loud = (after(replace(TONE, level_db=db), 4) for db in (level_db, level_db + 12))
    assert loud.extent > quiet.extent + 0.1
    assert loud.light > quiet.light + 0.1


def test_loudness_and_onsets_show_within_30_ms():
    state = LightState()
    before = state.advance(Pulse(), SHOWN)
    shown = state.advance(replace(TONE, onset=1.0, index=1), 0.03)
    assert shown.extent > before.extent + 0.15
    assert shown.ripple[0] > 0.5


def test_an_onset_travels_through_the_rings_and_fades():
    state = LightState()
    state.advance(replace(TONE, onset=1.0, index=1), SHOWN)
    history = [state.advance(replace(TONE, index=2 + i), SHOWN).ripple for i in range(60)]
    peaks = [max(range(60), key=lambda i, ring=ring: history[i][ring]) for ring in range(8)]
    assert peaks == sorted(peaks)
    assert 0.2 < (peaks[-1] - peaks[0]) * SHOWN < 0.4
    assert max(history[-1]) < 0.01


def test_one_onset_counts_once_however_often_its_reading_is_shown():
    told = replace(TONE, onset=1.0, index=7)
    often, once = LightState(), LightState()
    for i in range(6):
        shown = often.advance(told, SHOWN), once.advance(replace(told, onset=0.0), SHOWN, onset=float(i == 0))
    assert shown[0] == shown[1]


@pytest.mark.parametrize(("start", "goal", "way"), [(0.9, 0.1, 1), (0.1, 0.9, -1), (0.2, 0.5, 1)])
def test_hue_follows_the_pitch_class_the_short_way_round(start, goal, way):
    state = LightState()
    here = after(replace(TONE, pitch_class=start), 10, state).hue
    assert here == pytest.approx(start, abs=0.01)
    for _ in range(120):
        there = state.advance(replace(TONE, pitch_class=goal), SHOWN).hue
        gap = there - here - round(there - here)
        assert 0 <= gap * way < 0.05
        here = there
    assert here == pytest.approx(goal, abs=0.03)


def test_a_pitch_that_nobody_is_sure_of_moves_nothing():
    state = LightState()
    before = after(TONE, 2, state)
    shown = after(replace(TONE, pitch_class=0.7, pitch_height=1.0, pitch_confidence=0.0), 2, state)
    assert (shown.hue, shown.place) == (before.hue, before.place)


@pytest.mark.parametrize(
    ("reading", "setting"),
    [
        ("pitch_height", "place"),
        ("brightness", "fineness"),
        ("noisiness", "turbulence"),
        ("density", "sheets"),
        ("harmonicity", "symmetry"),
    ],
)
def test_more_of_a_reading_is_more_of_its_setting(reading, setting):
    shown = [getattr(after(replace(TONE, **{reading: value}), 5), setting) for value in (0.0, 0.3, 0.6, 1.0)]
    assert shown == sorted(set(shown))


def test_there_is_one_sheet_without_onsets_and_all_with_many():
    few, many = (after(replace(TONE, density=density), 12).sheets for density in (0.0, 1.0))
    assert (few, many) == (pytest.approx(1), pytest.approx(MAX_SHEETS, abs=0.01))


def test_the_beat_is_a_breath_that_needs_confidence():
    on, off = (
        after(replace(TONE, beat_confidence=sure, beat_phase=phase), 1).breath for sure, phase in ((1, 0), (1, 0.5))
    )
    assert (on, off) == (pytest.approx(1, abs=0.01), pytest.approx(-1, abs=0.01))
    assert after(replace(TONE, beat_confidence=0.0), 1).breath == 0


def test_amount_is_followed_within_half_a_second():
    state = LightState()
    for _ in range(30):
        shown = state.advance(TONE, SHOWN, amount=0.4)
    assert shown.amount == pytest.approx(0.4, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(reading=st.sampled_from(("level", "brightness", "noisiness", "density", "harmonicity", "pitch_height")), at=UNIT)
def test_small_changes_of_a_reading_are_small_changes_of_the_settings(reading, at):
    near = (after(replace(TONE, **{reading: value}), 0.5) for value in (at * 0.999, at * 0.999 + 0.001))
    assert max(abs(one - other) for one, other in zip(*map(numbers, near), strict=True)) < 0.005


def test_any_display_rate_sees_about_the_same():
    slow, fast = LightState(), LightState()
    for i in range(30):
        one = slow.advance(replace(TONE, index=i, onset=float(i == 3)), 1 / 15)
        for _ in range(8):
            other = fast.advance(replace(TONE, index=i, onset=float(i == 3)), 1 / 120)
    assert numbers(one) == pytest.approx(numbers(other), abs=0.005)


def test_a_page_that_slept_does_not_catch_up():
    state, other = LightState(), LightState()
    assert state.advance(TONE, 3600.0) == other.advance(TONE, 1.0)
    assert state.advance(TONE, -5.0).time == other.advance(TONE, 0.0).time


def test_loudness_is_0_in_silence_and_1_at_most():
    assert loudness(Pulse()) == 0
    assert loudness(Pulse(level=1.0, level_db=0.0)) == 1


@given(light=UNIT, known=UNIT)
def test_the_parts_of_the_light_are_never_more_than_the_light(light, known):
    field, rim = light_amount(light, known)
    assert 0 <= field + rim <= light + 1e-12


def test_light_fills_the_wall_where_nothing_is_known_and_stays_as_a_rim_where_something_is():
    assert light_amount(0.8, 0.0) == (0.8, 0.0)
    assert light_amount(0.8, 1.0) == pytest.approx((0.0, 0.8 * RIM))


@given(x=st.floats(-2, 2), y=st.floats(-1, 1))
def test_the_mask_lets_all_through_where_nothing_is_known(x, y):
    assert light_mask(x, y, 0.6, 0.0) == 1
    assert 0 <= light_mask(x, y, 0.1, 0.3) <= 1


def test_the_mask_keeps_the_middle_for_a_known_picture():
    assert light_mask(0.0, 0.3, 0.0, 0.3) == 0
    assert light_mask(1.7, 0.0, 0.0, 0.3) == 1
    assert light_mask(0.0, 0.0, 0.0, 0.0) == 0
    along = [light_mask(x / 20, 0.0, 0.0, 0.3) for x in range(36)]
    assert along == sorted(along)
