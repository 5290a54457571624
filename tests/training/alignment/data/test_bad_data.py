"""Bad clips are named in one line, skipped or refused as asked, and counted; good ones are looked at once."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clavilux.training.alignment.data import bad_data
from clavilux.training.alignment.data.bad_data import (
    Fault,
    Policy,
    check,
    count_faults,
    find_fault,
    note_skipped,
    read_skipped,
)
from clavilux.training.alignment.data.captioned import DataError, DataOptions, Example, read_folder
from tests.training.alignment.few_clips import RATE, tone, write_clips, write_manifest

SKIP = Policy()


def example(folder: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT", caption: str = "x") -> Example:
    soundfile.write(folder / "a.wav", samples, rate, subtype=subtype)
    return Example("a.wav", caption, folder / "a.wav")


def with_nan(samples: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(samples)) == 4000, np.nan, samples).astype(np.float32)


def test_a_good_clip_has_no_fault(tmp_path: Path) -> None:
    assert find_fault(example(tmp_path, tone()), SKIP) is None


@pytest.mark.parametrize(
    ("samples", "caption", "kind", "line"),
    [
        (tone(), "", "empty caption", "has an empty caption; expected words"),
        (np.zeros(0, np.float32), "x", "no sound", "lasts 0 ms; expected 35 or more"),
        (tone(0.03), "x", "no sound", "lasts 30 ms; expected 35 or more"),
        (np.zeros(8000, np.float32), "x", "silent", "is digital silence; expected a sound"),
        (1e30 * tone(), "x", "too large", "holds samples as large as 3e+29; expected -1 to 1"),
        (with_nan(tone()), "x", "not finite", "holds samples that are no numbers; expected -1 to 1"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, samples: np.ndarray, caption: str, kind: str, line: str) -> None:
    assert find_fault(example(tmp_path, samples, caption=caption), SKIP) == Fault("a.wav", kind, line)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    found = find_fault(Example("b.wav", "x", tmp_path / "b.wav"), SKIP)
    assert found == Fault("b.wav", "unreadable", "is not there; expected a sound file")


@pytest.mark.parametrize("content", [b"", b"not a sound", b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_sound_is_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    found = find_fault(Example("a.wav", "x", tmp_path / "a.wav"), SKIP)
    assert found is not None
    assert found.kind == "unreadable"
    assert "\n" not in found.line


def test_a_flac_file_that_breaks_off_is_unreadable(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(4.0), RATE)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    found = find_fault(Example("a.flac", "x", tmp_path / "a.flac"), SKIP)
    assert found is not None
    assert (found.kind, found.line[:10]) == ("unreadable", "breaks off")


def test_another_rate_is_a_fault_only_when_a_rate_is_expected(tmp_path: Path) -> None:
    clip = example(tmp_path, tone(rate=44_100), 44_100)
    assert find_fault(clip, SKIP) is None
    found = find_fault(clip, Policy(expect_rate=16_000))
    assert found == Fault("a.wav", "wrong rate", "has 44100 Hz; expected 16000")


def bad_folder(folder: Path) -> Path:
    """Write two good clips and three bad ones."""
    write_clips(folder)
    (folder / "2.wav").write_text("no sound")
    soundfile.write(folder / "3.wav", np.zeros(8000), RATE)
    lines = [{"audio": f"{i}.wav", "caption": "" if i == 4 else "tone"} for i in range(5)]
    return write_manifest(folder, lines)


def test_bad_clips_are_left_out_told_and_counted(tmp_path: Path) -> None:
    told: list[str] = []
    data = read_folder(bad_folder(tmp_path / "data"), DataOptions())
    found = check(data, tmp_path / "out", SKIP, told.append)
    assert [one.name for one in found.examples] == ["0.wav", "1.wav"]
    assert [line.split()[1] for line in told] == ["2.wav", "3.wav", "4.wav"]
    assert found.summary() == "skipped 3 of 5 clips: 1 empty caption, 1 silent, 1 unreadable"


def test_a_refused_clip_ends_it(tmp_path: Path) -> None:
    data = read_folder(bad_folder(tmp_path / "data"), DataOptions())
    with pytest.raises(DataError, match=r"^2\.wav cannot be read \(.*\); expected a sound file, or --on-bad skip$"):
        check(data, tmp_path / "out", Policy(on_bad="refuse"), print)


def test_good_clips_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bad_folder(tmp_path / "data")
    data, looked = read_folder(folder, DataOptions()), []
    check(data, tmp_path / "out", SKIP, lambda _: None)
    original = bad_data.find_fault
    monkeypatch.setattr(bad_data, "find_fault", lambda one, policy: looked.append(one.name) or original(one, policy))
    found = check(data, tmp_path / "out", SKIP, lambda _: None)
    assert looked == ["2.wav", "3.wav", "4.wav"]
    assert [one.name for one in found.examples] == ["0.wav", "1.wav"]


def test_a_mended_clip_is_taken(tmp_path: Path) -> None:
    folder = bad_folder(tmp_path / "data")
    data = read_folder(folder, DataOptions())
    check(data, tmp_path / "out", SKIP, lambda _: None)
    soundfile.write(folder / "3.wav", tone(), RATE)
    assert len(check(data, tmp_path / "out", SKIP, lambda _: None).examples) == 3


@pytest.mark.parametrize("left", ["", "{", '{"key": 1}', "[]"])
def test_a_damaged_record_is_made_again(tmp_path: Path, left: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checked.json").write_text(left)
    data = read_folder(bad_folder(tmp_path / "data"), DataOptions())
    assert len(check(data, tmp_path / "out", SKIP, lambda _: None).examples) == 2
    assert len(json.loads((tmp_path / "out" / "checked.json").read_text())["data"]) == 3


def test_a_record_of_something_else_than_faults_is_made_again(tmp_path: Path) -> None:
    data = read_folder(bad_folder(tmp_path / "data"), DataOptions())
    check(data, tmp_path / "out", SKIP, lambda _: None)
    record = json.loads((tmp_path / "out" / "checked.json").read_text())
    (tmp_path / "out" / "checked.json").write_text(json.dumps(record | {"data": ["0.wav"]}))
    assert len(check(data, tmp_path / "out", SKIP, lambda _: None).faults) == 3


def test_nothing_left_is_one_line(tmp_path: Path) -> None:
    write_manifest(tmp_path, [{"audio": "none.wav", "caption": "x"}])
    with pytest.raises(DataError, match="no clip of 1 can be trained on; skipped 1 of 1 clips: 1 unreadable"):
        check(read_folder(tmp_path, DataOptions()), tmp_path / "out", SKIP, lambda _: None)


def test_no_faults_are_no_list() -> None:
    assert count_faults([], 7) == "skipped 0 of 7 clips"


def test_what_a_stream_skips_is_counted_once(tmp_path: Path) -> None:
    assert read_skipped(tmp_path) == []
    for name in ("a", "b", "a"):
        note_skipped(tmp_path, Fault(name, "silent", "is digital silence"))
    assert [fault.name for fault in read_skipped(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "told", "what"),
    [
        ("x" * 300 + ".wav", "x" * 300 + ".wav", "is not there"),
        ("nul\0.wav", r"'nul\x00.wav'", "is not there"),
        (".", ".", "is a folder"),
    ],
)
def test_a_name_that_no_file_can_have_is_unreadable(tmp_path: Path, name: str, told: str, what: str) -> None:
    data = read_folder(write_manifest(tmp_path, [{"audio": name, "caption": "x"}]), DataOptions())
    found = find_fault(data.examples[0], SKIP)
    assert found == Fault(told, "unreadable", f"{what}; expected a sound file")


def test_an_empty_caption_is_named_with_its_line(tmp_path: Path) -> None:
    write_manifest(tmp_path, [{"audio": "a.wav", "caption": "x"}, {"audio": "a.wav", "caption": " "}])
    found = find_fault(read_folder(tmp_path, DataOptions()).examples[1], SKIP)
    assert found == Fault("a.wav", "empty caption", "has an empty caption (manifest line 2); expected words")


@pytest.mark.parametrize("seconds", [0.001, 1.0])
def test_a_wav_file_that_breaks_off_is_unreadable(tmp_path: Path, seconds: float) -> None:
    clip = example(tmp_path, tone(2.0), subtype="PCM_16")
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) - 2 * round(RATE * (2.0 - seconds))])
    line = f"breaks off, {2 * round(RATE * (2.0 - seconds))} bytes are missing; expected a whole file"
    assert find_fault(clip, SKIP) == Fault("a.wav", "unreadable", line)
