"""Sound files of any kind: read in blocks by the decoder that knows them, checked; where they fall short is told.

    with open_sound(Path("song.m4a")) as sound:
        for block in sound.blocks(): ...

One reader for all commands; "-" is standard input.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np

from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound import pyav
from clavilux.runtime.sound.decoders import decode
from clavilux.runtime.sound.decoding import LAYOUTS, NO_SOUND, NOTHING, Block, Decoded, UnreadableError
from clavilux.runtime.sound.samples import MAX_CHANNELS, RATES, Samples, as_sound
from clavilux.runtime.sound.sound_input import name_of, open_input

log = logging.getLogger("clavilux.sound")

READ = "WAV, FLAC, OGG, Opus, MP3, AIFF, AU, CAF"
READ_BY_PYAV = "M4A, AAC, AC3, WMA, WavPack and the sound of MP4, MOV, MKV, WebM"
HEADERLESS = (".pcm", ".raw", ".s16", ".s16le", ".f32", ".f32le")
LOOKS = {
    b"PK\3\4": "a zip archive",
    b"%PDF": "a PDF",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"MThd": "MIDI, which is notes and no sound",
    b"#EXT": "a playlist",
}
"""Kinds of files that are often met in place of sound, by their first bytes."""
TOLD = 0.1  # s more or less than promised, from which on it is said: encoders fill their last frame


class Sound(Protocol):
    """A sound that is read in blocks, as often as one likes, once at a time."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def rate(self) -> int:
        """Samples of a channel a second."""

    @property
    def channels(self) -> int:
        """How many there are."""

    @property
    def layout(self) -> str:
        """FFmpeg's name of what they mean, such as "5.1"; "" where nobody knows."""

    def blocks(self) -> Iterator[Samples]:
        """Yield all of it from the beginning, float32 [n, channels] in -1 to 1, as `as_sound` checks it."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A whole sound."""

    samples: Samples  # [n, channels], -1 to 1
    rate: int  # Hz
    name: str = "the clip"  # what messages call it

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    @property
    def channels(self) -> int:
        """How many there are."""
        return int(self.samples.shape[1])

    @property
    def layout(self) -> str:
        """FFmpeg's name of what they mean where nothing else is said; "" where nobody knows."""
        return LAYOUTS.get(self.channels, "")

    def blocks(self) -> Iterator[Samples]:
        """Yield all of it."""
        yield self.samples


class SoundFile:
    """A sound file that is open. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open a file, "-" for standard input, and read its beginning.

        Raises SoundError when there is none, it is no sound, it is empty, or it has too many channels or another rate
        than the instrument takes.
        """
        self.name = name_of(path)
        self._hint = path.suffix.lower() in HEADERLESS
        self._told = False
        self._file: BinaryIO = open_input(path)
        try:
            first = self._decoded()
            self._check(first)
        except BaseException:
            self._file.close()
            raise
        self.rate = first.rate
        self.channels = first.channels
        self.layout = first.layout
        self.reader = first.reader

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def blocks(self) -> Iterator[Samples]:
        """Yield all of it from the beginning, float32 [n, channels] in -1 to 1, a second or less at a time.

        Raises SoundError for values that are no sound. At the end, where it holds more or less than it promised, or is
        damaged, that is logged, once.
        """
        decoded = self._decoded()
        held, reason = 0, ""
        blocks = iter(decoded.blocks)
        while True:
            try:
                block = next(blocks)
            except StopIteration:
                break
            except UnreadableError as error:
                reason = str(error)
                break
            for start in range(0, len(block), self.rate):
                piece = self._checked(block[start : start + self.rate], held)
                yield piece
                held += len(piece)
        if not self._told:
            self._told = True
            self._tell(held, decoded.promised, reason)

    def _checked(self, block: Block, held: int) -> Samples:
        """Return what comes after `held` samples, checked. Raises SoundError."""
        try:
            return as_sound(block, self.rate)
        except SoundError as error:
            where = f" ({held / self.rate:.1f} s from its beginning)" if held else ""
            raise SoundError(f"{self.name}: {error}{where}") from error

    def _decoded(self) -> Decoded:
        """Begin to read. Raises SoundError."""
        try:
            return decode(self._file)
        except UnreadableError as error:
            raise SoundError(self._refusal(str(error))) from error

    def _refusal(self, reason: str) -> str:
        if reason == NO_SOUND:
            return f"{self.name} is a film without sound; expected one with sound, or a sound file"
        if reason == NOTHING:
            return f"{self.name} holds no samples; expected some sound"
        self._file.seek(0)
        head = self._file.read(max(map(len, LOOKS)))
        if found := next((look for begin, look in LOOKS.items() if head.startswith(begin)), None):
            return f"{self.name} is {found}; expected a sound file"
        if self._hint:
            told = "make a WAV of it, for example: ffmpeg -f s16le -ar 48000 -ac 2 -i in.raw out.wav"
            return f"{self.name} has no header that tells its rate and channels; {told}"
        more = f", {READ_BY_PYAV}" if pyav.is_installed() else ""
        extra = "" if pyav.is_installed() else f"; for {READ_BY_PYAV} run: pip install 'clavilux[video]'"
        return f"{self.name} is not audio that can be read ({reason}); expected {READ}{more}{extra}"

    def _check(self, decoded: Decoded) -> None:
        """Raise SoundError for a rate or channels that the instrument does not take."""
        if not 1 <= decoded.channels <= MAX_CHANNELS:
            raise SoundError(f"{self.name} has {decoded.channels} channels; expected 1 to {MAX_CHANNELS}")
        low, high = RATES
        if not low <= decoded.rate <= high:
            raise SoundError(f"{self.name} has {decoded.rate} samples a second; expected {low} to {high}")

    def _tell(self, held: int, promised: int | None, reason: str) -> None:
        """Log what there was where it is not what was promised."""
        seconds = held / self.rate
        taken = "they are taken"
        if promised is not None and abs(promised - held) > TOLD * self.rate:
            told = f"{self.name} promises {promised / self.rate:.1f} s and holds {seconds:.1f} s"
            log.warning("%s%s; %s", told, f" ({reason})" if reason else "", taken)
        elif reason:
            log.warning("%s can be read for %.1f s (%s); %s", self.name, seconds, reason, taken)


def open_sound(path: Path) -> SoundFile:
    """Return the sound file at `path`, open, or standard input for "-". Raises SoundError as `SoundFile` does."""
    return SoundFile(path)


def read_clip(path: Path) -> Clip:
    """Read a whole sound file into memory. Raises SoundError as `SoundFile` and its blocks do."""
    with open_sound(path) as sound:
        return Clip(np.concatenate(list(sound.blocks())), sound.rate)
