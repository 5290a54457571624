"""Sounds with captions: a folder with a manifest, or a set of the `datasets` library, whole or as a stream.

    folder/manifest.jsonl     a line per clip: {"audio": "a/dog.flac", "caption": "a dog barks", "split": "train"}
    folder/manifest.csv       the same as columns; `split` (train or test) may be left out, other columns are ignored

Audio paths are relative to the manifest. A caption may be a list of labels. `datasets` is imported only when a set of
its kind is asked for; audio comes out of it undecoded, so that one decoder, libsndfile, reads everything.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.excerpts import EncodedSound

MANIFESTS = ("manifest.jsonl", "manifest.csv")
SPLITS = ("", "train", "test")
SHUFFLED = 1000  # rows of a stream that are shuffled among each other
EVERYTHING = "{}"  # the template that leaves a caption as it is
SAVED = ("state.json", "dataset_dict.json")  # what `Dataset.save_to_disk` writes


class DataError(ClaviluxError):
    """A data set is missing, damaged, or holds what was asked to be refused."""


@dataclass(frozen=True)
class DataOptions:
    """Where sounds and captions come from."""

    folder: Path | None = None  # with a manifest
    dataset: str | None = None  # of the `datasets` library: a name or a folder
    audio_column: str = "audio"
    caption_column: str = "caption"
    split: str = "train"  # of the dataset
    test_split: str | None = None  # of the dataset; None: a share of `split`
    streaming: bool = False
    labels: bool = False  # captions are lists of labels, written with commas and underscores


@dataclass(frozen=True)
class RowAudio:
    """Audio in a row of a `datasets` set, read when it is needed."""

    rows: Any  # datasets.Dataset
    index: int
    column: str

    def read(self) -> EncodedSound:
        """Return the file's bytes, or its path."""
        return raw_sound(self.rows[self.index][self.column], f"row {self.index}")


@dataclass(frozen=True)
class Example:
    """One clip and what it means."""

    name: str  # what messages call it
    caption: str  # "" when there is none
    sound: Path | RowAudio | bytes
    split: str = ""  # one of SPLITS
    line: int = field(default=0, compare=False)  # of the manifest; 0 for what has none

    def read(self) -> EncodedSound:
        """Return the sound as `excerpts` takes it. Raises DataError when a row holds none."""
        return self.sound.read() if isinstance(self.sound, RowAudio) else self.sound


@dataclass(frozen=True)
class Captioned:
    """A data set of known length."""

    examples: Sequence[Example]
    fingerprint: str  # changes when the data do


def caption_of(value: object, *, labels: bool = False) -> str:
    """Return one line of text: a string with its blanks put right, or a list of labels joined and cleaned.

    Cleaning is the reference's for FSD50K: `_ , ( )` become blanks. None, and whatever is no text, become "", halves of
    characters "?".
    """
    if isinstance(value, list | tuple):
        value, labels = " ".join(str(one) for one in value), True
    if not isinstance(value, str):
        return ""
    value = value.encode(errors="replace").decode()  # half of a surrogate pair, left by cutting text, is no text
    return " ".join((re.sub(r"[_,()]", " ", value) if labels else value).split())


def filled(templates: Sequence[str], captions: Iterable[str]) -> Iterator[str]:
    """Yield every caption in every template."""
    return (template.replace("{}", caption) for caption in captions for template in templates)


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Return templates, or the one that changes nothing. Raises DataError for one without a place for the caption."""
    for template in templates:
        if template.count("{}") != 1:
            raise DataError(f"the caption template is {template!r}; expected one {{}} where the caption goes")
    return tuple(templates) or (EVERYTHING,)


def open_captioned(options: DataOptions) -> Captioned:
    """Open a folder or a whole `datasets` set. Raises DataError, naming what is missing."""
    check_place(options)
    if options.folder is not None:
        return read_folder(options.folder, options)
    return read_dataset(options)


def check_place(options: DataOptions) -> None:
    """Raise DataError unless the data lie in one place, from which they can be read as the options say."""
    if (options.folder is None) == (options.dataset is None):
        raise DataError("give a folder with a manifest (--data) or a --dataset, one of the two")
    if options.streaming and options.folder is not None:
        raise DataError("--streaming reads a --dataset; a folder is read as it is, without --streaming")


def read_folder(folder: Path, options: DataOptions) -> Captioned:
    """Read the manifest of a folder."""
    manifest = next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)
    if manifest is None:
        raise DataError(f"{folder} has no {MANIFESTS[0]} or {MANIFESTS[1]}; expected a line per clip: audio, caption")
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise DataError(f"{manifest} is not text in UTF-8; expected a line per clip: audio, caption") from error
    rows = manifest.suffix == ".csv"
    found = list(_csv_lines(manifest, text, options.audio_column) if rows else _json_lines(manifest, text))
    if not found:
        raise DataError(f"{manifest} holds no line; expected one per clip: audio, caption")
    examples = [_manifest_example(manifest, number, line, options) for number, line in found]
    columns = {str(name): None for _, line in found for name in line}
    if options.caption_column not in columns:
        raise DataError(f"{manifest} has no column {options.caption_column!r}; found {', '.join(columns)}")
    digest = hashlib.sha256(text.encode())
    for one in examples:
        digest.update(_state(one.sound))
    return Captioned(examples, digest.hexdigest()[:16])


def _json_lines(manifest: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: captions may hold U+2028
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError as error:
                raise DataError(f"{manifest} line {number} is not JSON ({error}); expected an object") from error
            if not isinstance(found, dict):
                raise DataError(f"{manifest} line {number} is {line.strip()[:40]!r}; expected a JSON object")
            yield number, found


def _csv_lines(manifest: Path, text: str, audio: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        if audio not in (names := reader.fieldnames or [audio]):
            told = ", ".join(map(repr, names))
            raise DataError(f"{manifest} has no column {audio!r}; found {told}; expected names with commas between")
        for found in reader:
            if rest := found.pop(None, None):
                cells = f"{len(names) + len(rest)} cells, the first line {len(names)}"
                raise DataError(f"{manifest} line {reader.line_num} has {cells}; put a caption with commas in quotes")
            yield reader.line_num, found
    except csv.Error as error:
        raise DataError(
            f"{manifest} line {reader.line_num + 1} is not CSV ({error}); expected columns, and quotes that close"
        ) from error


def _manifest_example(manifest: Path, number: int, line: dict[str, Any], options: DataOptions) -> Example:
    audio, split = line.get(options.audio_column), line.get("split") or ""
    if not isinstance(audio, str) or not audio:
        raise DataError(
            f"{manifest} line {number} has no {options.audio_column}; expected a path relative to the manifest"
        )
    if split not in SPLITS:
        raise DataError(f"{manifest} line {number} has the split {split!r}; expected train or test")
    caption = caption_of(line.get(options.caption_column), labels=options.labels)
    return Example(audio if audio.isprintable() else repr(audio), caption, manifest.parent / audio, split, number)


def _state(sound: object) -> bytes:
    """Return what a file's size is: the same on other machines and for copies."""
    return str(sound.stat().st_size if isinstance(sound, Path) and is_file(sound) else -1).encode() + b" "


