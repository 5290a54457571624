"""Sound files of every kind, made here with tones in them, and the ways in which files are damaged.

Each channel has a tone of its own, so that it is seen whether all of them came back, in their order.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.runtime.sound.decoding import LAYOUTS

SECONDS = 2.0
LEVEL = 0.3  # of full scale
LOWEST, APART = 400, 90  # Hz, the first channel's tone and the distance to the next: all 32 fit under 3.4 kHz
DEEP = 60  # Hz, the tone of a channel that coders keep for bass alone
DEEP_CHANNEL = 3  # of six or eight
HEADER, JUNK = 64, 20_000  # bytes
BLOCK = 1_024  # samples that are encoded at once


@dataclass(frozen=True)
class Kind:
    """One format with one coding."""

    container: str  # as people call it
    coding: str
    ending: str  # of the name
    library: str  # that writes it: soundfile or PyAV
    written_as: tuple[str, str]  # that library's names of container and coding
    channels: tuple[int, ...] = (1, 2)
    rates: tuple[int, ...] = (44_100,)
    pictures: bool = False  # whether it is a film

    @property
    def name(self) -> str:
        """Both in one word."""
        return f"{self.container} {self.coding}"


def _sndfile(container: str, coding: str, ending: str, written_as: str, *subtypes: str, **more: Any) -> list[Kind]:
    return [
        Kind(container, coding or subtype, ending, "soundfile", (written_as, subtype), **more) for subtype in subtypes
    ]


MANY = (1, 2, 6, 18, 32)
KINDS = (
    *_sndfile("WAV", "", "wav", "WAV", "PCM_16", "FLOAT", channels=MANY, rates=(8_000, 48_000, 192_000)),
    *_sndfile("WAV", "", "wav", "WAV", "PCM_24", "PCM_32", "DOUBLE", rates=(11_025, 96_000)),
    *_sndfile("WAV", "", "wav", "WAV", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"),
    *_sndfile("WAV", "", "wav", "WAV", "GSM610", channels=(1,), rates=(8_000,)),
    *_sndfile("RF64", "", "wav", "RF64", "PCM_24", channels=(2, 18)),
    *_sndfile("W64", "", "w64", "W64", "PCM_16", "FLOAT"),
    *_sndfile("CAF", "", "caf", "CAF", "PCM_16", "FLOAT", "ALAC_16", channels=(1, 2, 6)),
    *_sndfile("AIFF", "", "aiff", "AIFF", "PCM_S8", "PCM_16", "PCM_24", channels=(1, 2, 6)),
    *_sndfile("AIFF-C", "", "aifc", "AIFF", "FLOAT", "ULAW", "IMA_ADPCM"),
    *_sndfile("AU", "", "au", "AU", "PCM_16", "FLOAT", "ULAW", "ALAW"),
    *_sndfile("FLAC", "", "flac", "FLAC", "PCM_16", "PCM_24", channels=(1, 2, 6), rates=(8_000, 44_100, 96_000)),
    *_sndfile("Ogg", "Vorbis", "ogg", "OGG", "VORBIS", channels=(1, 2, 18), rates=(22_050, 48_000)),
    *_sndfile("Ogg", "Opus", "opus", "OGG", "OPUS", rates=(16_000, 48_000)),
    *_sndfile("MP3", "MP3", "mp3", "MP3", "MPEG_LAYER_III", rates=(16_000, 44_100, 48_000)),
    *_sndfile("VOC", "", "voc", "VOC", "PCM_16", channels=(1,)),
    *_sndfile("IRCAM", "", "sf", "IRCAM", "PCM_16"),
    *_sndfile("NIST", "", "nist", "NIST", "PCM_16"),
    *_sndfile("MATLAB", "", "mat", "MAT5", "PCM_16"),
    Kind("M4A", "AAC", "m4a", "PyAV", ("ipod", "aac"), rates=(16_000, 44_100)),
    Kind("M4A", "ALAC", "m4a", "PyAV", ("ipod", "alac")),
    Kind("AAC", "AAC", "aac", "PyAV", ("adts", "aac")),
    Kind("MP4", "AAC", "mp4", "PyAV", ("mp4", "aac"), (1, 2, 6, 8), (48_000,), pictures=True),
    Kind("MOV", "PCM", "mov", "PyAV", ("mov", "pcm_s16le"), pictures=True),
    Kind("3GP", "AAC", "3gp", "PyAV", ("3gp", "aac"), (1,), (16_000,)),
    Kind("Matroska", "FLAC", "mkv", "PyAV", ("matroska", "flac"), pictures=True),
    Kind("WebM", "Opus", "webm", "PyAV", ("webm", "libopus"), (1, 2), (48_000,)),
    Kind("MPEG-TS", "AAC", "ts", "PyAV", ("mpegts", "aac"), (2,), (48_000,), pictures=True),
    Kind("AVI", "MP3", "avi", "PyAV", ("avi", "libmp3lame"), pictures=True),
    Kind("FLV", "AAC", "flv", "PyAV", ("flv", "aac"), pictures=False),
    Kind("AC-3", "AC-3", "ac3", "PyAV", ("ac3", "ac3"), (1, 2, 6), (48_000,)),
    Kind("E-AC-3", "E-AC-3", "eac3", "PyAV", ("eac3", "eac3"), (2,), (48_000,)),
    Kind("AMR", "AMR-NB", "amr", "PyAV", ("amr", "libopencore_amrnb"), (1,), (8_000,)),
    Kind("WavPack", "WavPack", "wv", "PyAV", ("wv", "wavpack"), (1, 2, 8)),
    Kind("TTA", "TTA", "tta", "PyAV", ("tta", "tta")),
    Kind("Ogg", "FLAC", "oga", "PyAV", ("ogg", "flac")),
    Kind("Ogg", "Opus", "opus", "PyAV", ("ogg", "libopus"), (6,), (48_000,)),  # in its order, as libsndfile does not
    Kind("MPEG", "MP2", "mp2", "PyAV", ("mp2", "mp2")),
    Kind("WMA", "WMA 2", "wma", "PyAV", ("asf", "wmav2")),
)


def tones(channels: int) -> list[int]:
    """Return the tone of each channel, in Hz."""
    found = [LOWEST + APART * channel for channel in range(channels)]
    if channels in (6, 8):
        found[DEEP_CHANNEL] = DEEP
    return found


def sound(channels: int, rate: int, seconds: float = SECONDS) -> NDArray[np.float32]:
    """Return the tones of `channels`, float32 [n, channels]."""
    time = np.arange(round(seconds * rate))[:, None] / rate
    return (LEVEL * np.sin(2 * np.pi * np.array(tones(channels)) * time)).astype(np.float32)


def write(kind: Kind, path: Path, samples: NDArray[np.float32], rate: int) -> None:
    """Write a sound, float32 [n, channels], as a file of this kind."""
    if kind.library == "soundfile":
        container, subtype = kind.written_as
        soundfile.write(path, samples, rate, format=container, subtype=subtype)
    else:
        _write_by_pyav(kind, path, samples, rate)


def _write_by_pyav(kind: Kind, path: Path, samples: NDArray[np.float32], rate: int) -> None:
    import av

    container_name, codec = kind.written_as
    layout = LAYOUTS[samples.shape[1]]
    with av.open(str(path), "w", format=container_name) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if codec == "wmav2":
            stream.bit_rate = 128_000
        if kind.pictures:
            _write_pictures(av, container)
        for start in range(0, len(samples), BLOCK):
            block = samples[start : start + BLOCK].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_pictures(av: Any, container: Any) -> None:
    video = container.add_stream("mpeg4", rate=10)
    video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
    for _ in range(round(SECONDS * 10)):
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(video.encode(picture))
    container.mux(video.encode(None))


def write_silent_film(path: Path) -> None:
    """Write a film without sound."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        _write_pictures(av, container)


