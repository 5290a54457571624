"""The builder makes every part once, goes on where it was stopped, and says where everything comes from."""

import json
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data import assets, build, music, noises, sounds, speech
from clavilux.training.lumia.data.channel import Surroundings
from clavilux.training.lumia.data.clips import LabelledClip, Origin, read_clips, read_part
from clavilux.training.lumia.data.concepts import CONCEPTS, OTHER_PHRASES
from clavilux.training.lumia.data.speech import Take, TakeCounts
from clavilux.training.lumia.data.synthesis import kinds

COUNTS = {"espeak": TakeCounts(name=2, synonym=1, other=3), "flite": TakeCounts(name=1, synonym=0, other=0)}
FEW = CONCEPTS[:4]
HORSE = Origin("recording/Horse", "Debian openttd-opensfx", "CC-BY-3.0", "A horse by somebody.")


BARK = Origin("synthesis/dog", "synthesised", "Apache-2.0")


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


def barks(chosen: Iterable[tuple[str, int]], seed: int) -> Iterator[LabelledClip]:
    yield from (LabelledClip(np.full(90 + seed % 7, 0.1, np.float32), kind, BARK) for kind, _ in chosen)


def unnamed(voice: str, seed: int, split: str) -> Iterator[LabelledClip]:
    yield LabelledClip(
        np.full(120 + seed % 7, 0.2, np.float32), "", Origin(f"{voice}-{split}", "synthesised", "Apache-2.0")
    )


@pytest.fixture
def studio(monkeypatch) -> Studio:
    return opened(monkeypatch)


