"""Compiled engines on disk: found again when nothing they depend on has changed, and built anew otherwise.

    places = [bundle / "engines", user_folder()]
    with engine_folder(key, places, build) as engine:
        load(engine.folder / "engine.onnx")

An engine is a folder that is written whole, with a record beside its files: half an engine is never found, and two
processes may build the same one at once. Nothing here knows a GPU.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

import msgspec

from clavilux.runtime.files import Record, describe_files, remove_abandoned, user_cache, written_whole
from clavilux.runtime.providers.session import GraphFile, ShapeRange

log = logging.getLogger("clavilux.engines")

ENGINES = "engines"  # folder in a bundle
RECORD = "record.json"
DIGEST = 12  # hexadecimal digits of the key in a folder's name
CHANGES = {
    "sha256": "was built from another model",
    "precision": "was built in {}, the graph is in {}",
    "shapes": "was built for other sizes",
    "architecture": "was built for {}, here is {}",
    "version": "was built by version {}, here is {}",
}


@dataclass(frozen=True)
class EngineKey:
    """Key of an engine, all that it was built from and for: when one of these differs, it does not fit."""

    graph: str  # name of the graph's file
    provider: str  # what `--device` calls it
    sha256: str  # of the graph with its weights; "": unknown, then the engine is not kept
    precision: str
    shapes: str  # of the inputs with open axes, as `describe_shapes` gives them
    architecture: str  # of the card, for example "sm89", or of the processor
    version: str  # of what built it

    @property
    def folder(self) -> str:
        """Name of the engine's folder."""
        digest = sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:DIGEST]
        return f"{self.graph.removesuffix('.onnx')}-{self.provider}-{self.architecture}-{digest}"


@dataclass(frozen=True)
class EngineFile:
    """A built engine. When it is not `kept`, its folder goes away once it has been loaded."""

    folder: Path
    kept: bool


@contextmanager
def engine_folder(
    key: EngineKey, places: Sequence[Path], build: Callable[[Path], None], *, slow: bool = True
) -> Iterator[EngineFile]:
    """Give the engine for `key`: the first whole one in `places`, or one that `build` writes into an empty folder.

    It is kept in the first of the `places` that can be written; the first one is the bundle's own. What `build` raises
    passes through, an OSError as ClaviluxError, and nothing of its work stays. When building is `slow` it is announced.
    """
    ready = _find(key, places, logging.WARNING if slow else logging.INFO)
    place = next(filter(_writable, places), None) if key.sha256 and not ready else None
    if place:
        ready = _build_in(place, key, build, own=place == places[0])
    if ready:
        yield EngineFile(ready, kept=True)
        return
    where = f"{' and '.join(map(str, places))} cannot be written" if key.sha256 else "it is not part of a bundle"
    log.warning("the engine for %s is not kept, because %s: it is built at every start", key.graph, where)
    with tempfile.TemporaryDirectory(prefix="clavilux-engine-") as folder:
        build(Path(folder))
        yield EngineFile(Path(folder), kept=False)


def is_kept(key: EngineKey, places: Sequence[Path]) -> bool:
    """Return whether a whole engine for `key` lies in one of the `places`."""
    return bool(key.sha256) and any(not _trouble(place / key.folder, key) for place in places)


def engine_places(graph: GraphFile) -> tuple[Path, ...]:
    """Return where the graph's engines may lie: its bundle, or the user's cache when the bundle cannot be written."""
    return graph.path.parent / ENGINES, user_folder()


def user_folder() -> Path:
    """Return the folder for engines of bundles that cannot be written."""
    return user_cache(ENGINES)


def describe_shapes(shapes: Mapping[str, ShapeRange]) -> str:
    """Return the ranges in a line, for example "features=1x98x80..1x498x80..1x498x80"; "" when all axes are closed."""
    parts = [
        f"{name}={'..'.join('x'.join(map(str, shape)) for shape in (span.smallest, span.usual, span.largest))}"
        for name, span in sorted(shapes.items())
    ]
    return ",".join(parts)


def _find(key: EngineKey, places: Sequence[Path], level: int) -> Path | None:
    """Return a whole engine; or None, and say at this log level why one has to be built."""
    reason = _nearest_difference(key, places)
    for folder in (place / key.folder for place in places):
        trouble = _trouble(folder, key) if folder.is_dir() and key.sha256 else "missing"
        if not trouble:
            return folder
        if trouble != "missing":
            reason = f"in {folder} is damaged, {trouble}"
    if reason:
        log.log(level, "the engine for %s %s: building again, which can take minutes", key.graph, reason)
    else:
        log.log(level, "building the engine for %s on %s, which can take minutes", key.graph, key.architecture)
    return None


def _build_in(place: Path, key: EngineKey, build: Callable[[Path], None], *, own: bool) -> Path:
    """Build in `place`, which is the bundle's `own` or shared; return the engine's folder.

    When another process was first, its engine is as good as ours, and may be in use: it stays.
    """
    remove_abandoned(place)
    final = place / key.folder
    with written_whole(final, stays=lambda: not _trouble(final, key)) as part:
        part.mkdir()
        build(part)
        files = describe_files(part, (path for path in sorted(part.iterdir()) if path.is_file()))
        Record(asdict(key), files).write(part / RECORD)
    _remove_superseded(place, key, {"sha256", "version"} if own else {"version"})
    return final


def _trouble(folder: Path, key: EngineKey) -> str:
    """Return what is wrong with the engine in `folder`, or ""."""
    record = _read(folder)
    if record is None:
        return f"no {RECORD}"
    return record.damage(folder) if record.is_for(key) else "its record is another engine's"


def _nearest_difference(key: EngineKey, places: Sequence[Path]) -> str:
    """Return what changed since the most similar engine of this graph was built; "" when there is none."""
    found = [changes for place in places for _, changes in _engines(place, key)]
    changes = min((change for change in found if not {"graph", "provider"} & set(change)), key=len, default={})
    return " and ".join(CHANGES[name].format(*values) for name, values in changes.items())


def _engines(place: Path, key: EngineKey) -> Iterator[tuple[Path, dict[str, tuple[str, str]]]]:
    """Yield the engines in `place`, and what each has otherwise than `key`: the old and the new."""
    wanted = asdict(key)
    for folder in sorted(path.parent for path in place.glob(f"[!.]*/{RECORD}")):  # hidden ones are being built
        if record := _read(folder):
            old = record.key
            yield folder, {name: (old[name], new) for name, new in wanted.items() if old[name] != new}


def _read(folder: Path) -> Record | None:
    """Return a record of the right form, or None: what was not written here is no engine."""
    try:
        record = Record.read(folder / RECORD)
        msgspec.convert(record.key, EngineKey)
    except (OSError, ValueError):
        return None
    return record if record.files else None


def _remove_superseded(place: Path, key: EngineKey, parts: set[str]) -> None:
    """Remove engines that differ from `key` in nothing but these `parts` of it: they are of no more use."""
    for folder, changes in _engines(place, key):
        if changes and set(changes) <= parts:
            rmtree(folder, ignore_errors=True)


def _writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False
