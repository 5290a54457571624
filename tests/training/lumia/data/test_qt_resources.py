"""A resource file is read as Qt writes it, and a damaged one is refused in a line."""

import struct
import zlib
from pathlib import Path

import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data.qt_resources import FOLDER, ZLIB, ZSTD, read_resources


def packed(content: bytes) -> bytes:
    """Return what Qt stores of a file that zlib shortened."""
    return struct.pack(">I", len(content)) + zlib.compress(content)


def resource_file(path: Path, files: dict[str, tuple[int, bytes]], version: int = 3, folder: str = "sounds") -> Path:
    """Write a resource file with one folder that holds these files: their flags and stored bytes."""
    names, data, nodes = b"", b"", []
    places = []
    for name in (folder, *files):
        places.append(len(names))
        names += struct.pack(">HI", len(name.encode("utf-16-be")) // 2, 0) + name.encode("utf-16-be")
    nodes.append(struct.pack(">IHII", 0, FOLDER, 1, 1))
    nodes.append(struct.pack(">IHII", places[0], FOLDER, len(files), 2))
    for place, (flags, stored) in zip(places[1:], files.values(), strict=True):
        nodes.append(struct.pack(">IHHHI", place, flags, 0, 1, len(data)))
        data += struct.pack(">I", len(stored)) + stored
    tree = b"".join(node + (b"" if version == 1 else bytes(8)) for node in nodes)
    head = 24 if version >= 3 else 20
    offsets = struct.pack(">4I", version, head, head + len(tree), head + len(tree) + len(data))
    path.write_bytes(b"qres" + offsets + bytes(head - 20) + tree + data + names)
    return path


@pytest.mark.parametrize("version", [1, 2, 3])
def test_files_are_found_by_their_paths(tmp_path: Path, version: int) -> None:
    files = {"dog.ogg": (0, b"bark"), "chat\u00e9.ogg": (0, b"miaow")}
    read = read_resources(resource_file(tmp_path / "animals.rcc", files, version))
    assert {name: one.content() for name, one in read.items()} == {
        "sounds/dog.ogg": b"bark",
        "sounds/chat\u00e9.ogg": b"miaow",
    }


def test_a_file_packed_with_zlib_is_unpacked(tmp_path: Path) -> None:
    read = read_resources(resource_file(tmp_path / "a.rcc", {"x": (ZLIB, packed(b"moo" * 99))}))
    assert read["sounds/x"].content() == b"moo" * 99


def test_a_file_packed_with_zstd_is_listed_and_refused(tmp_path: Path) -> None:
    read = read_resources(resource_file(tmp_path / "a.rcc", {"x": (ZSTD, b"?")}))
    with pytest.raises(ClaviluxError, match="sounds/x is packed with zstd"):
        read["sounds/x"].content()


def test_packed_bytes_that_are_no_zlib_are_refused(tmp_path: Path) -> None:
    read = read_resources(resource_file(tmp_path / "a.rcc", {"x": (ZLIB, b"\0\0\0\3moo")}))
    with pytest.raises(ClaviluxError, match="sounds/x cannot be unpacked"):
        read["sounds/x"].content()


def test_an_unpacked_length_other_than_the_stated_one_is_refused(tmp_path: Path) -> None:
    stored = struct.pack(">I", 4) + zlib.compress(b"moo")
    read = read_resources(resource_file(tmp_path / "a.rcc", {"x": (ZLIB, stored)}))
    with pytest.raises(ClaviluxError, match="has 3 bytes"):
        read["sounds/x"].content()


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rcc").write_bytes(b"RIFF and more than a header")
    with pytest.raises(ClaviluxError, match="begins with b'RIFF'"):
        read_resources(tmp_path / "a.rcc")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaviluxError, match="version 4, expected 1 to 3"):
        read_resources(resource_file(tmp_path / "a.rcc", {}, version=4))


@pytest.mark.parametrize("length", [10, 30, 70, 130, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    path = resource_file(tmp_path / "a.rcc", {"x": (0, b"moo" * 99)})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ClaviluxError, match="is damaged"):
        read_resources(path)


def test_a_folder_that_holds_itself_is_refused(tmp_path: Path) -> None:
    path = resource_file(tmp_path / "a.rcc", {})
    whole = bytearray(path.read_bytes())
    struct.pack_into(">II", whole, 24 + 22 + 6, 1, 1)  # the folder's children, now beginning with the folder
    path.write_bytes(whole)
    with pytest.raises(ClaviluxError, match="node 1 has a child at 1"):
        read_resources(path)
