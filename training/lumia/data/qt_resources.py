"""Qt's binary resource files (.rcc): which files one holds, and their content.

Format, all numbers big-endian: "qres", version, offsets of tree, data and names, and from version 3 on a word of flags.
A node of the tree is (name u32, flags u16, then for a folder: children u32, first child u32; for a file: country u16,
language u16, data u32) and, from version 2 on, a u64 time. A name is (length u16, hash u32, UTF-16). Data begin with
their length u32; zlib's add the unpacked length u32. Source: Qt's `src/corelib/io/qresource.cpp`. Files that are packed
with zstd are listed but cannot be read, as Python 3.11 has no zstd.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clavilux.runtime.errors import ClaviluxError

MAGIC = b"qres"
NEWEST = 3  # version of the format that Qt 5.13 and later write
ZLIB, FOLDER, ZSTD = 1, 2, 4  # flags of a node
NAME_HEAD = 6  # bytes of length and hash before a name's letters


@dataclass(frozen=True)
class Resource:
    """One file inside a resource file."""

    name: str  # its path, with slashes
    flags: int  # ZLIB, ZSTD or neither
    packed: bytes

    def content(self) -> bytes:
        """Return the unpacked bytes; ClaviluxError when they are damaged or packed with zstd."""
        if self.flags & ZSTD:
            raise ClaviluxError(f"{self.name} is packed with zstd, expected zlib or nothing; take Debian 12's package")
        if not self.flags & ZLIB:
            return self.packed
        try:
            unpacked = zlib.decompress(self.packed[4:])
        except zlib.error as error:
            raise ClaviluxError(f"{self.name} cannot be unpacked ({error}); fetch the package again") from None
        if self.packed[:4] != struct.pack(">I", len(unpacked)):
            raise ClaviluxError(
                f"{self.name} has {len(unpacked)} bytes, not as many as it says; fetch the package again"
            )
        return unpacked


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a resource file begin."""

    whole: bytes
    tree: int  # byte offsets
    data: int
    names: int
    node: int  # bytes of a node

    def name(self, index: int) -> str:
        (place,) = struct.unpack_from(">I", self.whole, self.tree + index * self.node)
        (length,) = struct.unpack_from(">H", self.whole, self.names + place)
        start = self.names + place + NAME_HEAD
        return self._cut(start, 2 * length).decode("utf-16-be")

    def flags(self, index: int) -> int:
        (flags,) = struct.unpack_from(">H", self.whole, self.tree + index * self.node + 4)
        return int(flags)

    def children(self, index: int) -> range:
        count, first = struct.unpack_from(">II", self.whole, self.tree + index * self.node + 6)
        if first <= index:  # a folder stands before its children, so a walk ends
            raise ValueError(f"node {index} has a child at {first}")
        return range(first, first + count)

    def packed(self, index: int) -> bytes:
        (place,) = struct.unpack_from(">I", self.whole, self.tree + index * self.node + 10)
        (length,) = struct.unpack_from(">I", self.whole, self.data + place)
        return self._cut(self.data + place + 4, length)

    def _cut(self, start: int, length: int) -> bytes:
        if start + length > len(self.whole):
            raise ValueError(f"{length} bytes at {start} do not fit into {len(self.whole)}")
        return self.whole[start : start + length]


def read_resources(path: Path) -> dict[str, Resource]:
    """Return the files inside a resource file by their paths.

    Raises ClaviluxError when it is no resource file, of a newer version, or damaged.
    """
    try:
        return {one.name: one for one in _walk(_layout(path), 0, ())}
    except (struct.error, ValueError) as error:
        raise ClaviluxError(f"{path} is damaged ({error}); fetch its package again") from None


def _layout(path: Path) -> _Layout:
    whole = path.read_bytes()
    if whole[:4] != MAGIC:
        raise ClaviluxError(f"{path} begins with {whole[:4]!r}, expected {MAGIC!r}; it is no Qt resource file")
    version, tree, data, names = struct.unpack_from(">4I", whole, 4)
    if not 1 <= version <= NEWEST:
        raise ClaviluxError(f"{path} has version {version}, expected 1 to {NEWEST}; take Debian 12's package")
    return _Layout(whole, tree, data, names, node=14 if version == 1 else 22)


def _walk(layout: _Layout, index: int, folders: tuple[str, ...]) -> Iterator[Resource]:
    here = (*folders, layout.name(index)) if index else ()  # the root's name is not meant
    flags = layout.flags(index)
    if flags & FOLDER:
        for child in layout.children(index):
            yield from _walk(layout, child, here)
    else:
        yield Resource("/".join(here), flags, layout.packed(index))
