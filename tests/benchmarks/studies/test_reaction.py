"""Reaction: the sounds that it plays, and what it tells of films whose answer is known."""

from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clavilux.benchmarks.studies import reaction
from clavilux.benchmarks.studies.reaction import (
    CLICK_RATE,
    COLUMNS,
    QUIETER,
    ROWS,
    WORD_RATE,
    WORDS,
    Study,
    metronome,
    piano,
    pictures_of_concepts,
    spoken,
    sweep,
)
from clavilux.benchmarks.studies.reaction_figures import descriptor
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.sound_file import Clip


def study(monkeypatch: pytest.MonkeyPatch, films: list[np.ndarray]) -> Study:
    """Return a study to which these films are shown, one after the other."""
    shown = iter(films)
    monkeypatch.setattr(reaction, "film", lambda *_: next(shown))
    without_light: Any = SimpleNamespace(bundle=SimpleNamespace(light=False))
    return Study(lambda: without_light, Parameters())


def test_a_metronome_clicks_twice_a_second() -> None:
    loud = np.flatnonzero(np.abs(metronome(3.0).samples[:, 0]) > 0.3) / SAMPLE_RATE
    assert sorted({round(time * 2) / 2 for time in loud}) == [0.5, 1.0, 1.5, 2.0, 2.5]


def test_the_quiet_piano_is_the_same_one_12_db_quieter() -> None:
    loud, quiet = piano(1.0).samples, piano(QUIETER).samples
    assert 20 * np.log10(quiet.std() / loud.std()) == pytest.approx(-12, abs=0.01)
    assert np.abs(loud).max() < 1


def test_the_sweep_rises_as_it_says() -> None:
    clip, pitch = sweep(4.0)
    for second in (1, 3):
        part = clip.samples[second * SAMPLE_RATE : second * SAMPLE_RATE + 1600, 0]
        turns = np.count_nonzero(np.diff(np.signbit(part))) / 2
        assert turns / 0.1 == pytest.approx(pitch(second + 0.05), rel=0.1)


def test_change_after_clicks_is_told_from_change_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    count = round(14 * CLICK_RATE)
    levels = np.zeros(count)
    for k in range(count):
        levels[k] = levels[k - 1] + (6 if k % 30 == 1 else 1)  # the first picture after each click, then the others
    pictures = np.repeat((levels % 200).astype(np.uint8)[:, None, None, None], 3, axis=3)
    found = study(monkeypatch, [pictures]).metronome()
    assert found["seen_ms"] == pytest.approx(1000 / 60, abs=1)
    assert found["ratio"] > 1.5


def test_loudness_and_sweep_are_told_of_films(monkeypatch: pytest.MonkeyPatch) -> None:
    bright, dark = (np.full((70, 4, 4, 3), value, np.uint8) for value in (90, 60))
    rising = np.zeros((100, 100, 110, 3), np.uint8)
    for k in range(100):
        rising[k, 99 - k] = 255
    asked = study(monkeypatch, [bright, dark, rising])
    assert asked.loudness() == 30
    assert asked.sweep() == pytest.approx(1.0)


def test_words_are_told_by_what_shows_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = open_instrument(DEFAULT_BUNDLE)
    count = len(instrument.bundle.concepts)
    own = np.random.default_rng(4).integers(0, 256, (count, 8, 12, 3)).astype(np.uint8)
    chosen = np.linspace(0, count, WORDS, endpoint=False).astype(int)
    seconds = 1.0
    frames = round(seconds * WORD_RATE)
    still = [np.repeat(own[index : index + 1], frames, axis=0) for index in chosen]
    moved = [np.repeat(own[(index + (k > 5)) % count][None], frames, axis=0) for k, index in enumerate(chosen)]
    films = iter(still + moved)
    monkeypatch.setattr(reaction, "film", lambda *_: next(films))
    monkeypatch.setattr(reaction, "pictures_of_concepts", lambda _: iter(own))
    silence = Clip(np.zeros((round(seconds * SAMPLE_RATE), 1), np.float32), SAMPLE_RATE)
    monkeypatch.setattr(reaction, "spoken", lambda _: silence)
    found = Study(lambda: instrument, instrument.defaults).words()
    assert found == {"still": 100, "moved": pytest.approx(10), "difference": pytest.approx(-90)}


def test_concepts_have_pictures_of_their_own() -> None:
    one, other = islice(pictures_of_concepts(open_instrument(DEFAULT_BUNDLE)), 2)
    assert one.shape == (ROWS, COLUMNS, 3)
    assert descriptor(one) @ descriptor(other) < 0.95


def test_a_word_is_said_between_silences() -> None:
    clip = spoken("dog")
    sound = np.abs(clip.samples[:, 0])
    assert sound[: round(0.29 * clip.rate)].max() == 0
    assert sound[round(0.3 * clip.rate) : -round(0.7 * clip.rate)].max() > 0.1
    assert clip.seconds > 1.2


@pytest.mark.parametrize(("value", "line"), [(0.5, "0.5"), ({"ratio": 5.0, "seen_ms": 17.0}, "ratio 5, seen_ms 17")])
def test_figures_are_told_in_a_line(value: Any, line: str) -> None:
    assert reaction._told(value) == line
