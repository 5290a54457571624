"""ONNX Runtime's CUDA library with the code of one architecture alone: 284 MB, of which 18 remain as xz.

    python -m clavilux.benchmarks.on_card.slim_cuda LIBRARY OUT    # takes zstandard

Section `.nv_fatbin` is a row of fat binaries: a header, then entries with code for an architecture each, compressed by
zstd. NVIDIA documents none of it; it was read off the libraries of 1.31.1, and the result ran on an H100. Addresses
stay: what is left out becomes zeros. Kernels of operators that no bundle has go too, or it would be four times as
large; a graph that needs one of them fails, and says so. So this is for measuring where nothing can be downloaded, and
no way to install anything.
"""

import argparse
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.errors import BenchError

SECTION = b".nv_fatbin"
HOPPER = 90  # architecture: H100, H200
ELSEWHERE = 75  # architecture of the small entry that a fat binary gets when nothing of it is kept
MAGIC = 0xBA55ED50
ALIGNED = 8  # bytes: where fat binaries begin
MAX_CODE = 2**28  # bytes of an entry, unpacked
FAT = struct.Struct("<IHHQ")  # magic, version, bytes of this header, bytes of the entries
ENTRY = struct.Struct("<HHIQIQI")  # kind, ?, bytes of this header, bytes after it, of them code, ?, architecture
ELF_SECTIONS = struct.Struct("<40xQ10xHHH")  # where section headers begin, bytes of one, how many, which has the names
ELF_SECTION = struct.Struct("<II16xQQ")  # name, type, ..., offset, bytes
KERNEL = re.compile(rb"\.text\.([A-Za-z_0-9$]+)")  # ELF section of a kernel
FOREIGN = re.compile(
    rb"MoeFCGemm|fused_moe|fpA_intB|3llm|CollectiveMmaArrayMixedInput|CollectiveMmaMixedInput|GroupProblemShape|"
    rb"flash_fwd_splitkv|bfloat16|BFloat16|masked_multihead|[Mm]oe|[Bb]eam|linear_attention|LinearAttention|Mamba|mamba|"
    rb"BatchTopK|PagedAtt|paged|SparseAttn|sparse_att|DynamicSparse|KernelPilot|qmoe|MatMulNBits|Fp4|fp4|cudnn_generated"
)
"""Names of kernels for language models, for bfloat16 and for quantised weights, which no bundle has."""

Unpack = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Entry:
    """Code for one architecture in a fat binary."""

    start: int  # in the library, bytes
    code: int
    code_end: int
    end: int
    architecture: int


def slim(library: bytearray, architecture: int, unpack: Unpack) -> tuple[int, int]:
    """Slim a library in place; return the bytes of code for the architecture that it keeps, and that it loses.

    Raises BenchError when it is none that this knows.
    """
    start, size = _section(library, SECTION)
    fats = list(_fat_binaries(library, start, start + size))
    small = _smallest(library, fats)
    kept = lost = 0
    for begin, head, end in fats:
        entries = [one for one in _entries(library, head, end) if one.architecture == architecture]
        wanted = [one for one in entries if _is_wanted(unpack(bytes(library[one.code : one.code_end])))]
        code = b"".join(bytes(library[one.start : one.end]) for one in wanted) or small
        if len(code) > end - head:
            raise BenchError(f"a fat binary of {end - head} bytes has no room for an entry of {len(code)}")
        magic, version, header, _ = FAT.unpack_from(library, begin)
        FAT.pack_into(library, begin, magic, version, header, len(code))
        library[head:end] = code + bytes(end - head - len(code))
        kept += sum(one.end - one.start for one in wanted)
        lost += sum(one.end - one.start for one in entries if one not in wanted)
    return kept, lost


def _section(library: bytearray, name: bytes) -> tuple[int, int]:
    """Return where a section of a 64-bit ELF file begins, and its bytes."""
    if library[:5] != b"\x7fELF\x02":
        raise BenchError("no 64-bit ELF file; expected libonnxruntime_providers_cuda.so")
    table, size, count, names = ELF_SECTIONS.unpack_from(library)
    sections = [ELF_SECTION.unpack_from(library, table + size * index) for index in range(count)]
    for title, _, offset, length in sections:
        place = sections[names][2] + title
        if library[place : place + len(name) + 1] == name + b"\0":
            return offset, length
    raise BenchError(f"no section {name.decode()}; expected libonnxruntime_providers_cuda.so")


def _fat_binaries(library: bytearray, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield where each fat binary, and its entries, begin and end."""
    place = start
    while place + FAT.size <= end:
        magic, _, header, size = FAT.unpack_from(library, place)
        if magic == MAGIC:
            yield place, place + header, place + header + size
            place += header + size
        else:  # padding
            place += ALIGNED


def _entries(library: bytearray, place: int, end: int) -> Iterator[Entry]:
    while place < end:
        _, _, header, size, packed, _, architecture = ENTRY.unpack_from(library, place)
        code = place + header
        yield Entry(place, code, code + packed, code + size, architecture)
        place = code + size


def _smallest(library: bytearray, fats: Sequence[tuple[int, int, int]]) -> bytes:
    """Return the smallest entry for ELSEWHERE: with it alone, a fat binary was never built for this architecture."""
    entries = [one for _, head, end in fats for one in _entries(library, head, end) if one.architecture == ELSEWHERE]
    if not entries:
        raise BenchError(f"no code for architecture {ELSEWHERE}; expected a library of onnxruntime-gpu 1.31")
    one = min(entries, key=lambda entry: entry.end - entry.start)
    return bytes(library[one.start : one.end])


def _is_wanted(code: bytes) -> bool:
    """Return whether an entry has any kernel that a bundle may need."""
    return any(not FOREIGN.search(name) for name in KERNEL.findall(code))


def main(words: Sequence[str] | None = None) -> int:
    """Write the slim library; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, metavar="LIBRARY", help="libonnxruntime_providers_cuda.so")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--architecture", type=int, default=HOPPER, help=f"of the card ({HOPPER})")
    asked = parser.parse_args(words)

    def run() -> None:
        library = bytearray(asked.library.read_bytes())
        kept, lost = slim(library, asked.architecture, zstd())
        asked.out.write_bytes(library)
        print(f"code for sm{asked.architecture}: {kept / 1e6:.1f} MB kept, {lost / 1e6:.1f} left out")

    return ended("slim_cuda", run)


def zstd() -> Unpack:
    """Return what unpacks an entry's code. Raises BenchError where zstandard is missing."""
    try:
        import zstandard
    except ImportError as error:
        raise BenchError("zstandard is not installed; run: pip install zstandard") from error
    unpacker = zstandard.ZstdDecompressor()
    return lambda code: unpacker.decompress(code, max_output_size=MAX_CODE)


if __name__ == "__main__":
    sys.exit(main())
