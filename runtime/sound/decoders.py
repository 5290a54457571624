"""Decoders in their order: libsndfile, then PyAV where it is installed; a file becomes one stream of blocks.

What libsndfile cannot read on with, PyAV goes on with, from the same sample. Files that were joined end to end (MP3,
Ogg, WAV, AIFF, AU, CAF) are read one after the other.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import BinaryIO

from clavilux.runtime.sound import libsndfile, mp3_frames, pyav
from clavilux.runtime.sound.decoding import NOTHING, Block, Decoded, UnreadableError
from clavilux.runtime.sound.sound_input import part_of, size_of

NEXT = {
    b"RIFF": re.compile(rb"RIFF....WAVEfmt ", re.DOTALL),
    b"RF64": re.compile(rb"RF64....WAVEds64", re.DOTALL),
    b"FORM": re.compile(rb"FORM....AIF[FC]", re.DOTALL),
    b".snd": re.compile(rb"\.snd\0\0"),
    b"caff": re.compile(rb"caff\0\x01\0\0desc"),
    b"OggS": re.compile(rb"OggS\0\x02"),  # the first page of a stream
}
"""Beginnings of the next file where several were joined, by the first bytes of the kind."""
SEARCHED = 2**20  # bytes at once
OVERLAP = 32  # bytes that a pattern may need
LATER = re.compile(rb"OggS\0[^\x02]", re.DOTALL)  # a page that is not the first of its stream


class _ChangeError(UnreadableError):
    """Sound of another kind comes next: no decoder goes on with it."""


def decode(file: BinaryIO) -> Decoded:
    """Begin to read a file from its beginning. Raises UnreadableError."""
    if not size_of(file):
        raise UnreadableError(NOTHING)
    try:
        found = _mp3(file) if mp3_frames.begins(file) else None
        decoded = _begun(libsndfile.decode(file)) if found is None else found
    except UnreadableError as refused:
        return _otherwise(file, refused)
    return replace(decoded, blocks=_whole(file, decoded))


def _begun(decoded: Decoded) -> Decoded:
    """Read the first block, so that a file of which nothing can be read is known at once."""
    blocks = iter(decoded.blocks)
    first = next(blocks, None)
    if first is None:
        raise UnreadableError(NOTHING)
    return replace(decoded, blocks=chain([first], blocks))


def _otherwise(file: BinaryIO, refused: UnreadableError) -> Decoded:
    """Read what libsndfile refused: by PyAV, or as an MP3 whose beginning is lost."""
    if starts := _starts(file):  # which libsndfile calls malformed when WAVs were joined
        with part_of(file, 0, starts[0]) as part:
            first = _begun(libsndfile.decode(part))
        return replace(first, blocks=_joined(first, _others(file)))
    if pyav.is_installed():
        try:
            return _begun(pyav.decode(file))
        except UnreadableError as error:
            refused = refused if str(refused) == NOTHING else error
    found = _mp3(file)
    if found is None:
        raise refused
    return found


def _mp3(file: BinaryIO) -> Decoded | None:
    """Read a file's MP3 streams one after the other; None where there are none."""
    streams = mp3_frames.find(file)
    if not streams.found:
        return None
    if streams.are_whole:
        return replace(_begun(libsndfile.decode(file)), promised=streams.promised)
    others = (mp3_frames.mended(file, stream) for stream in streams.found)
    with next(others) as stream:
        first = _begun(libsndfile.decode(stream))
    return replace(first, blocks=_joined(first, others), promised=streams.promised)


def _whole(file: BinaryIO, decoded: Decoded) -> Iterator[Block]:
    """Yield libsndfile's blocks and what comes after them."""
    done = 0
    try:
        for block in decoded.blocks:
            done += len(block)
            yield block
    except UnreadableError as error:
        if isinstance(error, _ChangeError) or not pyav.is_installed():
            raise
        yield from _beyond(pyav.decode(file), done, decoded)
        return
    yield from _joined(replace(decoded, blocks=iter(())), _others(file))


def _beyond(decoded: Decoded, done: int, before: Decoded) -> Iterator[Block]:
    """Yield what comes after the first `done` samples."""
    _check_same(before, decoded)
    for block in decoded.blocks:
        if done < len(block):
            yield block[done:]
        done = max(0, done - len(block))


def _joined(first: Decoded, others: Iterable[BinaryIO]) -> Iterator[Block]:
    yield from first.blocks
    for file in others:
        with file:
            decoded = libsndfile.decode(file)
            _check_same(first, decoded)
            yield from decoded.blocks


def _check_same(before: Decoded, after: Decoded) -> None:
    if (before.rate, before.channels) != (after.rate, after.channels):
        told = [f"{one.rate} Hz with {one.channels} channels" for one in (before, after)]
        raise _ChangeError(f"it changes from {' to '.join(told)}")


def _others(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the files that were joined to the first one, each as a temporary file."""
    for start, stop in pairwise([*_starts(file), size_of(file)]):
        yield part_of(file, start, stop)


def _starts(file: BinaryIO) -> list[int]:
    """Return where files begin that were joined to the first one."""
    file.seek(0)
    kind = file.read(4)
    if kind not in NEXT:
        return []
    places = _found(file, NEXT[kind])
    if kind == b"OggS":  # streams that run side by side begin together
        later = next(_found(file, LATER), None)
        places = (place for place in places if later is not None and place > later)
    return [place for place in places if place]


def _found(file: BinaryIO, pattern: re.Pattern[bytes]) -> Iterator[int]:
    """Yield where a pattern of at most `OVERLAP` bytes is found."""
    place, kept = 0, b""
    while True:
        file.seek(place + len(kept))
        block = file.read(SEARCHED)
        if not block:
            return
        data = kept + block
        ends = len(data) - OVERLAP if len(block) == SEARCHED else len(data)
        yield from (place + found.start() for found in pattern.finditer(data) if found.start() < ends)
        kept, place = data[ends:], place + ends
