"""Gliding, holding and drifting: embeddings over time, in seconds and not in frames."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clavilux.runtime.conditioning.conditioner import (
    FASTER,
    NEAR,
    Conditioner,
    is_near,
    slerp,
)

TOKENS, WIDTH = 4, 8
finite = st.floats(-100, 100, width=32)
embeddings = arrays.arrays(np.float32, (TOKENS, WIDTH), elements=finite)


def tokens(seed: int, count: int = TOKENS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


def conditioner() -> Conditioner:
    return Conditioner(bos=tokens(9)[0], idle=tokens(8))


@given(embeddings, embeddings, st.floats(0, 1))
def test_slerp_is_always_finite(start: np.ndarray, end: np.ndarray, share: float) -> None:
    assert np.isfinite(slerp(start, end, share)).all()


@given(embeddings, embeddings)
def test_slerp_begins_and_ends_where_it_should(start: np.ndarray, end: np.ndarray) -> None:
    np.testing.assert_allclose(slerp(start, end, 0.0), start, atol=1e-3)
    np.testing.assert_allclose(slerp(start, end, 1.0), end, atol=1e-3)


def test_a_token_that_is_the_same_in_both_stays_as_it_is() -> None:
    start, end = tokens(0), tokens(1)
    end[0] = start[0]
    np.testing.assert_allclose(slerp(start, end, 0.5)[0], start[0], rtol=1e-6)


def test_a_token_that_is_opposite_goes_straight() -> None:
    start = tokens(0)
    np.testing.assert_allclose(slerp(start, -start, 0.25), start / 2, atol=1e-6)


def test_a_zero_token_goes_straight() -> None:
    end = tokens(1)
    np.testing.assert_allclose(slerp(np.zeros_like(end), end, 0.5), end / 2, rtol=1e-6)


def test_half_way_between_right_angles_is_the_diagonal_with_the_mean_length() -> None:
    start, end = np.array([[2.0, 0.0]], np.float32), np.array([[0.0, 4.0]], np.float32)
    np.testing.assert_allclose(slerp(start, end, 0.5), [[3 / math.sqrt(2)] * 2], rtol=1e-6)


def test_the_result_is_float32() -> None:
    assert slerp(tokens(0), tokens(1), 0.3).dtype == np.float32


def test_an_instrument_that_heard_nothing_shows_the_idle_embedding() -> None:
    prompt = conditioner().advance(1.0, glide=0.5, drift=2.0)
    np.testing.assert_allclose(prompt, tokens(8)[None])


def test_bos_stands_in_front_of_the_tokens() -> None:
    player = conditioner()
    player.set_target(tokens(1, TOKENS - 1))
    prompt = player.advance(0.0, glide=0.0, drift=0.0)
    np.testing.assert_allclose(prompt[0], np.concatenate([tokens(9)[:1], tokens(1, TOKENS - 1)]))


def test_the_glide_takes_the_same_time_at_any_frame_rate() -> None:
    slow, fast = conditioner(), conditioner()
    for player in (slow, fast):
        player.set_target(tokens(1, TOKENS - 1))
    for _ in range(10):
        slow.advance(0.1, glide=0.5, drift=1.0)
    for _ in range(100):
        fast.advance(0.01, glide=0.5, drift=1.0)
    np.testing.assert_allclose(slow.advance(0, 0.5, 1.0), fast.advance(0, 0.5, 1.0), atol=1e-4)


def test_after_one_time_constant_63_percent_of_the_way_is_done() -> None:
    player = conditioner()
    start = player.advance(0.0, 1.0, 1.0)
    player.set_target(tokens(1, TOKENS - 1))
    prompt = player.advance(1.0, glide=1.0, drift=9.0)
    target = np.concatenate([tokens(9)[:1], tokens(1, TOKENS - 1)])
    np.testing.assert_allclose(prompt[0], slerp(start[0], target, 1 - 1 / math.e), rtol=1e-5)


@pytest.mark.parametrize("frame_rate", [5, 30, 120])
def test_a_glide_that_set_out_late_hurries_until_it_is_where_it_would_be(frame_rate: int) -> None:
    late, early = conditioner(), conditioner()
    for player in (late, early):
        player.set_target(tokens(1, TOKENS - 1), late=0.3 if player is late else 0.0)
    early.advance(0.3, glide=0.5, drift=1.0)
    ways = []
    for _ in range(frame_rate):
        prompts = [player.advance(1 / frame_rate, glide=0.5, drift=1.0) for player in (late, early)]
        ways.append(float(np.abs(prompts[0] - prompts[1]).max()))
    made_up = next(k for k, way in enumerate(ways) if way < 1e-4)
    assert made_up == pytest.approx(frame_rate * 0.3 / (FASTER - 1), abs=1)
    assert max(ways[made_up:]) < 1e-4  # and no farther


def test_hurry_is_over_where_the_way_leads_home() -> None:
    late, early = conditioner(), conditioner()
    for player in (late, early):
        player.set_target(tokens(1, TOKENS - 1), late=0.3 if player is late else 0.0)
        player.return_to_idle(resting=False)
        player.set_target(tokens(2, TOKENS - 1))
    np.testing.assert_array_equal(late.advance(0.1, 0.5, 1.0), early.advance(0.1, 0.5, 1.0))


def test_hurry_ends_on_arrival_however_late_it_was_and_another_thing_has_its_own() -> None:
    late, early = conditioner(), conditioner()
    for player in (late, early):
        player.set_target(tokens(1, TOKENS - 1), late=60.0 if player is late else 0.0)
        for _ in range(300):
            player.advance(1 / 60, glide=0.35, drift=1.0)
            player.set_target(tokens(1, TOKENS - 1))
        player.set_target(tokens(2, TOKENS - 1), late=0.1)
    np.testing.assert_array_equal(late.advance(0.2, 0.35, 1.0), early.advance(0.2, 0.35, 1.0))


def test_nothing_hurries_where_it_jumps_anyway() -> None:
    late, early = conditioner(), conditioner()
    for player in (late, early):
        player.set_target(tokens(1, TOKENS - 1), late=60.0 if player is late else 0.0)
        player.advance(0.02, glide=0.0, drift=1.0)
        player.set_target(tokens(2, TOKENS - 1))
    np.testing.assert_array_equal(late.advance(0.2, 0.35, 1.0), early.advance(0.2, 0.35, 1.0))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_tokens_too_long_for_arithmetic_do_no_lasting_harm() -> None:
    player = conditioner()
    player.set_target(np.float32(1e20) * tokens(1, TOKENS - 1))
    assert np.isfinite(player.advance(0.1, glide=1.0, drift=1.0)).all()
    player.set_target(tokens(2, TOKENS - 1))
    np.testing.assert_allclose(player.advance(0.1, glide=0.0, drift=1.0)[0, 1:], tokens(2, TOKENS - 1))


def test_silence_drifts_home_with_its_own_time_constant() -> None:
    player = conditioner()
    player.set_target(tokens(1, TOKENS - 1))
    loud = player.advance(0.0, glide=0.0, drift=1.0)
    player.return_to_idle()
    prompt = player.advance(2.0, glide=0.0, drift=2.0)
    np.testing.assert_allclose(prompt[0], slerp(loud[0], tokens(8), 1 - 1 / math.e), rtol=1e-5)


@pytest.mark.parametrize("frame_rate", [1, 30, 120])
def test_a_way_ends_with_a_step_too_small_to_see_and_then_stands_still(frame_rate: int) -> None:
    player = conditioner()
    player.set_target(tokens(1, TOKENS - 1))
    player.advance(0.0, glide=0.0, drift=1.0)
    player.return_to_idle()
    home = tokens(8)[None]
    prompts: list[np.ndarray] = []
    while not prompts or not np.array_equal(prompts[-1], home):
        prompts.append(player.advance(1 / frame_rate, glide=0.0, drift=1.0))
    assert 6 < len(prompts) / frame_rate < 9  # time constants: exp(-7) is about NEAR
    left = np.linalg.norm(prompts[-2] - home, axis=-1) * math.exp(-1 / frame_rate)
    assert (left <= 1.01 * NEAR * np.linalg.norm(home, axis=-1)).all()
    np.testing.assert_array_equal(player.advance(1.0, glide=0.0, drift=1.0), home)


def test_one_token_that_is_not_near_keeps_all_on_their_way() -> None:
    target = tokens(8)
    near = target * np.float32(1 + 0.9 * NEAR)
    assert is_near(near, target)
    near[2] = target[2] * np.float32(1 + 1.1 * NEAR)
    assert not is_near(near, target)


def test_only_zero_is_near_a_token_of_zeros() -> None:
    target = np.zeros((1, WIDTH), np.float32)
    assert is_near(target, target)
    assert not is_near(target + np.float32(1e-6), target)
