"""Films and sheets hold what was asked for, in its place."""

import numpy as np
import pytest
from PIL import Image

from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.sound_file import Clip
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.measure import films, sheets
from clavilux.training.lumia.measure.sheets import COLUMNS, LABEL, TILE

ORIGIN = Origin("hibari/heart", "PyPI hibari-tts", "Apache-2.0")


def clip(label: str, level: float) -> LabelledClip:
    return LabelledClip(np.full(SAMPLE_RATE // 2, level, np.float32), label, ORIGIN)


def frames(count: int) -> list[np.ndarray]:
    return [np.full((32, 32, 3), 4 * i, np.uint8) for i in range(count)]


def test_clips_follow_each_other_at_even_times():
    film = films.sequence([clip("cat", 0.2), clip("dog", 0.1)], ("dog", "unicorn", "cat"), spacing=1.0)
    assert len(film) == int(2.5 * SAMPLE_RATE)
    assert film[SAMPLE_RATE // 4] == np.float32(0.1)
    assert film[SAMPLE_RATE * 3 // 4] == 0
    assert film[SAMPLE_RATE + SAMPLE_RATE // 4] == np.float32(0.2)


def test_every_word_of_the_films_is_a_concept():
    assert set(films.WORDS + films.MUSIC + films.EFFECTS) <= set(NAMES)


def test_a_film_has_a_frame_for_every_part_of_a_second():
    silence = Clip(np.zeros((SAMPLE_RATE // 5, 1), np.float32), SAMPLE_RATE)
    found = films.film(DEFAULT_BUNDLE, silence)
    assert len(found) == 5
    assert found[0].pixels.shape == (256, 256, 3)


def test_a_strip_shows_the_first_and_the_last_frame():
    strip = np.asarray(films.strip(frames(50)))
    side = films.STRIP_SIDE
    assert strip.shape == (3 * side, 8 * side, 3)
    assert strip[side // 2, side // 2, 0] == 0
    assert strip[-side // 2, -side // 2, 0] == 4 * 49


def test_a_preview_moves(tmp_path):
    films.preview(frames(60), tmp_path / "film.webp")
    with Image.open(tmp_path / "film.webp") as picture:
        assert picture.n_frames > 10
        assert picture.size == (films.PREVIEW_SIDE, films.PREVIEW_SIDE)


def test_a_sheet_has_a_place_for_every_picture():
    pictures = np.full((COLUMNS + 1, 64, 64, 3), 200, np.uint8)
    sheet = np.asarray(sheets.sheet(pictures, ["dog"] * len(pictures)))
    assert sheet.shape == (2 * (TILE + LABEL), COLUMNS * TILE, 3)
    assert tuple(sheet[TILE + LABEL + TILE // 2, TILE // 2]) == (200, 200, 200)
    assert tuple(sheet[TILE + LABEL + TILE // 2, TILE + TILE // 2]) == sheets.PAPER


@pytest.mark.parametrize(("wrong", "red"), [((0,), True), ((), False)])
def test_failures_are_named_in_red(wrong, red):
    sheet = np.asarray(sheets.sheet(np.zeros((1, 64, 64, 3), np.uint8), ["dog"], wrong)).astype(int)
    line = sheet[TILE:, :TILE]
    assert bool((line[..., 0] - line[..., 2] > 80).any()) == red
