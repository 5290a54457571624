"""Captions are cleaned as said; folders and `datasets` sets give the same clips; mistakes are one line."""

import io
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from clavilux.training.alignment.data.captioned import (
    DataError,
    DataOptions,
    Example,
    caption_of,
    check_templates,
    filled,
    open_captioned,
    raw_sound,
    read_folder,
    stream_dataset,
)
from tests.training.alignment.few_clips import RATE, tone, write_clips, write_manifest

PLAIN = DataOptions()


def encoded(seed: int = 0) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(0.2, seed=seed), RATE, format="WAV")
    return file.getvalue()


def saved_set(folder: Path, count: int = 6, captions: list[object] | None = None) -> Path:
    """Save a `datasets` set whose audio is bytes in its rows."""
    rows = {
        "sound": [{"bytes": encoded(i), "path": None} for i in range(count)],
        "text": captions or [f"tone {i}" for i in range(count)],
    }
    audio = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    text = datasets.Value("string") if captions is None else datasets.List(datasets.Value("string"))
    features = datasets.Features({"sound": audio, "text": text})
    made = datasets.Dataset.from_dict(rows, features=features).cast_column("sound", datasets.Audio(decode=False))
    made.save_to_disk(str(folder))
    return folder


def of_set(folder: Path, **changes: object) -> DataOptions:
    return DataOptions(dataset=str(folder), audio_column="sound", caption_column="text", **changes)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a dog  barks ", "a dog barks"),
        (["Bark", "Domestic_animals_(pets)"], "Bark Domestic animals pets"),
        (("one",), "one"),
        (None, ""),
        ("", ""),
        (7, ""),
        ([], ""),
        ("Electric_guitar,Guitar", "Electric_guitar,Guitar"),
    ],
)
def test_captions_become_one_line(value: object, expected: str) -> None:
    assert caption_of(value) == expected


def test_labels_in_a_string_are_cleaned_when_asked() -> None:
    assert caption_of("Electric_guitar,Music_(loud)", labels=True) == "Electric guitar Music loud"


@given(st.text())
def test_cleaned_captions_hold_none_of_the_marks(text: str) -> None:
    found = caption_of(text, labels=True)
    assert not set("_,()\n\t") & set(found)
    assert found == caption_of(found, labels=True)


def test_every_caption_is_put_into_every_template() -> None:
    assert list(filled(("{}", "a sound of {}"), ["rain", "a {} b"])) == [
        "rain",
        "a sound of rain",
        "a {} b",
        "a sound of a {} b",
    ]


@pytest.mark.parametrize("template", ["rain", "{} and {}", ""])
def test_a_template_without_its_place_is_named(template: str) -> None:
    with pytest.raises(DataError, match=r"the caption template is .*; expected one \{\}"):
        check_templates((template,))


def test_a_folder_gives_its_clips_in_order(tmp_path: Path) -> None:
    found = read_folder(write_clips(tmp_path / "data"), PLAIN).examples
    assert [one.caption for one in found[:5]] == ["tone 0", "tone 1", "tone 2", "tone 3", "tone 0"]
    assert [one.split for one in found[-4:]] == ["train", "test", "test", "test"]
    assert found[3].sound == tmp_path / "data" / "3.wav"


def test_columns_are_as_good_as_lines(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text('audio,caption,split,who\na.wav,"rain, wind",test,me\nb/c.ogg,dog,,\n')
    found = read_folder(tmp_path, PLAIN).examples
    assert found == [
        Example("a.wav", "rain, wind", tmp_path / "a.wav", "test"),
        Example("b/c.ogg", "dog", tmp_path / "b/c.ogg", ""),
    ]


def test_another_column_may_hold_the_caption(tmp_path: Path) -> None:
    write_manifest(tmp_path, [{"audio": "a.wav", "caption": "dog", "rich": "a dog that barks twice"}])
    assert read_folder(tmp_path, DataOptions(caption_column="rich")).examples[0].caption == "a dog that barks twice"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "line 1 is not JSON"),
        ("\n[1]\n", r"line 2 is '\[1\]'; expected a JSON object"),
        ('{"caption": "dog"}', "line 1 has no audio; expected a path relative to the manifest"),
        ('{"audio": "a.wav", "split": "dev"}', "line 1 has the split 'dev'; expected train or test"),
        ("\n", "manifest.jsonl holds no line; expected one per clip: audio, caption"),
    ],
)
def test_a_manifest_that_cannot_be_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_folder(tmp_path, PLAIN)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"manifest\.csv holds no line; expected one per clip"),
        ("audio,caption\n", r"manifest\.csv holds no line; expected one per clip"),
        ("audio;caption\na.wav;dog, cat\n", r"has no column 'audio'; found 'audio;caption'; expected names with comm"),
        ("file\ttext\n", r"has no column 'audio'; found 'file\\ttext'"),
        ("file,text\na.wav,dog\n", r"has no column 'audio'; found 'file', 'text'"),
        ("audio,caption\na.wav,dog\nb.wav,rain, wind, sea\n", r"line 3 has 4 cells, the first line 2; put a caption"),
        ('audio,caption\na.wav,dog\nb.wav,"rain\nc.wav,cat\n', r"line 3 is not CSV \(unexpected end of data\); expec"),
        ('audio,caption\na.wav,"dog" barks\n', r"line 2 is not CSV \(.*\); expected columns, and quotes that close"),
    ],
)
def test_columns_that_cannot_be_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_folder(tmp_path, PLAIN)