def opened(patch: pytest.MonkeyPatch) -> Studio:
    studio = Studio()
    patch.setattr(speech, "CONCEPTS", FEW)
    patch.setattr(speech, "OTHER_PHRASES", OTHER_PHRASES[:2])
    patch.setattr(speech, "synthesize", studio.synthesize)
    patch.setattr(sounds, "rendered_sounds", rendered)
    patch.setattr(music, "music", partial(unnamed, "music/chords"))
    patch.setattr(noises, "noises", partial(unnamed, "noise/pink"))
    patch.setattr(kinds, "takes", lambda: [("dog", 0)])
    patch.setattr(kinds, "synthesised", barks)
    patch.setattr(build, "PART", 6)
    for share in ("MANNER_SHARE", "TRAVELLED_SHARE"):
        patch.setattr(build, share, 0.0)
    return studio


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of a whole build without manners and channels. Read only."""
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
    assert [clip.label for clip in trained if not clip.text] == ["", "", "horse", "piano", "dog"]
    assert [clip.origin.voice for clip in measured if not clip.text] == [
        "music/chords-test",
        "noise/pink-test",
        "recording/Horse",
        "instrument/test",
    ]


def test_no_voice_of_the_test_is_in_the_training_part(built):
    voices = [{clip.origin.voice for clip in read_clips(built, split) if clip.text} for split in ("train", "test")]
    assert not voices[0] & voices[1]
    assert not any(voice.startswith("hibari/") for voice in voices[0])
    assert "hibari/heart" in voices[1]


def test_the_manifest_follows_the_names_of_the_parts_and_the_takes_in_them(built):
    files = [line["audio"] for line in lines(built / "manifest.jsonl")]
    assert files == sorted(files)
    assert list(dict.fromkeys(file.split("/")[1] for file in files)) == [
        *(f"espeak-{i:03d}" for i in range(5)),
        "flite-000",
        "flite-001",
        "music-test",
        "music-train",
        "noises-test",
        "noises-train",
        "sounds-test",
        "sounds-train",
        "synthesis-000",
        *(f"voices-test-{i:03d}" for i in range(6)),
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
    monkeypatch.setattr(assets, "check_all_installed", lambda: None)
    monkeypatch.setattr(sys, "argv", ["build_data", str(tmp_path), "--seed", "5"])
    build.main()
    assert asked == [(tmp_path, 5, None)]
    out = capsys.readouterr().out
    assert "train: 1 clips" in out
    assert f"manifest: {tmp_path / 'manifest.jsonl'}" in out


def test_every_engine_that_is_trained_on_has_its_counts():
    assert set(build.COUNTS) == set(speech.ENGINES) - set(speech.HELD_OUT_ENGINES)


@pytest.mark.usefixtures("studio")
def test_the_slow_engine_is_made_beside_the_others(tmp_path):
    counts = COUNTS | {"kokoro": TakeCounts(name=1, synonym=0, other=1)}
    build.build(tmp_path, counts)
    made = {clip.engine for clip in read_clips(tmp_path, "train")}
    assert {"espeak", "flite", "kokoro"} <= made


def test_an_error_beside_ends_the_build(monkeypatch, tmp_path):
    def broken(*_: object) -> Iterator[LabelledClip]:
        raise InterruptionError
        yield

    opened(monkeypatch)
    monkeypatch.setattr(speech, "synthesize", broken)
    with pytest.raises(InterruptionError):
        build.build(tmp_path, {"kokoro": TakeCounts(name=1, synonym=0, other=0)})


@pytest.fixture(scope="module")
def altered(tmp_path_factory) -> Path:
    """The folder of a whole build with every take in a manner, and everything travelled. Read only."""
    folder = tmp_path_factory.mktemp("altered")
    with pytest.MonkeyPatch.context() as patch:
        opened(patch)
        for share in ("MANNER_SHARE", "TRAVELLED_SHARE"):
            patch.setattr(build, share, 1.0)
        build.build(folder, COUNTS)
    return folder


def test_takes_are_there_plainly_and_in_a_manner_and_both_again_after_travelling(altered):
    parts = {path.stem: read_part(altered, path.stem) for path in (altered / "parts").glob("*espeak-*.jsonl")}
    plain = parts["espeak-000"]
    for name in ("manner-espeak-000", "channel-espeak-000", "channel-manner-espeak-000"):
        assert [(one.label, one.text) for one in parts[name]] == [(one.label, one.text) for one in plain]
        assert not any(np.array_equal(one.sound, two.sound) for one, two in zip(parts[name], plain, strict=True))
    assert len(parts) == 4 * len([name for name in parts if name.startswith("espeak")])


def test_a_voice_stays_on_its_side_whatever_was_done_to_it(altered):
    voices = [{clip.origin.voice for clip in read_clips(altered, split) if clip.text} for split in ("train", "test")]
    assert not voices[0] & voices[1]
    for part in (altered / "parts").glob("*-espeak-000.jsonl"):
        assert [clip.origin for clip in read_part(altered, part.stem)] == [
            clip.origin for clip in read_part(altered, "espeak-000")
        ]


def test_what_is_measured_with_is_left_as_it_was_said(altered, built):
    measured = [sorted(path.name for path in (folder / "parts").glob("*test*")) for folder in (altered, built)]
    assert measured[0] == measured[1]


@pytest.mark.usefixtures("studio")
def test_about_as_many_are_altered_as_the_share_says_and_always_the_same(built, monkeypatch):
    monkeypatch.setattr(build, "MANNER_SHARE", 0.5)
    monkeypatch.setattr(build, "TRAVELLED_SHARE", 0.5)
    for alter in (build.in_manners, build.after_travelling):
        first, second, other = (list(alter(built, "espeak-000", seed)) for seed in (1, 1, 2))
        assert 0 < len(first) < 6
        assert [one.sound.tobytes() for one in first] == [one.sound.tobytes() for one in second]
        assert [one.sound.tobytes() for one in first] != [one.sound.tobytes() for one in other]


def test_babble_holds_no_known_word_and_music_is_of_the_training_side(altered, monkeypatch):
    met: list[Surroundings] = []

    def seen(sound: np.ndarray, dice: np.random.Generator, around: Surroundings) -> np.ndarray:
        del dice
        met.append(around)
        return sound

    monkeypatch.setattr(build, "travelled", seen)
    monkeypatch.setattr(build, "TRAVELLED_SHARE", 1.0)
    clips = read_part(altered, "espeak-000")
    assert len(list(build.after_travelling(altered, "espeak-000", 1))) == len(clips)
    quiet = [clip.sound for clip in clips if not clip.label]
    assert quiet
    assert len(met[0].babble) == len(quiet)
    music = [clip.sound for clip in read_part(altered, "sounds-train") if clip.engine == "instrument"]
    assert [len(one) for one in met[0].music] == [len(one) for one in music]


@pytest.mark.usefixtures("studio")
def test_a_folder_of_other_words_is_refused(monkeypatch, tmp_path):
    build.build(tmp_path, {})
    build.check_same_recipe(tmp_path, {})
    monkeypatch.setattr(build, "CONCEPTS", build.CONCEPTS[1:])
    with pytest.raises(ClaviluxError, match="was begun with other words; use another folder, or remove this one"):
        build.check_same_recipe(tmp_path, {})
