"""The files that hold a checkpoint's weights: which they are, how large, and whether they are whole.

Safetensors come first, in full precision; then the half-precision variant, as some mirrors carry nothing else; then,
where they are allowed, pickles. One file or shards with an index: both are found.
"""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import torch
from safetensors import safe_open
from torch import Tensor

from clavilux.export.checkpoints.locate import UnreachableError, Where, converting, find, list_files, names_file, search
from clavilux.export.options import Progress
from clavilux.runtime.errors import ExportError

TRANSFORMERS_FILES = ("model.safetensors", "pytorch_model.bin")
DIFFUSERS_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
FILES = {
    "encoder": TRANSFORMERS_FILES,
    "text encoder": TRANSFORMERS_FILES,
    "unet": DIFFUSERS_FILES,
    "vae": DIFFUSERS_FILES,
}
"""Names of the safe and of the pickled weights, by the role of the checkpoint."""

VARIANTS = ("", "fp16", "bf16")  # taken in this order, after one that was asked for
HALF_PRECISION = ("fp16", "bf16")
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}  # bytes of a weight, by the type that a header tells
LENGTH_BYTES = 8  # of the number in front of a safetensors header
MAX_HEADER = 100_000_000  # bytes, safetensors' own limit
PICKLES = (b"PK\x03\x04", b"\x80")  # what torch.save writes now, and wrote before
LFS_POINTER = b"version "  # of the text that stands for a file in a clone made without git-lfs
PICKLED = "expected safetensors; with --allow-pickle pickles are read too"


def silent(_: str) -> None:
    """Report to nobody."""


class Loading(TypedDict, total=False):
    """How weights are read; what is left out is not asked for."""

    allow_pickle: bool
    variant: str  # taken where a checkpoint has it, before full precision
    report: Progress  # hears which weights are taken where that is not plain


@dataclass(frozen=True)
class Weights:
    """The weights of one checkpoint, on this machine."""

    paths: tuple[Path, ...]  # one file, or all shards; beside their index
    variant: str  # "" for full precision
    pickled: bool


@dataclass(frozen=True)
class Header:
    """Header of a safetensors file: its own account of itself."""

    shapes: Mapping[str, tuple[int, ...]]  # by the tensor's name
    types: Mapping[str, str]  # "F32", "F16", ...
    metadata: Mapping[str, str]


def find_weights(where: Where, role: str, **loading: Unpack[Loading]) -> Weights:
    """Return the weights of the checkpoint at `where`, whose `role` is one of FILES, fetched if need be, and whole.

    Raises ExportError when there are none, or only pickles that are not allowed, and when a file is cut off or is
    something else. `report` hears of a variant that nobody asked for.
    """
    safe, pickled = FILES[role]
    allow_pickle, variant = loading.get("allow_pickle", False), loading.get("variant", "")
    try:
        weights = _first_weights(where, role, (safe, pickled) if allow_pickle else (safe,), variant)
    except UnreachableError:
        if allow_pickle or not _holds(where, role, pickled):
            raise
        weights = None
    if weights is None:
        found = f"has only pickled weights ({pickled})" if _holds(where, role, pickled) else f"has no {safe}"
        raise ExportError(f"{role} {where} {found}; {'expected weights' if allow_pickle else PICKLED}")
    for path in () if weights.pickled else weights.paths:
        read_header(path, f"{role} {where}")
    if weights.variant != variant:
        missing = f"variant {variant}" if variant else "weights in full precision"
        loading.get("report", silent)(f"{role} {where} has no {missing}; {weights.paths[0].name} is taken")
    return weights


def _first_weights(where: Where, role: str, names: tuple[str, ...], first: str) -> Weights | None:
    candidates = {file: (name, variant) for name, variant, file in _candidates(names, first)}
    path = next(search(where, role, candidates), None)
    if path is None:
        return None
    name, variant = candidates[path.name]
    return Weights(_shards(path, where, role), variant, pickled=not name.endswith(".safetensors"))


