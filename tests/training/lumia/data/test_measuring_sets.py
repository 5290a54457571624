"""The sets for measuring hold what file names and texts say, short and once, with its licence; the rest is left out."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from clavilux.runtime.errors import ClaviluxError, SoundError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.command_line import command
from clavilux.training.lumia.data import assets, measuring_sets
from clavilux.training.lumia.data.clips import PEAK
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.data.measuring_sets import (
    concept_in,
    human_words,
    loudest_piece,
    never_trained,
    real_sounds,
    trained,
)
from tests.training.lumia.data.test_qt_resources import resource_file

ONE = SAMPLE_RATE  # samples of a second


def noise(seconds: float, seed: int) -> NDArray[np.float32]:
    sound = np.random.default_rng(seed).uniform(-0.4, 0.4, round(seconds * SAMPLE_RATE))
    return sound.astype(np.float32)


def encoded(sound: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, SAMPLE_RATE, format="OGG")
    return file.getvalue()


def put(path: Path, seconds: float, seed: int, text: str = "") -> None:
    """Write a recording, and beside a description the text that it says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(noise(seconds, seed)))
    if text:
        path.with_name(path.name.replace("_desc.ogg", ".txt")).write_text(f"{text}\nfr.utf8=autre chose\n")


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of three small packages that are installed."""
    root = tmp_path / "share"
    monkeypatch.setattr(assets, "SEARCH", (root,))
    for package, licence in (("ktuberling-data", "A"), ("tuxpaint-stamps-default", "B"), ("gcompris-qt-data", "C")):
        (root / "doc" / package).mkdir(parents=True)
        stanza = "\n\nFiles: src/activities/traffic/*.wav\nLicense: D" if licence == "C" else ""
        (root / "doc" / package / "copyright").write_text(f"Files: *\nLicense: {licence}{stanza}\n")
    put(root / "ktuberling/sounds/en/spectacles.ogg", 0.5, 1)
    put(root / "ktuberling/sounds/en/sunglasses.ogg", 0.5, 2)
    put(root / "tuxpaint/stamps/animals/dog_desc.ogg", 0.5, 3, "A dog.")
    put(root / "tuxpaint/stamps/animals/wombat_desc.ogg", 0.5, 4, "A wombat.")
    put(root / "tuxpaint/stamps/animals/dog_desc_fr.ogg", 0.5, 5)
    put(root / "tuxpaint/stamps/animals/dog.ogg", 4, 6)
    put(root / "tuxpaint/stamps/animals/rabbit.ogg", 0.5, 7)
    put(root / "tuxpaint/stamps/animals/wombat.ogg", 0.5, 8)
    put(root / "tuxpaint/stamps/symbols/camel.ogg", 0.5, 9)
    rcc = root / "gcompris-qt/rcc"
    rcc.mkdir(parents=True)
    files = {"owl.ogg": (0, encoded(noise(0.5, 10))), "owl.svg": (0, b"<svg/>"), "emu.ogg": (0, b"never read")}
    resource_file(rcc / "explore_farm_animals.rcc", files)
    return root


def test_words_are_the_known_files_and_the_texts_that_name_a_concept(share: Path, tmp_path: Path) -> None:
    found = [(clip.label, clip.text, clip.origin.voice) for clip in human_words(tmp_path)]
    assert found == [("glasses", "spectacles", "human/ktuberling"), ("dog", "A dog.", "human/tuxpaint")]


def test_sounds_are_the_known_files_of_both_packages(share: Path, tmp_path: Path) -> None:
    found = {clip.origin.voice: clip.label for clip in real_sounds(tmp_path)}
    assert found == {
        "sound/tuxpaint/animals/dog": "dog",
        "sound/tuxpaint/animals/rabbit": "rabbit",
        "sound/gcompris/explore_farm_animals/owl": "owl",
    }


def test_each_clip_has_its_package_and_licence(share: Path, tmp_path: Path) -> None:
    clips = human_words(tmp_path) + real_sounds(tmp_path)
    assert {(clip.origin.source, clip.origin.licence) for clip in clips} == {
        ("Debian ktuberling-data (measuring only)", "A"),
        ("Debian tuxpaint-stamps-default (measuring only)", "B"),
        ("Debian gcompris-qt-data (measuring only)", "C"),
    }


def test_a_stanza_of_a_single_file_goes_before_its_package_s(share: Path, tmp_path: Path) -> None:
    files = {"car.wav": (0, encoded(noise(0.5, 11)))}
    resource_file(share / "gcompris-qt/rcc/traffic.rcc", files, folder="gcompris/src/activities/traffic")
    licences = {clip.label: clip.origin.licence for clip in real_sounds(tmp_path)}
    assert licences["car"] == "D"


def test_sounds_are_told_apart_by_what_training_has(share: Path, tmp_path: Path) -> None:
    clips = real_sounds(tmp_path)
    assert [clip.label for clip in trained(clips)] == ["dog", "owl"]
    assert [clip.label for clip in never_trained(clips)] == ["rabbit"]


def test_every_clip_is_short_and_as_loud_as_the_others(share: Path, tmp_path: Path) -> None:
    for clip in human_words(tmp_path) + real_sounds(tmp_path):
        assert 0 < len(clip.sound) <= 2.5 * SAMPLE_RATE
        assert np.abs(clip.sound).max() == pytest.approx(PEAK)


def test_long_speech_is_left_out(share: Path, tmp_path: Path) -> None:
    put(share / "tuxpaint/stamps/animals/cow_desc.ogg", 2.7, 12, "A cow.")
    assert "cow" not in [clip.label for clip in human_words(tmp_path)]


def test_a_constant_offset_is_taken_off_before_the_ends_are_cut(share: Path, tmp_path: Path) -> None:
    late = np.concatenate([np.zeros(ONE, np.float32), noise(0.5, 17)])
    soundfile.write(share / "tuxpaint/stamps/animals/fox.wav", late + 0.3, SAMPLE_RATE)
    (fox,) = [clip for clip in real_sounds(tmp_path) if clip.label == "fox"]
    assert abs(fox.sound.mean()) < 0.01
    assert len(fox.sound) < 0.7 * ONE


def test_a_silent_sound_is_left_out(share: Path, tmp_path: Path) -> None:
    (share / "tuxpaint/stamps/animals/bear.ogg").write_bytes(encoded(np.zeros(ONE, np.float32)))
    assert "bear" not in [clip.label for clip in real_sounds(tmp_path)]


def test_a_sound_that_repeats_another_is_left_out(share: Path, tmp_path: Path) -> None:
    put(share / "tuxpaint/stamps/animals/cow.ogg", 0.5, 13)
    put(share / "tuxpaint/stamps/animals/cow_white.ogg", 0.5, 13)
    assert [clip.label for clip in real_sounds(tmp_path)].count("cow") == 1


def test_a_description_without_a_text_is_left_out(share: Path, tmp_path: Path) -> None:
    put(share / "tuxpaint/stamps/animals/goat_desc.ogg", 0.5, 14)
    assert [clip.label for clip in human_words(tmp_path)] == ["glasses", "dog"]


def test_a_file_that_is_no_sound_is_named(share: Path, tmp_path: Path) -> None:
    (share / "tuxpaint/stamps/animals/pig.ogg").write_bytes(b"oink")
    with pytest.raises(SoundError, match=r"pig\.ogg cannot be read"):
        real_sounds(tmp_path)


def test_a_package_of_which_nothing_is_known_is_refused(share: Path, tmp_path: Path) -> None:
    (share / "ktuberling/sounds/en/spectacles.ogg").unlink()
    with pytest.raises(ClaviluxError, match="none of 1 files of human/ktuberling is known"):
        human_words(tmp_path)


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("A dog.", "dog"),
        ("Two brown hens.", "chicken"),
        ("A PALM of a hand.", ""),
        ("A mountaingoat.", ""),
        ("A dog and a cat.", ""),
        ("", ""),
    ],
)
def test_a_text_names_a_concept_by_one_whole_word(text: str, concept: str) -> None:
    assert concept_in(text) == concept


def test_every_word_of_the_table_is_a_name_or_a_synonym_of_its_concept() -> None:
    words = {concept.name: concept.words for concept in CONCEPTS}
    for row in measuring_sets._rows(measuring_sets.SPOKEN):
        _, word, concept = row.split("/")
        assert word in words[concept] or word.removesuffix("s") in words[concept]


@pytest.mark.parametrize("table", [measuring_sets.EFFECTS, measuring_sets.ACTIVITIES])
def test_every_sound_of_a_table_is_a_concept_and_stands_there_once(table: str) -> None:
    concepts = measuring_sets._concepts(table)
    assert set(concepts.values()) <= set(NAMES)
    assert len(concepts) == sum(len(row.split(": ")[1].split()) for row in measuring_sets._rows(table))


def test_the_loudest_piece_is_where_the_energy_is() -> None:
    sound = 0.1 * noise(6, 15)
    sound[3 * ONE : 5 * ONE] *= 8
    piece = loudest_piece(sound, seconds=2.0)
    assert len(piece) == 2 * ONE
    np.testing.assert_allclose(piece / np.abs(piece).max(), sound[3 * ONE : 5 * ONE] / np.abs(sound).max(), atol=0.01)


def test_a_short_sound_stays_as_it_is() -> None:
    sound = noise(1, 16)
    assert loudest_piece(sound) is sound


def test_the_command_prints_each_set_and_what_was_left_out(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["measuring_sets", str(tmp_path)])
    measuring_sets.main()
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "human words 2 2 dog, glasses" in lines
    assert "sounds we train 2 2 dog, owl" in lines
    assert "sounds never trained 1 1 rabbit" in lines
    assert "sound/tuxpaint: 2 of 3 files; the rest is left out" in lines


def test_the_command_says_what_is_wrong_in_a_line(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (share / "ktuberling/sounds/en/spectacles.ogg").unlink()
    monkeypatch.setattr(sys, "argv", ["measuring_sets", str(tmp_path)])
    assert command("measuring_sets", measuring_sets.main) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
