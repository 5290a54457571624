"""Compiled engines on disk: found again when nothing they depend on has changed, and built anew otherwise.

    places = [bundle / "engines", user_folder()]
    with engine_folder(key, places, build) as engine:
        load(engine.folder / "engine.onnx")

An engine is a folder with a record beside its files. It is built under a temporary name and renamed when it is whole,
so half an engine is never found, and two processes may build the same one at once. Nothing here knows a GPU.
"""

import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from clavilux.runtime.files import describe_file
from clavilux.runtime.providers.session import GraphFile, ShapeRange

log = logging.getLogger("clavilux.engines")

ENGINES = "engines"  # folder in a bundle
RECORD = "record.json"
PART = ".part"  # ends the name of a folder that is still being built
ABANDONED = 24 * 3600.0  # seconds after which such a folder is a crash's remains
DIGEST = 12  # hexadecimal digits of the key in a folder's name
LARGEST_RECORD = 2**20  # bytes
CHANGES = {
    "sha256": "was built from another model",
    "precision": "was built in {}, the graph is in {}",
    "shapes": "was built for other sizes",
    "architecture": "was built for {}, here is {}",
    "version": "was built by version {}, here is {}",
}


@dataclass(frozen=True)
class EngineKey:
    """What an engine was built from and for: when one of these differs, it does not fit."""

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
class Engine:
    """A built engine. When it is not `kept`, its folder goes away once it has been loaded."""

    folder: Path
    kept: bool


@contextmanager
def engine_folder(
    key: EngineKey, places: Sequence[Path], build: Callable[[Path], None], *, slow: bool = True
) -> Iterator[Engine]:
    """Give the engine for `key`: the first whole one in `places`, or one that `build` writes into an empty folder.

    It is kept in the first of the `places` that can be written; the first one is the bundle's own. What `build` raises
    passes through, and nothing of its work stays. When building is `slow` it is announced.
    """
    ready = _find(key, places, logging.WARNING if slow else logging.INFO)
    place = next(filter(_writable, places), None) if key.sha256 and not ready else None
    if place:
        ready = _build_in(place, key, build, own=place == places[0])
    if ready:
        yield Engine(ready, kept=True)
        return
    where = f"{' and '.join(map(str, places))} cannot be written" if key.sha256 else "it is not part of a bundle"
    log.warning("the engine for %s is not kept, because %s: it is built at every start", key.graph, where)
    with tempfile.TemporaryDirectory(prefix="clavilux-engine-") as folder:
        build(Path(folder))
        yield Engine(Path(folder), kept=False)


def is_kept(key: EngineKey, places: Sequence[Path]) -> bool:
    """Return whether a whole engine for `key` lies in one of the `places`."""
    return bool(key.sha256) and any(not _trouble(place / key.folder, key) for place in places)


def engine_places(graph: GraphFile) -> tuple[Path, ...]:
    """Return where the graph's engines may lie: its bundle, or the user's cache when the bundle cannot be written."""
    return graph.path.parent / ENGINES, user_folder(os.environ, sys.platform)


def user_folder(environment: Mapping[str, str], platform: str) -> Path:
    """Return the folder for engines of bundles that cannot be written, by the rules of the system `platform`."""
    home = Path.home()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "clavilux" / ENGINES


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
    """Build under a temporary name in `place`, which is the bundle's `own` or shared; return the engine's folder."""
    _sweep(place)
    part = place / f"{key.folder}.{uuid4().hex}{PART}"
    part.mkdir()
    try:
        build(part)
        _write_record(part, key)
        final = _publish(part, place / key.folder, key)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _remove_superseded(place, key, {"sha256", "version"} if own else {"version"})
    return final


def _trouble(folder: Path, key: EngineKey) -> str:
    """Return what is wrong with the engine in `folder`, or ""."""
    record = _read_record(folder)
    if record is None:
        return f"no {RECORD}"
    if record["key"] != asdict(key):
        return "its record is another engine's"
    for name, entry in record["files"].items():
        path = folder / Path(name).name
        if not path.is_file():
            return f"{name} is missing"
        if asdict(describe_file(path)) != entry:
            return f"{name} differs from its record"
    return ""


def _nearest_difference(key: EngineKey, places: Sequence[Path]) -> str:
    """Return what changed since the most similar engine of this graph was built; "" when there is none."""
    wanted = asdict(key)
    found = [_differences(record["key"], wanted) for record in _records(places)]
    changes = min((change for change in found if not {"graph", "provider"} & set(change)), key=len, default={})
    return " and ".join(CHANGES[name].format(*values) for name, values in changes.items())


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (old[name], new[name]) for name in new if old[name] != new[name]}


def _records(places: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in sorted(path for place in places for path in place.glob(f"*/{RECORD}")):
        record = _read_record(path.parent)
        if record and not path.parent.name.endswith(PART):
            yield record


def _read_record(folder: Path) -> dict[str, Any] | None:
    """Return a record of the right form, or None: what was not written here is no engine."""
    path = folder / RECORD
    try:
        if path.stat().st_size > LARGEST_RECORD:
            return None
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        sound = {field.name for field in fields(EngineKey)} == set(record["key"]) and bool(record["files"].items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return record if sound else None


def _write_record(folder: Path, key: EngineKey) -> None:
    files = {path.name: asdict(describe_file(path)) for path in sorted(folder.iterdir()) if path.is_file()}
    text = json.dumps({"key": asdict(key), "files": files}, indent=2)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def _publish(part: Path, final: Path, key: EngineKey) -> Path:
    """Give the finished folder its name. When another process was first, its engine is as good as ours."""
    try:
        return part.rename(final)
    except OSError:
        if not _trouble(final, key):
            return final
    damaged = final.with_name(f"{final.name}.{uuid4().hex}{PART}")
    final.rename(damaged)
    shutil.rmtree(damaged, ignore_errors=True)
    return part.rename(final)


def _remove_superseded(place: Path, key: EngineKey, parts: set[str]) -> None:
    """Remove engines that differ from `key` in nothing but these `parts` of it: they are of no more use."""
    for path in place.glob(f"*/{RECORD}"):
        record = _read_record(path.parent)
        changes = _differences(record["key"], asdict(key)) if record else {}
        if changes and set(changes) <= parts:
            shutil.rmtree(path.parent, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what crashed builds left behind."""
    for path in place.glob(f"*{PART}"):
        with suppress(FileNotFoundError):  # another process may sweep too
            if time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def _writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False
