"""Film: frames with readings and parameters become what a room sees."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.frame import Frame
from clavilux.runtime.output.film import Film, filmed
from clavilux.runtime.pulse import Pulse

HEIGHT, WIDTH = 72, 128
STEP = 1 / 30  # s between two frames
LOUD = Pulse(level=0.9, level_db=-12.0, pitch_height=0.5, pitch_confidence=1.0, brightness=0.5, density=0.3)
WHITE = np.full((16, 16, 3), 230, np.uint8)


def frames(
    count: int, *, pixels: np.ndarray = WHITE, pulse: Pulse = LOUD, known: float = 0.0, **values: Any
) -> list[Frame]:
    """Return frames of one picture, each with three readings, and with these parameters."""
    moved = Parameters().merge(values).values()
    return [
        Frame(k, pixels, k * STEP, None, -20.0, None, pulses=(pulse,) * 3, known=known, values=moved)
        for k in range(count)
    ]


def last(made: list[Frame]) -> np.ndarray:
    """Return what is seen at the end."""
    return list(filmed(made, Film(HEIGHT, WIDTH)))[-1].pixels


def test_a_film_has_the_size_of_its_screen_and_the_times_of_its_frames() -> None:
    made = frames(3, light=0.0)
    seen = list(filmed(made, Film(HEIGHT, WIDTH)))
    assert [one.time for one in seen] == [one.time for one in made]
    assert {one.pixels.shape for one in seen} == {(HEIGHT, WIDTH, 3)}


def test_each_frame_shows_its_own_picture_at_once() -> None:
    first, second = frames(2, light=0.0)
    dark = replace(second, pixels=np.full((16, 16, 3), 20, np.uint8))
    seen = [one.pixels[HEIGHT // 2, WIDTH // 2].mean() for one in filmed([first, dark], Film(HEIGHT, WIDTH))]
    assert seen == pytest.approx([230, 20], abs=3)


def test_light_fills_the_wall_where_nothing_is_known_and_veils_the_picture() -> None:
    without, unknown, known = (last(frames(14, light=light, known=sure)) for light, sure in ((0, 0), (1, 0), (1, 1)))
    middle = np.s_[HEIGHT // 2 - 4 : HEIGHT // 2 + 4, WIDTH // 2 - 4 : WIDTH // 2 + 4]
    assert unknown[middle].mean() < without[middle].mean() - 20
    assert known[middle].mean() == pytest.approx(without[middle].mean(), abs=3)
    assert known.astype(int).sum() > without.astype(int).sum()


def test_without_light_the_pulse_alone_changes_nothing() -> None:
    quiet = Pulse(level_db=-60.0)
    np.testing.assert_array_equal(last(frames(5, light=0.0)), last(frames(5, light=0.0, pulse=quiet)))


def test_a_blackout_is_black_and_comes_back_with_the_picture() -> None:
    bright, dark = frames(1, light=0.0)[0], frames(1, light=0.0, blackout=True, pixels=np.zeros_like(WHITE))[0]
    series = [replace(one, time=k * STEP) for k, one in enumerate([bright] * 3 + [dark] * 3 + [bright] * 3)]
    seen = [one.pixels.max() for one in filmed(series, Film(HEIGHT, WIDTH))]
    assert [value == 0 for value in seen] == [False] * 3 + [True] * 3 + [False] * 3


def test_a_fade_takes_its_time() -> None:
    bright = frames(1, light=0.0)[0]
    dark = [replace(one, time=(k + 1) * STEP) for k, one in enumerate(frames(32, light=0.0, blackout=True, fade=1.0))]
    seen = [int(one.pixels.max()) for one in filmed([bright, *dark], Film(HEIGHT, WIDTH))]
    assert all(before >= after for before, after in pairwise(seen))
    assert 40 < seen[15] < 200
    assert seen[-1] == 0


@pytest.mark.parametrize("limited", [True, False])
def test_a_strobe_is_limited_unless_the_performer_lets_it_be(limited: bool) -> None:
    black = np.zeros_like(WHITE)
    made = [
        replace(one, pixels=black if k % 4 < 2 else WHITE)
        for k, one in enumerate(frames(90, light=0.0, flash_limit=limited))
    ]
    seen = np.array([one.pixels.mean() for one in filmed(made, Film(HEIGHT, WIDTH))][45:])
    swing = seen.max() - seen.min()
    assert (swing < 60) == limited


def test_the_same_frames_give_the_same_film() -> None:
    film, again = Film(HEIGHT, WIDTH), Film(HEIGHT, WIDTH)
    for one in frames(3, light=0.7):
        np.testing.assert_array_equal(film.draw(one), again.draw(one))
