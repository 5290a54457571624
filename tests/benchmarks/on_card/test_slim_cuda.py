"""Slim libraries: a fat binary keeps what a bundle may run on one card, in place, and the rest becomes zeros."""

import struct
from pathlib import Path

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.on_card.slim_cuda import ELSEWHERE, ENTRY, FAT, HOPPER, MAGIC, main, slim

CONV, SUM, MOE = b".text.conv_half", b".text.sum_float", b".text.fused_moe_kernel"


def entry(architecture: int, code: bytes, padding: int = 0) -> bytes:
    return ENTRY.pack(2, 0, ENTRY.size, len(code) + padding, len(code), 0, architecture) + code + bytes(padding)


def fat(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return FAT.pack(MAGIC, 1, FAT.size, len(body)) + body


SMALL = entry(ELSEWHERE, b"x")
FATS = (
    fat(SMALL, entry(80, CONV * 9), entry(HOPPER, CONV, padding=8)),
    bytes(16),  # padding between them
    fat(entry(HOPPER, MOE), entry(HOPPER, SUM + MOE)),
    fat(entry(80, SUM), entry(HOPPER, MOE * 3)),
)


def elf(section: bytes, name: bytes = b".nv_fatbin") -> bytearray:
    """Return an ELF file with one section beside that of the names, its table last."""
    names = b"\0" + name + b"\0"
    start = 64
    table = start + len(section) + len(names)
    head = bytearray(b"\x7fELF\x02".ljust(start, b"\0"))
    struct.pack_into("<Q", head, 40, table)
    struct.pack_into("<HHH", head, 58, 64, 2, 1)
    rows = [(1, 1, 0, 0, start, len(section)), (0, 3, 0, 0, start + len(section), len(names))]
    return head + section + names + b"".join(struct.pack("<IIQQQQ24x", *row) for row in rows)


def unpack(code: bytes) -> bytes:
    return code


def test_what_is_kept_is_what_the_card_runs_and_a_bundle_may_need() -> None:
    library = elf(b"".join(FATS))
    kept, lost = slim(library, HOPPER, unpack)
    first, third = entry(HOPPER, CONV, padding=8), entry(HOPPER, SUM + MOE)  # one wanted kernel is enough
    for before, after in (
        (FATS[0], fat(first)),
        (FATS[2], fat(third)),
        (FATS[3], fat(SMALL)),  # as if it was never built for this card
    ):
        place = 64 + b"".join(FATS).index(before)
        assert library[place : place + len(before)] == after.ljust(len(before), b"\0")
    assert (kept, lost) == (len(first) + len(third), len(entry(HOPPER, MOE)) + len(entry(HOPPER, MOE * 3)))


def test_nothing_moves() -> None:
    before = elf(b"".join(FATS))
    library = before[:]
    slim(library, HOPPER, unpack)
    assert len(library) == len(before)
    assert (library[:64], library[-128:]) == (before[:64], before[-128:])


@pytest.mark.parametrize(
    ("library", "said"),
    [
        (bytearray(b"MZ" + bytes(100)), "no 64-bit ELF file"),
        (elf(b"", b".text"), "no section .nv_fatbin"),
        (elf(fat(entry(HOPPER, CONV))), "no code for architecture 75"),
        (elf(fat(entry(ELSEWHERE, b"x" * 9)) + fat(entry(80, b""))), "a fat binary of 32 bytes has no room"),
    ],
)
def test_another_library_is_refused(library: bytearray, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        slim(library, HOPPER, unpack)


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "library.so").write_bytes(b"MZ")
    assert main([str(tmp_path / "library.so"), str(tmp_path / "out.so")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out.so").exists()
