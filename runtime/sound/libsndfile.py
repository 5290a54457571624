"""libsndfile as a decoder, without seeking, so that a wrong or unknown length in the header stops nothing.

It knows WAV, FLAC, Ogg, MP3, AIFF, AU, CAF and their relatives. What a header promised and the file does not hold it
tells in its log alone, whose lines are read here.
"""

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

import soundfile

from clavilux.runtime.sound.decoding import LAYOUTS, Block, Decoded, UnreadableError
from clavilux.runtime.sound.sound_input import part_of, size_of

BLOCK = 2**14  # samples of each channel
UNKNOWN = 0x7FFF_FF00  # bytes or samples from which on a length means that nobody knew
SAID = re.compile(r"(?:^data|Data Size|^riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)  # bytes
COUNTED = re.compile(r"'COMM' chunk \((\d+)\) not equal|'ds64' chunk of (\d+)")  # samples
MAX_CHUNKS = 64  # before a WAV's data
STREAMED = b"\xff" * 4  # the length of data that says: until the end
VORBIS_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}
"""Places of WAV's channels in the order of Vorbis (its specification, section 4.3.9), which is Opus' too."""


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is only read on: `read` then seeks nothing, which fails where a length is wrong."""

    def seekable(self) -> bool:
        return False


def decode(file: BinaryIO) -> Decoded:
    """Begin to read a file from its beginning. Raises UnreadableError when libsndfile does not know it."""
    sound = _opened(file)
    if not sound.frames and (mended := _with_length(file)) is not None:
        with mended:
            sound = _opened(mended)
    order = VORBIS_ORDER.get(sound.channels) if sound.format == "OGG" else None
    layout = LAYOUTS.get(sound.channels, "")
    return Decoded(sound.samplerate, sound.channels, _blocks(sound, order), "libsndfile", _promised(sound), layout)


def _opened(file: BinaryIO) -> _Forward:
    """Open a file by a descriptor of its own: through Python's a Ctrl-C would be lost."""
    file.seek(0)
    descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        return _Forward(descriptor)
    except soundfile.LibsndfileError as error:
        raise UnreadableError(error.error_string.rstrip(".")) from error


def _blocks(sound: _Forward, order: tuple[int, ...] | None) -> Iterator[Block]:
    with sound:
        try:
            while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                yield block[:, order] if order else block
        except soundfile.LibsndfileError as error:
            raise UnreadableError(error.error_string.rstrip(".")) from error


def _promised(sound: _Forward) -> int | None:
    """Return the samples that the header promises; None where it says nothing, or that nobody knew."""
    log = sound.extra_info
    if "ADPCM" not in sound.subtype and (counted := COUNTED.search(log)):  # there packets are counted
        promised = int(counted[1] or counted[2])
    elif said := SAID.search(log):
        bytes_said, bytes_held = int(said[1]), int(said[2])
        promised = UNKNOWN if bytes_said >= UNKNOWN else round(sound.frames * bytes_said / max(bytes_held, 1))
    else:
        promised = sound.frames
    return promised if 0 < promised < UNKNOWN else None


def _with_length(file: BinaryIO) -> BinaryIO | None:
    """Return a copy of a WAV whose data have a length of 0 with one that says: until the end; None for others.

    A recorder that was cut off leaves such files.
    """
    place = _unmeasured_data(file)
    if place is None:
        return None
    mended = part_of(file, 0, size_of(file))
    mended.seek(place)
    mended.write(STREAMED)
    return mended


def _unmeasured_data(file: BinaryIO) -> int | None:
    """Return where a WAV says that its data have no bytes; None if it says nothing of the kind."""
    file.seek(0)
    kind, _, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if (kind, form) != (b"RIFF", b"WAVE"):
        return None
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return None
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            return file.tell() - 4 if not length else None
        file.seek(length + length % 2, os.SEEK_CUR)
    return None
