"""MP3 frames: an MP3 that was joined, cut or damaged becomes whole ones, frame by frame, which any decoder reads right.

A header frame (Xing or Info, with LAME's delays) says how long its stream is; where several files were joined each has
its own, and a decoder believes the first one. ISO 11172-3, section 2.4.1.3; 13818-3 for the lower rates.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO

from clavilux.runtime.sound.sound_input import kept

BITRATES = (  # kbit/s by (is MPEG-1, layer), index 1 to 14
    ((1, 1), (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)),
    ((1, 2), (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)),
    ((1, 3), (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)),
    ((0, 1), (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)),
    ((0, 2), (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)),
    ((0, 3), (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)),
)
RATES = (44_100, 48_000, 32_000)  # Hz, of MPEG-1
DIVIDED = {3: 1, 2: 2, 0: 4}  # rates of MPEG-1, 2 and 2.5 by the version's bits
SYNC = re.compile(rb"\xff[\xe2-\xff]")
TAGS = (b"Xing", b"Info")
CHAIN = 3  # frames in a row that are taken for sound where the place is not known
SEARCHED = 2**17  # bytes at the beginning in which the first frame must lie
TOLERANCE = 0.01  # of the length that a header frame tells


@dataclass(frozen=True)
class Header:
    """One frame's header."""

    length: int  # bytes of the frame
    samples: int
    kind: tuple[int, int, int]  # version's bits, layer, rate: the same in all of a stream
    tag: int  # bytes from the frame's beginning to a header frame's tag


@dataclass
class Stream:
    """One stream of frames of one kind."""

    kind: tuple[int, int, int]
    samples: int  # of a frame
    tag: int | None = None  # where the header frame begins
    tag_stop: int = 0  # and ends
    tagged: int = 0  # where its tag is
    runs: list[tuple[int, int]] = field(default_factory=list)  # bytes of frames that follow each other
    frames: int = 0