def test_another_column_may_hold_the_audio(tmp_path: Path) -> None:
    write_manifest(tmp_path, [{"file": "a.wav", "caption": "dog"}])
    assert read_folder(tmp_path, DataOptions(audio_column="file")).examples[0].sound == tmp_path / "a.wav"
    with pytest.raises(DataError, match="line 1 has no path; expected a path relative to the manifest"):
        read_folder(tmp_path, DataOptions(audio_column="path"))


def test_a_manifest_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(DataError, match="is not text in UTF-8"):
        read_folder(tmp_path, PLAIN)


def test_a_folder_without_a_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no manifest\.jsonl or manifest\.csv"):
        read_folder(tmp_path, PLAIN)


@pytest.mark.parametrize("options", [DataOptions(), DataOptions(folder=Path("a"), dataset="b")])
def test_there_is_one_place_for_data(options: DataOptions) -> None:
    with pytest.raises(DataError, match="one of the two"):
        open_captioned(options)


def test_the_fingerprint_follows_manifest_and_files(tmp_path: Path) -> None:
    folder = write_clips(tmp_path / "data")
    before = read_folder(folder, PLAIN).fingerprint
    assert read_folder(folder, PLAIN).fingerprint == before
    soundfile.write(folder / "0.wav", tone(0.9), RATE)
    assert read_folder(folder, PLAIN).fingerprint != before


def test_a_saved_set_gives_captions_and_encoded_sound(tmp_path: Path) -> None:
    found = open_captioned(of_set(saved_set(tmp_path / "set")))
    assert [one.caption for one in found.examples] == [f"tone {i}" for i in range(6)]
    assert found.examples[4].read() == encoded(4)
    assert found.examples[4].name == "train row 4"


def test_lists_of_labels_in_a_set_are_joined(tmp_path: Path) -> None:
    folder = saved_set(tmp_path / "set", 2, [["Dog", "Bark_(loud)"], []])
    assert [one.caption for one in open_captioned(of_set(folder)).examples] == ["Dog Bark loud", ""]


def test_a_named_test_split_is_the_test(tmp_path: Path) -> None:
    parts = {name: datasets.load_from_disk(str(saved_set(tmp_path / name, 2))) for name in ("train", "eval")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "both"))
    found = open_captioned(of_set(tmp_path / "both", test_split="eval")).examples
    assert [one.split for one in found] == ["train", "train", "test", "test"]


def test_a_folder_of_parquet_files_is_a_set_too(tmp_path: Path) -> None:
    rows = datasets.load_from_disk(str(saved_set(tmp_path / "set", 3)))
    (tmp_path / "files").mkdir()
    rows.to_parquet(str(tmp_path / "files" / "train.parquet"))
    found = open_captioned(of_set(tmp_path / "files")).examples
    assert [one.read() for one in found] == [encoded(i) for i in range(3)]


def test_a_stream_gives_every_row_once(tmp_path: Path) -> None:
    options = of_set(saved_set(tmp_path / "set"), streaming=True)
    found = list(stream_dataset(options, "train"))
    assert [one.name for one in found] == [f"train row {i}" for i in range(6)]
    assert found[2].read() == encoded(2)


def test_a_shuffled_stream_is_a_function_of_its_seed(tmp_path: Path) -> None:
    options = of_set(saved_set(tmp_path / "set", 20), streaming=True)
    first, again, other = ([one.name for one in stream_dataset(options, "train", seed=seed)] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)
    names = {one.name: one.caption for one in stream_dataset(options, "train", seed=1)}
    assert names["train row 7"] == "tone 7"


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'caption'; found sound, text"):
        open_captioned(DataOptions(dataset=str(saved_set(tmp_path / "set")), audio_column="sound"))


def test_a_set_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^dataset .*none, split train: cannot be loaded \(.*\)$"):
        open_captioned(of_set(tmp_path / "none"))


def test_without_the_library_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"^datasets is not installed; run: pip install 'clavilux\[datasets\]'$"):
        open_captioned(of_set(tmp_path))


def test_a_folder_needs_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert len(open_captioned(DataOptions(folder=write_clips(tmp_path / "data"))).examples) == 12


def test_a_column_may_hold_paths() -> None:
    assert raw_sound({"bytes": None, "path": "a.wav"}, "row 1") == Path("a.wav")
    assert raw_sound("a.wav", "row 1") == Path("a.wav")


@pytest.mark.parametrize("value", [None, {"bytes": None, "path": None}, np.zeros(3), ""])
def test_a_column_without_a_file_is_named(value: object) -> None:
    with pytest.raises(DataError, match=r"row 1 holds .*; expected encoded audio"):
        raw_sound(value, "row 1")


def test_half_a_character_in_a_caption_is_a_question_mark() -> None:
    assert caption_of("a dog \ud83d") == "a dog ?"


def test_a_line_separator_in_a_caption_ends_no_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"audio": "a.wav", "caption": "one\u2028two"}\r\n', encoding="utf-8")
    assert [one.caption for one in read_folder(tmp_path, PLAIN).examples] == ["one two"]


def test_a_manifest_without_the_column_is_one_line(tmp_path: Path) -> None:
    write_manifest(tmp_path, [{"audio": "a.wav", "caption": "x"}, {"audio": "b.wav", "title": "y"}])
    with pytest.raises(DataError, match=r"has no column 'text'; found audio, caption, title$"):
        read_folder(tmp_path, DataOptions(caption_column="text"))


def test_a_field_that_csv_cannot_take_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(f"audio,caption\na.wav,{'x' * 200_000}\n")
    with pytest.raises(DataError, match=r"manifest\.csv line 2 is not CSV \(field larger than field limit"):
        read_folder(tmp_path, PLAIN)
