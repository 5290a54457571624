"""The limiter keeps strobes of every kind below the limit, by a count of its own, and lets everything else be."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

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


def red_strobe(lit: bool) -> NDArray[np.float32]:
    """A grey field with a red square that comes and goes at one luminance, among a red that stays."""
    picture = np.full((54, 96, 3), 0.2126, np.float32)
    picture[:, 48:] = (0.6, 0.05, 0.02)
    if lit:
        picture[12:36, 8:32] = (1, 0, 0)
    return picture


def test_a_red_strobe_is_shown_with_less_colour_and_never_stands_still():
    limiter = FlashLimiter(54, 96)
    shown = [limiter.limit(red_strobe(i // 3 % 2 == 1), i / RATE).copy() for i in range(2 * RATE)]
    r, g, b = (np.array([one[24, 20, k] for one in shown]) for k in range(3))
    late = slice(RATE // 2, None)
    assert (r / (r + g + b))[late].max() < 0.8
    assert r[-1] - r[RATE] > 0.08  # it goes on to its mean, reddish and grey
    np.testing.assert_allclose(0.2126 * r + 0.7152 * g + 0.0722 * b, 0.2126, atol=1e-5)
    np.testing.assert_array_equal(shown[-1][:, 64:], red_strobe(lit=False)[:, 64:])


def test_a_red_that_has_calmed_down_gets_its_colour_back():
    limiter = FlashLimiter(54, 96)
    for i in range(RATE):
        limiter.limit(red_strobe(i // 3 % 2 == 1), i / RATE)
    lit = red_strobe(lit=True)
    shown = [limiter.limit(lit, 1 + i / RATE).copy() for i in range(2 * RATE)]
    assert np.abs(shown[0] - lit).max() > 0.2
    np.testing.assert_array_equal(shown[-1], lit)
    assert max(np.abs(a - b).max() for a, b in pairwise(shown)) < 0.1  # gently


def red_bars(offset: float, width: int = 64) -> Picture:
    """Saturated red bars on grey, an eighth of the width each."""
    lit = (np.arange(width) - offset) % (width / 2) < width / 8
    row = np.where(lit[:, None], (255, 20, 10), (110, 110, 110))
    return np.broadcast_to(row, (36, width, 3)).astype(np.uint8)


SLOW_REDS = {
    "bars that move": lambda t: red_bars(3 * t),
    "one that fades": lambda t: srgb(np.full((36, 64, 3), (0.9, 0.05, 0.02), np.float32) * max(0, 1 - t / 4)),
    "one with a bump": lambda t: srgb(
        np.full((36, 64, 3), (0.5, 0.03, 0.02), np.float32) * (1 + 0.4 * np.exp(-8 * (t % 2)))
    ),
    "a pulse a second": lambda t: np.full((36, 64, 3), (255, 20, 10) if t % 1 < 0.5 else (60, 60, 60), np.uint8),
}


@pytest.mark.parametrize("name", SLOW_REDS)
def test_reds_that_are_slow_are_untouched(name: str):
    times = [i / 30 for i in range(240)]
    pictures = [SLOW_REDS[name](time) for time in times]
    for picture, shown in zip(pictures, limited(pictures, times), strict=True):
        np.testing.assert_array_equal(shown, picture)


def test_two_colours_that_alternate_do_not_go_on_when_their_red_has_gone():
    """Red and blue of one luminance, fifteen times a second: the red loses saturation, and both become their mean."""
    red, blue = (np.array(one, np.float32) for one in ((0.5, 0, 0), (0, 0.06, 0.878)))
    limiter = FlashLimiter(36, 64)
    shown = [limiter.limit(np.full((36, 64, 3), (red, blue)[i // 2 % 2]), i / RATE)[18, 32] for i in range(3 * RATE)]
    assert np.ptp(shown[RATE:], axis=0).max() < 0.15


def nearly_red(ratio: float, time: float) -> NDArray[np.float32]:
    """A field of R / (R + G + B) = `ratio` that wavers, by less luminance than a flash, five times a second."""
    red = 0.25 + 0.15 * np.sin(10 * np.pi * time)
    others = red * (1 / ratio - 1)
    return np.full((*SIZE, 3), (red, 0.2 * others, 0.8 * others), np.float32)


@pytest.mark.parametrize("ratio", [0.7985, 0.799, 0.7995])
def test_a_red_that_bytes_make_saturated_counts_as_it_is_shown(ratio: float):
    times = [i / 25 for i in range(75)]
    limiter = FlashLimiter(*SIZE)
    shown = [srgb(limiter.limit(nearly_red(ratio, time), time)) for time in times]
    assert most_flashes([srgb(nearly_red(ratio, time)) for time in times], times) > 3
    assert most_flashes(shown, times) <= ALLOWED


@pytest.mark.parametrize("share", [1 / 16, 1 / 50, 1 / 64])
@pytest.mark.parametrize(("height", "width"), [(180, 320), (270, 480)])
def test_small_dots_that_flash_among_what_stands_still_are_seen(height: int, width: int, share: float):
    """Of 0.25 of luminance, so that their field flashes by less than a tenth."""
    side = round(share * width)
    row, column = np.mgrid[:height, :width] // side
    dots = (row % 2 == 0) & (column % 2 == 0)
    times = [i / 30 for i in range(60)]
    pictures = [srgb(np.where(dots & (i // 2 % 2 == 1), 0.25, 0)[..., None].repeat(3, 2)) for i in range(60)]
    assert most_flashes(pictures, times) > 3
    assert most_flashes(limited(pictures, times), times) <= ALLOWED


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