@lru_cache(maxsize=2**12)
def header(word: int) -> Header | None:
    """Return what the first 32 bits of a frame say; None where they are none."""
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    index, rate = word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or index in (0, 15) or rate == 3:
        return None
    first = version == 3
    hertz = RATES[rate] // DIVIDED[version]
    bits = dict(BITRATES)[int(first), layer][index - 1] * 1000
    samples = 384 if layer == 1 else 1152 if layer == 2 or first else 576
    padding = word >> 9 & 1
    length = (12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding
    mono = word >> 6 & 3 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return Header(length, samples, (version, layer, hertz), 4 + side)


def begins(file: BinaryIO) -> bool:
    """Return whether a file begins as an MP3 does: with a tag, or with frames."""
    file.seek(0)
    head = file.read(2**13)
    return head.startswith(b"ID3") or _chained(head, 0, 2)


@dataclass(frozen=True)
class Streams:
    """Streams of one MP3."""

    found: list[Stream]
    promised: int | None  # samples, by the first one's header frame
    are_whole: bool  # one stream, as its header frame tells: the file can be read as it is


def find(file: BinaryIO) -> Streams:
    """Return an MP3's streams, in order; none where there are no frames."""
    with _mapped(file) as data:
        found = list(_streams(data))
        if not found:
            return Streams([], None, are_whole=False)
        return Streams(found, _promised(data, found[0]), are_whole=len(found) == 1 and _is_whole(data, found[0]))


def mended(file: BinaryIO, stream: Stream) -> BinaryIO:
    """Return a temporary file of a stream's frames alone, with a header frame that tells their true number."""
    with _mapped(file) as data:
        return kept(_mended(data, stream))


def _mapped(file: BinaryIO) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _at(data: mmap.mmap | bytes, place: int) -> Header | None:
    return header(int.from_bytes(data[place : place + 4], "big")) if place + 4 <= len(data) else None


def _chained(data: mmap.mmap | bytes, place: int, count: int) -> bool:
    """Return whether `count` frames of one kind follow each other at a place, or as many as there is room for."""
    kind = None
    for _ in range(count):
        found = _at(data, place)
        if found is None or kind not in (None, found.kind):
            return False
        kind, place = found.kind, place + found.length
        if place >= len(data):
            return True
    return True


def _frames(data: mmap.mmap) -> Iterator[tuple[int, Header]]:
    """Yield places and headers of all frames that are there whole."""
    place = _after_tag(data, 0)
    kind = None
    while place + 4 <= len(data):
        found = _at(data, place)
        if found is None or found.kind != kind:
            place = _next_place(data, place, first=kind is None)
            found = _at(data, place)
        if found is None or place + found.length > len(data):
            return
        kind = found.kind
        yield place, found
        place += found.length


def _next_place(data: mmap.mmap, place: int, *, first: bool) -> int:
    """Return where the next frames begin, `len(data)` where there are none."""
    end = place + SEARCHED if first else len(data)
    while place < len(data):
        if data[place : place + 3] == b"ID3":
            place = _after_tag(data, place)
        if _chained(data, place, CHAIN):
            return place
        found = SYNC.search(data, place + 1, end)
        if found is None:
            break
        place = found.start()
    return len(data)


def _after_tag(data: mmap.mmap, place: int) -> int:
    """Return where what follows an ID3 tag at a place begins."""
    if data[place : place + 3] != b"ID3":
        return place
    head = data[place : place + 10].ljust(10, b"\0")
    size = sum((byte & 127) << 7 * shift for shift, byte in enumerate(reversed(head[6:10])))
    return place + 10 + size + (10 if head[5] & 16 else 0)


def _streams(data: mmap.mmap) -> Iterator[Stream]:
    stream: Stream | None = None
    for place, found in _frames(data):
        tagged = data[place + found.tag : place + found.tag + 4] in TAGS
        if stream is None or tagged or found.kind != stream.kind:
            if stream is not None and stream.frames:
                yield stream
            stream = Stream(found.kind, found.samples)
        if tagged:
            stream.tag, stream.tag_stop, stream.tagged = place, place + found.length, place + found.tag
            continue
        if stream.runs and stream.runs[-1][1] == place:
            stream.runs[-1] = stream.runs[-1][0], place + found.length
        else:
            stream.runs.append((place, place + found.length))
        stream.frames += 1
    if stream is not None and stream.frames:
        yield stream


def _told(data: mmap.mmap, stream: Stream) -> dict[str, int]:
    """Return places of the numbers of frames and bytes in a header frame, and of LAME's delays, as far as there."""
    if stream.tag is None:
        return {}
    flags, place, places = int.from_bytes(data[stream.tagged + 4 : stream.tagged + 8], "big"), stream.tagged + 8, {}
    for bit, name, length in ((1, "frames", 4), (2, "bytes", 4), (4, "contents", 100), (8, "quality", 4)):
        if flags & bit:
            places[name] = place
            place += length
    if place + 24 <= stream.tag_stop:
        places["delays"] = place + 21
    return places


def _number(data: mmap.mmap, place: int | None, length: int = 4) -> int:
    return 0 if place is None else int.from_bytes(data[place : place + length], "big")


def _promised(data: mmap.mmap, stream: Stream) -> int | None:
    places = _told(data, stream)
    frames, delays = _number(data, places.get("frames")), _number(data, places.get("delays"), 3)
    samples = frames * stream.samples - (delays >> 12) - (delays & 0xFFF)
    return samples if frames and samples > 0 else None


def _is_whole(data: mmap.mmap, stream: Stream) -> bool:
    """Return whether frames follow each other without a gap, as many as the header frame says."""
    if len(stream.runs) != 1 or (stream.tag not in (None, 0) and data[:3] != b"ID3"):
        return False
    begin, stop = stream.runs[0]
    if stream.tag is None:
        return data[:3] == b"ID3" or begin == 0
    told, size = _number(data, _told(data, stream).get("bytes")), stop - stream.tag
    rest = len(data) - stream.tag
    frames = _number(data, _told(data, stream).get("frames"))
    return (not frames or frames == stream.frames) and all(
        not told or abs(told - found) <= TOLERANCE * found for found in (size, rest)
    )


def _mended(data: mmap.mmap, stream: Stream) -> Iterator[bytes]:
    if stream.tag is not None:
        tag = bytearray(data[stream.tag : stream.tag_stop])
        told = {"frames": stream.frames, "bytes": len(tag) + sum(stop - start for start, stop in stream.runs)}
        places = {name: place - stream.tag for name, place in _told(data, stream).items()}
        for name in told.keys() & places.keys():
            struct.pack_into(">I", tag, places[name], told[name])
        if "delays" in places and stream.frames < _number(data, _told(data, stream).get("frames")):
            end = places["delays"]  # 12 bits of delay before the sound, then 12 of padding, which is lost
            tag[end + 1 : end + 3] = bytes([tag[end + 1] & 0xF0, 0])
        yield bytes(tag)
    for start, stop in stream.runs:
        yield data[start:stop]