def _candidates(names: tuple[str, ...], first: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, variant, and the file that holds it or the index of its shards; the variant `first` comes first."""
    for name in names:
        for variant in dict.fromkeys((first, *VARIANTS)):
            for file in (name, f"{name}.index.json"):
                stem, _, suffix = file.rpartition(".")
                yield name, variant, f"{stem}.{variant}.{suffix}" if variant else file


def _shards(index: Path, where: Where, role: str) -> tuple[Path, ...]:
    """Return the shards that an index lists, or the file itself when it is no index."""
    if index.suffix != ".json":
        return (index,)
    with converting(role, where):
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        shards = {name: find(where, role, name) for name in names}
    if missing := [name for name, path in shards.items() if path is None]:
        raise ExportError(f"{role} {where} lacks {missing[0]}, one of {len(names)} shards; expected a whole checkpoint")
    return tuple(path for path in shards.values() if path is not None)


def _holds(where: Where, role: str, name: str) -> bool:
    """Return whether a folder or the hub's cache has `name`, without asking the network."""
    try:
        return any(find(where, role, file, cached_only=True) is not None for _, _, file in _candidates((name,)))
    except UnreachableError:
        return False


@dataclass(frozen=True)
class StoredWeights:
    """The weights that would be taken of a checkpoint, without fetching or reading them."""

    file: str  # their name, or that of their index
    bytes: int  # of all shards
    of: int  # how many there are that would do
    parameters: int  # by the type that their name or their header tells
    variant: str  # "" for full precision


def stored_weights(where: Where, role: str, **loading: Unpack[Loading]) -> StoredWeights | None:
    """Return which weights `find_weights` would take of the checkpoint at `where`; None where there are none.

    Raises ExportError when what is there cannot be seen.
    """
    path = Path(where)
    if names_file(where):
        size = path.stat().st_size if path.is_file() else 0
        return StoredWeights(path.name, size, 1, size // WIDTHS["F32"], "")
    safe, pickled = FILES[role]
    names = (safe, pickled) if loading.get("allow_pickle") else (safe,)
    there = list_files(where, role)
    found = [one for one in _candidates(names, loading.get("variant", "")) if one[2] in there]
    if not found:
        return None
    name, variant, file = found[0]
    shards = f"{name.rpartition('.')[0]}{variant and f'.{variant}'}-"
    whole = [one for one in there if one.startswith(shards)] if file.endswith(".json") else [file]
    size = sum(there[one] for one in whole)
    width = WIDTHS["F16"] if variant in HALF_PRECISION else _width(where, file)
    return StoredWeights(file, size, len(found), size // width, variant)


def seen_weights(where: Where, role: str, **loading: Unpack[Loading]) -> StoredWeights:
    """Return what `stored_weights` does; raise ExportError where there are none."""
    found = stored_weights(where, role, **loading)
    if found is None:
        raise ExportError(f"{role} {where} has no {FILES[role][0]}; {PICKLED}")
    return found


def _width(where: Where, file: str) -> int:
    """Return how many bytes a weight has in a file that is here; 4 in another."""
    path = Path(where, file)
    if path.suffix != ".safetensors" or not path.is_file():
        return WIDTHS["F32"]
    kinds = Counter(read_header(path, str(where)).types.values())
    return WIDTHS.get(kinds.most_common(1)[0][0] if kinds else "F32", WIDTHS["F32"])


def weights_bytes(where: Where, role: str, variant: str = "") -> int:
    """Return how many bytes the weights take as they are stored; 0 where nobody knows, and of what has none."""
    if role.replace("_", " ") not in FILES and not Path(where).is_file():
        return 0
    try:
        found = stored_weights(where, role.replace("_", " "), allow_pickle=True, variant=variant)
    except ExportError:
        return 0
    return found.bytes if found else 0


def is_pickle(path: Path) -> bool:
    """Return whether the file at `path` begins as torch.save's do, and not with the length of a header."""
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES)
    return first.startswith(PICKLES) and int.from_bytes(first, "little") > MAX_HEADER


def read_header(path: Path, what: str) -> Header:
    """Return what the safetensors file at `path` holds, without reading a weight.

    Raises ExportError, naming `what`, for a pickle, a git-lfs pointer, a file that was cut off, or anything else.
    """
    size = path.stat().st_size
    if is_pickle(path):
        raise ExportError(f"{what}: {path.name} is a pickle; {PICKLED}")
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES)
        if first == LFS_POINTER:
            raise ExportError(f"{what}: {path.name} is a git-lfs pointer; run `git lfs pull` where it was cloned")
        length = int.from_bytes(first, "little")
        text = file.read(length) if length <= MAX_HEADER else b""
    try:
        entries = json.loads(text)
        metadata = entries.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0) + LENGTH_BYTES + length
        header = Header(
            shapes={name: tuple(entry["shape"]) for name, entry in entries.items()},
            types={name: entry["dtype"] for name, entry in entries.items()},
            metadata=metadata,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ExportError(f"{what}: {path.name} is not a safetensors file, or its header is cut off") from error
    if end > size:
        raise ExportError(f"{what}: {path.name} is cut off; found {size} bytes, expected {end}")
    return header


def read_tensors(path: Path, what: str, prefixes: tuple[str, ...] = ("",)) -> dict[str, Tensor]:
    """Return those weights of a safetensors file whose names begin with one of `prefixes`."""
    with converting(what), safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefixes)}  # noqa: SIM118


def read_pickle(path: Path, what: str) -> dict[str, Tensor]:
    """Return the tensors of a pickle; torch's weights_only unpickler refuses everything else in it."""
    with converting(what):
        mappable = zipfile.is_zipfile(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mappable)
        while isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}