Damage = Callable[[bytes], bytes]


def _middle(content: bytes) -> bytes:
    """Return a file with a thirtieth of it, in its middle, replaced by noise."""
    start, stop = len(content) // 2, len(content) // 2 + len(content) // 30
    return content[:start] + random.Random(1).randbytes(stop - start) + content[stop:]  # noqa: S311


DAMAGES: dict[str, Damage] = {
    "its first quarter is lost": lambda content: content[len(content) // 4 :],
    "its last half is lost": lambda content: content[: len(content) // 2],
    "noise in its middle": _middle,
    "its header is zeroed": lambda content: bytes(HEADER) + content[HEADER:],
    "garbage after it": lambda content: content + random.Random(2).randbytes(JUNK),  # noqa: S311
    "joined to itself": lambda content: content + content,
}

NO_SOUND: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"R",
    "noise": random.Random(3).randbytes(50_000),  # noqa: S311
    "zeros": bytes(50_000),
    "a zip archive": b"PK\x03\x04\x14\0\0\0\x08\0" + random.Random(4).randbytes(5_000),  # noqa: S311
    "a web page": b"<!DOCTYPE html><html><body>" + b"<p>404 not found</p>" * 400,
    "a PDF": b"%PDF-1.7\n" + random.Random(5).randbytes(5_000),  # noqa: S311
    "a text": b"Dear sir,\n" * 400,
    "a playlist": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/sound.mp3\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + random.Random(6).randbytes(5_000),  # noqa: S311
    "a header alone": b"RIFF\x24\0\0\0WAVEfmt ",
    "a subtitle": b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 50,
}
"""Contents that are no sound, by what they are."""
