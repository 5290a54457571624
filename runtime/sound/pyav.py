"""PyAV as a decoder: what FFmpeg's libraries read, the sound of films too. It comes with the extra `video`.

Only formats that hold sound by themselves are tried, so that no playlist leads to another file or address, and no text
or picture is taken for something to play.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any, BinaryIO

import numpy as np

from clavilux.runtime.sound.decoding import NO_SOUND, Block, Decoded, UnreadableError

FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,loas,matroska,mlp,mov,mp3,mpc,"
    "mpc8,mpeg,mpegts,nut,ogg,rm,rso,shn,spdif,tak,truehd,tta,voc,w64,wav,webm,wsd,wv"
)
GUESSED = frozenset(
    {"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "loas", "mlp", "mp3", "mpegts", "mpeg", "truehd"}
)
"""Formats without a length: FFmpeg guesses one from the bit rate."""
DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")  # hours, minutes, seconds
MAX_PLANES = 8  # of one frame, from which on PyAV does not find them
MAX_DAMAGED = 0.5  # share of packets that may be unreadable: beyond that it is no sound
INTEGERS = {"u8": (np.uint8, 7), "s16": (np.int16, 15), "s32": (np.int32, 31)}  # and bits below full scale


def is_installed() -> bool:
    """Return whether there is PyAV."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def decode(file: BinaryIO) -> Decoded:
    """Begin to read a file from its beginning. Raises UnreadableError; PyAV must be installed."""
    import av

    file.seek(0)
    try:
        container = av.open(file, options={"format_whitelist": FORMATS}, metadata_errors="replace")
    except av.FFmpegError as error:
        raise UnreadableError(_reason(error)) from error
    try:
        if not container.streams.audio:
            raise UnreadableError(NO_SOUND)
        stream = container.streams.best("audio") or container.streams.audio[0]
        frames = _frames(av, container, stream)
        first = next(frames, None)
        if first is None:
            raise UnreadableError("none of its sound can be decoded")
    except BaseException:
        container.close()
        raise
    layout = "" if "channels" in first.layout.name else first.layout.name
    blocks, promised = _blocks(av, container, first, frames), _promised(container, stream, first)
    return Decoded(first.sample_rate, first.layout.nb_channels, blocks, "PyAV", promised, layout)


def _frames(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """Yield decoded frames, passing over what is damaged. Raises UnreadableError when that is most of it."""
    packets = damaged = 0
    for packet in _packets(av, container, stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.EOFError:  # the decoder has been at its end before
            frames = []
        except av.FFmpegError:
            damaged += 1
            frames = []
        yield from frames
    if damaged > MAX_DAMAGED * packets:
        raise UnreadableError("most of it is damaged")


def _packets(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """Yield what the container holds of a stream. Raises UnreadableError where it is damaged: nothing comes after."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError as error:
        raise UnreadableError(_reason(error)) from error


def _blocks(av: Any, container: Any, first: Any, frames: Iterator[Any]) -> Iterator[Block]:
    """Yield frames as blocks in the first one's format: a broadcast may change it underway."""
    with container:
        same = first.sample_rate, first.layout.name
        convert: Any = None
        now = None
        for frame in chain([first], frames):
            kind = frame.format.name, frame.layout.name, frame.sample_rate
            if (frame.sample_rate, frame.layout.name) == same and not _has_many_planes(frame):
                yield _samples(frame)
                continue
            if kind != now:
                convert = av.AudioResampler(format="flt", layout=first.layout, rate=first.sample_rate)
                now = kind
            frame.pts = None
            try:
                yield from map(_samples, convert.resample(frame))
            except (av.FFmpegError, ValueError) as error:
                raise UnreadableError(f"its {frame.layout.nb_channels} channels cannot be told apart") from error


def _has_many_planes(frame: Any) -> bool:
    """Return whether a frame's channels lie apart, and are more than PyAV can find: it would read past its memory."""
    return bool(frame.format.is_planar and frame.layout.nb_channels >= MAX_PLANES)


def _samples(frame: Any) -> Block:
    """Return a frame's samples, float32 [n, channels]."""
    name = frame.format.name
    values = frame.to_ndarray()
    sound = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    kind = name.rstrip("p")
    if kind not in INTEGERS:
        return np.ascontiguousarray(sound, np.float32)
    _, bits = INTEGERS[kind]
    middle = 128.0 if kind == "u8" else 0.0
    return np.ascontiguousarray((sound.astype(np.float64) - middle) / 2.0**bits, np.float32)


def _promised(container: Any, stream: Any, first: Any) -> int | None:
    """Return the samples that the file says it has; None where it does not say."""
    if set(container.format.name.split(",")) & GUESSED:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return int(stream.duration * stream.time_base * first.sample_rate)
    if tagged := DURATION.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska's
        hours, minutes, seconds = tagged.groups()
        return int((60 * (60 * int(hours) + int(minutes)) + Fraction(seconds)) * int(first.sample_rate))
    alone = len(container.streams) == 1  # else the pictures may last longer
    return round(Fraction(container.duration, 10**6) * int(first.sample_rate)) if alone and container.duration else None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error).rstrip(".")
