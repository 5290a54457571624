"""The limiter keeps strobes of every kind below the limit, by a count of its own, and lets everything else be."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.output.flash_limiter import URGENT_REST, FlashLimiter
from tests.flashes import KINDS, Picture, Strobe, linear, most_flashes, srgb

SIZE = (18, 32)
RATE = 60  # frames per second
ALLOWED = 2.0  # flashes a second
WHITE, BLACK = (np.full((*SIZE, 3), level, np.float32) for level in (1, 0))


def limited(pictures: Iterable[Picture], times: list[float]) -> list[Picture]:
    limiter = None
    shown = []
    for picture, time in zip(pictures, times, strict=True):
        limiter = limiter or FlashLimiter(*picture.shape[:2])
        shown.append(srgb(limiter.limit(linear(picture), time)))
    return shown


def flat(levels: Iterable[float]) -> list[Picture]:
    return [srgb(np.full((*SIZE, 3), level, np.float32)) for level in levels]


def scene(seed: int) -> Picture:
    """A picture of soft, coloured spots with grain."""
    rng = np.random.default_rng(seed)
    spots = np.kron(rng.uniform(30, 220, (3, 4, 3)), np.ones((6, 8, 1)))
    return np.clip(spots + rng.normal(0, 4, spots.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("hertz", "rate"), [(4, 25), (7.5, 30), (30, 60)])
def test_a_strobe_is_kept_to_two_flashes_a_second(kind: str, hertz: float, rate: int):
    strobe = Strobe(kind, hertz, rate)
    pictures = list(strobe)
    assert most_flashes(pictures, strobe.times) > 3
    assert most_flashes(limited(pictures, strobe.times), strobe.times) <= ALLOWED


@given(st.lists(st.sampled_from((0.0, 0.05, 0.14, 0.3, 0.5, 0.7, 0.85, 1.0)), min_size=30, max_size=90), st.data())
@settings(max_examples=20, deadline=None)
def test_no_sequence_at_any_rate_flashes_more_often(levels: list[float], data: st.DataObject):
    steps = data.draw(st.lists(st.sampled_from((1 / 144, 1 / 60, 1 / 25, 0.2)), min_size=len(levels), max_size=90))
    times = list(np.cumsum(steps[: len(levels)]))
    pictures = flat(levels)
    assert most_flashes(limited(pictures, times), times) <= ALLOWED


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_no_sequence_of_coloured_fields_flashes_more_often(seed: int):
    rng = np.random.default_rng(seed)
    colours = rng.choice((0, 60, 128, 255), (80, 2, 3)).repeat(SIZE[0] // 2, axis=1)
    pictures = [np.broadcast_to(one[:, None], (*SIZE, 3)).astype(np.uint8) for one in colours]
    times = [i / 30 for i in range(len(pictures))]
    assert most_flashes(limited(pictures, times), times) <= 3


def test_slow_changes_are_untouched():
    """A field that breathes, with grain, three times in two seconds by less than a flash."""
    times = [i / RATE for i in range(3 * RATE)]
    grain = np.random.default_rng(0).normal(0, 3, (len(times), *SIZE, 1))
    breath = 0.9 + 0.02 * np.sin(3 * np.pi * np.array(times))
    pictures = [
        (scene(1) * level + one).clip(0, 255).astype(np.uint8) for level, one in zip(breath, grain, strict=True)
    ]
    for picture, shown in zip(pictures, limited(pictures, times), strict=True):
        np.testing.assert_array_equal(shown, picture)


def test_one_flash_a_second_is_untouched():
    strobe = Strobe("black and white", 1, 30)
    for picture, shown in zip(strobe, limited(strobe, strobe.times), strict=True):
        np.testing.assert_array_equal(shown, picture)


def test_a_fade_to_black_and_back_is_untouched():
    times = [i / RATE for i in range(2 * RATE)]
    pictures = flat(np.abs(np.linspace(-1, 1, len(times))))
    for picture, shown in zip(pictures, limited(pictures, times), strict=True):
        np.testing.assert_array_equal(shown, picture)


def test_a_cut_arrives_within_its_frame():
    limiter = FlashLimiter(*SIZE)
    first, second = linear(scene(1)), linear(scene(2))
    for i in range(RATE):
        limiter.limit(first, i / RATE)
    np.testing.assert_array_equal(limiter.limit(second, 1.0), second)


def test_the_true_picture_is_back_within_a_second_of_a_strobe():
    limiter = FlashLimiter(*SIZE)
    for i in range(3 * RATE):
        limiter.limit((WHITE, BLACK)[i // 3 % 2], i / RATE)
    true = linear(scene(3))
    shown = [limiter.limit(true, 3 + i / RATE) for i in range(RATE)]
    assert np.abs(shown[0] - true).max() > 0.2
    np.testing.assert_array_equal(srgb(shown[-1]), scene(3))


def test_what_does_not_flash_beside_a_strobe_is_untouched():
    size = (54, 96)
    calm = np.full((*size, 3), 90, np.uint8)
    pictures = [calm.copy() for _ in range(2 * RATE)]
    for i, picture in enumerate(pictures):
        picture[:, :32] = 255 * (i // 3 % 2)
        picture[:, 64:] += np.uint8(i // 4)  # a fade
    for picture, shown in zip(pictures, limited(pictures, [i / RATE for i in range(2 * RATE)]), strict=True):
        np.testing.assert_array_equal(shown[:, 64:], picture[:, 64:])


def test_no_edges_of_cells_are_shown():
    """Shares that a small strobe leaves rise smoothly to 1 round it."""
    limiter = FlashLimiter(72, 128)
    for i in range(RATE):
        picture = np.full((72, 128, 3), 0.3, np.float32)
        picture[32:40, 60:68] = i // 3 % 2
        limiter.limit(picture, i / RATE)
    shown = limiter.limit(np.full((72, 128, 3), 0.9, np.float32), 1.0)[36, :, 0]
    assert shown[36] == pytest.approx(0.9)
    assert shown[57] < 0.5  # held with the strobe, though it has never flashed
    assert np.abs(np.diff(shown[32:60])).max() < 0.05


def test_a_blackout_is_limited_when_it_is_pressed_again_and_again():
    times = [i / RATE for i in range(4 * RATE)]
    pictures = [scene(1) * np.uint8(int(t * 10) % 2) for t in times]
    limiter = FlashLimiter(*SIZE)
    shown = [srgb(limiter.limit(linear(p), t, urgent=not p.any())) for p, t in zip(pictures, times, strict=True)]
    assert most_flashes(pictures, times) > 3
    assert most_flashes(shown, times) <= ALLOWED


def test_a_performers_blackout_is_black_at_once_in_the_middle_of_a_strobe():
    limiter = FlashLimiter(*SIZE)
    for i in range(31):
        limiter.limit((WHITE, BLACK)[i // 3 % 2], i / RATE)
    assert limiter.limit(BLACK, 31 / RATE).max() > 0.1
    assert limiter.limit(BLACK, 32 / RATE, urgent=True).max() == 0


def test_a_second_blackout_waits_for_its_turn():
    limiter = FlashLimiter(*SIZE)
    limiter.limit(BLACK, 0.0, urgent=True)
    for i in range(31):
        limiter.limit((WHITE, BLACK)[i // 3 % 2], 1 + i / RATE)
    assert limiter.limit(BLACK, 2.0, urgent=True).max() > 0.1
    later = 3 + URGENT_REST
    for i in range(31):
        limiter.limit((WHITE, BLACK)[i // 3 % 2], later + i / RATE)
    assert limiter.limit(BLACK, later + 1, urgent=True).max() == 0


def test_switched_off_it_shows_everything_and_counts_on():
    strobe = Strobe("black and white", 10)
    limiter = FlashLimiter(*strobe.size)
    for picture, time in zip(strobe, strobe.times, strict=True):
        np.testing.assert_array_equal(srgb(limiter.limit(linear(picture), time, enabled=False)), picture)
    opposite = 1 - np.round(limiter.limit(linear(picture), 4.0))
    assert np.abs(limiter.limit(opposite, 4.01) - opposite).max() > 0.9


def test_after_a_pause_everything_is_free():
    limiter = FlashLimiter(*SIZE)
    for i in range(31):
        limiter.limit((WHITE, BLACK)[i // 3 % 2], i / RATE)
    np.testing.assert_array_equal(limiter.limit(BLACK, 11.0), BLACK)


def test_light_beyond_white_counts_as_white():
    limiter = FlashLimiter(*SIZE)
    assert limiter.limit(4 * WHITE, 0.0).max() == 1


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (7, 5), (64, 64)])
def test_any_size_will_do(size: tuple[int, int]):
    limiter = FlashLimiter(*size)
    for i in range(40):
        shown = limiter.limit(np.full((*size, 3), i // 3 % 2, np.float32), i / RATE)
        assert shown.shape == (*size, 3)
        assert np.isfinite(shown).all()
    assert 0 < shown.mean() < 1
