"""Films and sheets hold what was asked for, in its place."""

import numpy as np
import pytest
from PIL import Image

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.sound_file import Clip
from clavilux.training.lumia.measure import films, sheets
from clavilux.training.lumia.measure.sheets import COLUMNS, LABEL, TILE


def frames(count: int, width: int = 32) -> list[np.ndarray]:
    return [np.full((32, width, 3), 4 * i, np.uint8) for i in range(count)]


def test_a_film_has_a_frame_for_every_part_of_a_second_and_is_wide_where_the_bundle_can_be():
    silence = Clip(np.zeros((SAMPLE_RATE // 5, 1), np.float32), SAMPLE_RATE)
    found = films.film(DEFAULT_BUNDLE, silence)
    can = Bundle.open(DEFAULT_BUNDLE).sizes is not None
    assert len(found) == 5
    assert found[0].pixels.shape == ((256, 448, 3) if can else (256, 256, 3))


@pytest.mark.parametrize("width", [32, 56])
def test_a_strip_shows_the_first_and_the_last_frame(width):
    strip = np.asarray(films.strip(frames(50, width)))
    side, columns = films.STRIP_HEIGHT, films.STRIP_COLUMNS
    across = side * width // 32
    assert strip.shape == (films.STRIP_FRAMES // columns * side, columns * across, 3)
    assert strip[side // 2, across // 2, 0] == 0
    assert strip[-side // 2, -across // 2, 0] == 4 * 49


def test_a_preview_moves(tmp_path):
    films.preview(frames(60), tmp_path / "film.webp")
    with Image.open(tmp_path / "film.webp") as picture:
        assert picture.n_frames > 10
        assert picture.size == (films.PREVIEW_HEIGHT, films.PREVIEW_HEIGHT)


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
