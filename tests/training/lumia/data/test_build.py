"""The builder makes every part once, goes on where it was stopped, and says where everything comes from."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clavilux.training.lumia.data import build, sounds, speech
from clavilux.training.lumia.data.clips import LabelledClip, Origin, read_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, OTHER_PHRASES
from clavilux.training.lumia.data.speech import Take, TakeCounts

COUNTS = {"espeak": TakeCounts(name=2, synonym=1, other=3), "flite": TakeCounts(name=1, synonym=0, other=0)}
FEW = CONCEPTS[:4]
HORSE = Origin("recording/Horse", "Debian openttd-opensfx", "CC-BY-3.0", "A horse by somebody.")


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


class Studio:
    """Stands for the synthesisers: counts what it says, and may be stopped."""

    def __init__(self) -> None:
        self.said: list[Take] = []
        self.most = 10_000

    def synthesize(self, takes: Iterable[Take], folder: Path) -> Iterator[LabelledClip]:
        del folder
        for take in takes:
            if len(self.said) == self.most:
                raise InterruptionError
            self.said.append(take)
            length = 200 + len(take.text)
            yield LabelledClip(np.full(length, 0.1, np.float32), take.label, take.origin, take.text)


def rendered(seed: int, split: str) -> Iterator[LabelledClip]:
    yield LabelledClip(np.full(100 + seed, 0.2, np.float32), "horse", HORSE)
    yield LabelledClip(np.full(150, 0.2, np.float32), "piano", Origin(f"instrument/{split}", "Debian fluid", "MIT"))


@pytest.fixture
def studio(monkeypatch) -> Studio:
    return opened(monkeypatch)


def opened(patch: pytest.MonkeyPatch) -> Studio:
    studio = Studio()
    patch.setattr(speech, "CONCEPTS", FEW)
    patch.setattr(speech, "OTHER_PHRASES", OTHER_PHRASES[:2])
    patch.setattr(speech, "synthesize", studio.synthesize)
    patch.setattr(sounds, "rendered_sounds", rendered)
    patch.setattr(build, "PART", 6)
    return studio


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of a whole build. Read only."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        opened(patch)
        build.build(folder, COUNTS)
    return folder


def lines(manifest: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


@pytest.mark.usefixtures("studio")
def test_the_manifest_holds_every_take_and_sound_on_its_side(built):
    trained, measured = read_clips(built, "train"), read_clips(built, "test")
    takes = [take for engine, counts in COUNTS.items() for take in speech.training_takes(engine, counts, build.SEED)]
    assert sorted(clip.text for clip in trained if clip.text) == sorted(take.text for take in takes)
    assert [clip.text for clip in measured if clip.text] == [take.text for take in speech.held_out_takes()]
    assert [clip.label for clip in trained if not clip.text] == ["horse", "piano"]
    assert [clip.origin.voice for clip in measured if not clip.text] == ["recording/Horse", "instrument/test"]


def test_no_voice_of_the_test_is_in_the_training_part(built):
    voices = [{clip.origin.voice for clip in read_clips(built, split) if clip.text} for split in ("train", "test")]
    assert not voices[0] & voices[1]
    assert not any(voice.startswith("hibari/") for voice in voices[0])
    assert "hibari/heart" in voices[1]


def test_the_manifest_follows_the_names_of_the_parts_and_the_takes_in_them(built):
    files = [line["audio"] for line in lines(built / "manifest.jsonl")]
    assert files == sorted(files)
    assert list(dict.fromkeys(file.split("/")[1] for file in files)) == [
        *(f"espeak-{i:03d}" for i in range(4)),
        "flite-000",
        "sounds-test",
        "sounds-train",
        *(f"voices-test-{i:03d}" for i in range(4)),
    ]


def test_finished_parts_are_not_made_again(studio, tmp_path):
    build.build(tmp_path, COUNTS)
    before = len(studio.said)
    build.build(tmp_path, COUNTS)
    assert len(studio.said) == before > 0


def test_a_stopped_build_goes_on_and_ends_as_an_uninterrupted_one(studio, tmp_path):
    whole = build.build(tmp_path / "whole", COUNTS).read_text()
    takes = len(studio.said)
    studio.said, studio.most = [], 14
    with pytest.raises(InterruptionError):
        build.build(tmp_path / "parts", COUNTS)
    assert not (tmp_path / "parts" / "manifest.jsonl").exists()
    studio.most = 10_000
    assert build.build(tmp_path / "parts", COUNTS).read_text() == whole
    assert len(studio.said) == takes + 14 % build.PART


@pytest.mark.usefixtures("studio")
def test_a_half_written_part_is_not_taken(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / ".espeak-000.jsonl.0123abcd.part").write_text('{"audio": "nowhere"}\n')
    files = [line["audio"] for line in lines(build.build(tmp_path, COUNTS))]
    assert "nowhere" not in files
    assert sum(file.startswith("audio/espeak-000/") for file in files) == build.PART


@pytest.mark.usefixtures("studio")
def test_the_same_seed_gives_the_same_takes_and_another_seed_others(tmp_path):
    first, second, other = (
        build.build(tmp_path / str(i), COUNTS, seed).read_text() for i, seed in enumerate((1, 1, 2))
    )
    assert first == second != other


@pytest.mark.usefixtures("studio")
def test_credits_hold_every_source_with_licence_and_count_and_the_lines_asked_for(built):
    text = (built / "CREDITS.md").read_text()
    espeak = len(speech.training_takes("espeak", COUNTS["espeak"], 0)) + 2 * len(FEW)
    assert f"| Debian espeak-ng | no restriction on its output | {espeak} |" in text
    assert "| Debian openttd-opensfx | CC-BY-3.0 | 2 |" in text
    assert "| PyPI hibari-tts | Apache-2.0 | 4 |" in text
    assert text.count("* A horse by somebody.") == 1


def test_asked_credits_are_in_the_order_of_the_alphabet_each_once(tmp_path):
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps({"credit": line}) + "\n" for line in ("b", "", "a", "b")))
    assert build.asked_credits(manifest) == ["a", "b"]


def test_the_summary_counts_clips_hours_voices_and_concepts(tmp_path):
    line = {"split": "train", "seconds": 1800.0, "voice": "flite/kal", "concept": "dog"}
    rows = [line, line | {"concept": "", "voice": "flite/awb"}, line | {"split": "test"}]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert build.summary(manifest).splitlines() == [
        "train: 2 clips, 1.00 h, 2 voices and sources, 1 concepts",
        "test: 1 clips, 0.50 h, 1 voices and sources, 1 concepts",
    ]


def test_a_side_without_clips_has_no_line(tmp_path):
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("")
    assert build.summary(manifest) == ""


@pytest.mark.usefixtures("studio")
def test_the_command_builds_and_says_what_it_built(monkeypatch, capsys, tmp_path):
    asked = []

    def fake(folder: Path, counts: object = None, seed: int = 0) -> Path:
        asked.append((folder, seed, counts))
        manifest = folder / "manifest.jsonl"
        manifest.write_text(json.dumps({"split": "train", "seconds": 1.0, "voice": "a", "concept": ""}) + "\n")
        return manifest

    monkeypatch.setattr(build, "build", fake)
    monkeypatch.setattr(sys, "argv", ["build_data", str(tmp_path), "--seed", "5"])
    build.main()
    assert asked == [(tmp_path, 5, None)]
    out = capsys.readouterr().out
    assert "train: 1 clips" in out
    assert f"manifest: {tmp_path / 'manifest.jsonl'}" in out


def test_every_engine_that_is_trained_on_has_its_counts():
    assert set(build.COUNTS) == set(speech.ENGINES) - {"hibari"}