def is_file(path: Path) -> bool:
    """Return whether a file is there and may be looked at: false for names that no file can have, too."""
    return _holds(path.is_file)


def is_folder(path: Path) -> bool:
    """Return whether a folder is there and may be looked at."""
    return _holds(path.is_dir)


def _holds(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except OSError:
        return False


def library() -> Any:
    """Return the module `datasets`. Raises DataError when it is not installed."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(f"{error.name} is not installed; run: pip install 'clavilux[datasets]'") from error
    return datasets


def load_rows(options: DataOptions, split: str) -> Any:
    """Return a split of a `datasets` set, its audio undecoded: a Dataset, or an IterableDataset when streaming.

    Raises DataError when it cannot be loaded or lacks a column.
    """
    datasets, where = library(), str(options.dataset)
    try:
        if any((Path(where) / file).is_file() for file in SAVED):
            saved = datasets.load_from_disk(where)
            rows = saved[split] if isinstance(saved, dict) else saved
            rows = rows.to_iterable_dataset() if options.streaming else rows
        else:
            rows = datasets.load_dataset(where, split=split, streaming=options.streaming)
    except (OSError, ValueError, KeyError, ImportError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"dataset {where}, split {split}: cannot be loaded ({_first_line(error)})") from error
    if rows.column_names is None:  # a stream of files that say nothing of their columns until one is read
        rows = rows._resolve_features()
    columns = rows.column_names or []
    for column in (options.audio_column, options.caption_column):
        if column not in columns:
            raise DataError(f"dataset {where} has no column {column!r}; found {', '.join(columns)}")
    return rows.cast_column(options.audio_column, datasets.Audio(decode=False))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def read_dataset(options: DataOptions) -> Captioned:
    """Open whole splits of a `datasets` set."""
    examples: list[Example] = []
    prints: list[str] = []
    named = [(options.split, "train"), (options.test_split, "test")] if options.test_split else [(options.split, "")]
    for split, part in named:
        rows = load_rows(options, str(split))
        captions = rows.select_columns([options.caption_column])
        for index, found in enumerate(captions):
            caption = caption_of(found[options.caption_column], labels=options.labels)
            examples.append(Example(f"{split} row {index}", caption, RowAudio(rows, index, options.audio_column), part))
        prints.append(rows._fingerprint)
    return Captioned(examples, hashlib.sha256(" ".join(prints).encode()).hexdigest()[:16])


def stream_dataset(options: DataOptions, split: str, *, seed: int | None = None) -> Iterator[Example]:
    """Yield the rows of a streamed split, numbered as they come; a seed shuffles them in a window of SHUFFLED."""
    rows = load_rows(options, split)
    numbered = rows.map(_with_number, with_indices=True)
    for row in numbered.shuffle(seed=seed, buffer_size=SHUFFLED) if seed is not None else numbered:
        name = f"{split} row {row[NUMBER]}"
        caption = caption_of(row[options.caption_column], labels=options.labels)
        try:
            sound = raw_sound(row[options.audio_column], name)
        except DataError:
            sound = b""  # which is unreadable, and named as such
        yield Example(name, caption, sound)


NUMBER = "clavilux_row"


def _with_number(row: dict[str, Any], index: int) -> dict[str, Any]:
    return row | {NUMBER: index}


def raw_sound(value: object, name: str) -> EncodedSound:
    """Return what an undecoded audio column holds: bytes or a path. Raises DataError for anything else."""
    if isinstance(value, dict):
        if isinstance(value.get("bytes"), bytes) and value["bytes"]:
            return bytes(value["bytes"])
        value = value.get("path")
    if isinstance(value, str) and value:
        return Path(value)
    raise DataError(f"{name} holds {type(value).__name__}; expected encoded audio, or the path of a file")
