"""Light is measured on held-out sounds at levels of their own, and what is read is compared with what was told."""

import numpy as np
import pytest
import torch

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.measure import light
from clavilux.training.lumia.measure.light import LEVELS, LightFindings, held_out_sounds, told
from clavilux.training.lumia.models.light_reader import HUE, Reading

ALIKE = dict.fromkeys((HUE, *LIGHT_NUMBERS[2:]), 0.5)


def tone(hertz: float, seconds: float = 1.0, peak: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (peak * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def clip(voice: str, seconds: float = 1.0) -> LabelledClip:
    return LabelledClip(tone(440.0, seconds), "", Origin(voice, "a tone generator", "CC0-1.0"))


def test_higher_tones_are_told_as_higher_and_louder_ones_as_brighter():
    place, brightness = LIGHT_NUMBERS.index("place"), LIGHT_NUMBERS.index("light")
    assert told(tone(200.0))[place] < told(tone(900.0))[place]
    assert told(tone(300.0, peak=0.01))[brightness] < told(tone(300.0))[brightness]


def test_of_no_sound_a_light_at_rest_is_told():
    assert told(np.zeros(0, np.float32)).shape == (len(LIGHT_NUMBERS),)


def test_sounds_are_those_of_things_and_music_that_last_at_levels_between_the_limits():
    clips = [clip("music/chords"), clip("espeak/en"), clip("noise/pink", seconds=0.2), clip("instrument/0.1.2")] * 3
    found = held_out_sounds(clips, 0)
    peaks = [20 * np.log10(np.abs(sound).max() / 0.5) for sound in found]
    assert len(found) == 6
    assert len({round(peak, 3) for peak in peaks}) == 6
    assert all(LEVELS[0] <= peak <= LEVELS[1] for peak in peaks)
    assert [sound.tobytes() for sound in held_out_sounds(clips, 0)] == [sound.tobytes() for sound in found]


def test_the_last_picture_of_each_sound_is_shown_under_noise_of_its_own():
    pictures = light.shown(DEFAULT_BUNDLE, [tone(440.0, 0.3)] * 2)
    assert pictures.shape == (2, 256, 256, 3)
    assert not np.array_equal(*pictures)


def test_a_reader_that_reads_aright_finds_what_was_told(monkeypatch):
    dice = np.random.default_rng(0)
    numbers = [dice.uniform(-1, 1, len(LIGHT_NUMBERS)).astype(np.float32) for _ in range(12)]
    monkeypatch.setattr(light.light_reader, "read", lambda reader, pictures: torch.from_numpy(np.stack(numbers)))
    found = light.compared(None, np.zeros((12, 8, 8, 3), np.uint8), numbers)
    assert list(found.correlations.values()) == pytest.approx([1.0] * len(ALIKE))


def test_the_table_has_a_row_for_every_figure():
    table = light.table_of(LightFindings(Reading(5, ALIKE), Reading(7, {**ALIKE, "place": 0.25})))
    assert "in 7 of its pictures | in 5 painted ones, through the autoencoder |" in table
    assert "| pitch height: place | 0.25 | 0.50 |" in table
    assert len(table.split("\n")) == 2 + len(ALIKE)


def test_a_bundle_that_paints_no_light_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(light.Bundle, "open", lambda folder: type("Dark", (), {"light": False}))
    with pytest.raises(ClaviluxError, match="paints no light; measure a bundle that does"):
        light.measure(tmp_path, tmp_path)
