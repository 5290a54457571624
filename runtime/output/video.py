"""Frames and the sound they came from, as one MP4 file. Needs PyAV: pip install 'clavilux[video]'."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.runtime.frame import Frame
from clavilux.runtime.sound.sound_file import Clip

VIDEO_CODEC = "h264"  # plays everywhere; PyAV picks the encoder that its libraries carry
AUDIO_CODEC = "aac"
CONSTANT_QUALITY = "18"  # x264's crf: visually lossless
SOUND_RATES = (8_000, 96_000)  # Hz, what AAC knows


class VideoError(ClaviluxError):
    """A video cannot be written."""


def write_video(path: Path, frames: Iterable[Frame], clip: Clip, frame_rate: Fraction) -> None:
    """Write `frames` at `frame_rate` per second with the clip's sound to `path`, an MP4 with H.264 and AAC.

    Raises VideoError when PyAV is missing or the pictures have an odd side, which H.264's 4:2:0 colour cannot hold, and
    ClaviluxError when the file cannot be written; then there is none.
    """
    av = _pyav()
    with (
        written_whole(path) as part,
        av.open(part, "w", format="mp4", options={"movflags": "faststart"}) as container,
    ):
        _write(container, av, frames, clip, frame_rate)


def _write(container: Any, av: Any, frames: Iterable[Frame], clip: Clip, frame_rate: Fraction) -> None:
    """Encode picture by picture, each followed by its share of the sound, so that the muxer holds nothing back."""
    video = container.add_stream(VIDEO_CODEC, rate=frame_rate, options={"crf": CONSTANT_QUALITY})
    rate = min(max(clip.rate, SOUND_RATES[0]), SOUND_RATES[1])
    audio = container.add_stream(AUDIO_CODEC, rate=rate, layout="mono" if clip.samples.shape[1] == 1 else "stereo")
    video.pix_fmt = "yuv420p"
    for index, frame in enumerate(frames):
        if index == 0:
            video.width, video.height = _size(frame)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.pixels), format="rgb24")
        picture.pts, picture.time_base = index, 1 / frame_rate
        container.mux(video.encode(picture))
        for block in _sound(av, clip, index / frame_rate, (index + 1) / frame_rate):
            container.mux(audio.encode(block))
    container.mux(video.encode(None))
    container.mux(audio.encode(None))


def _size(frame: Frame) -> tuple[int, int]:
    """Return width and height. Raises VideoError when a side is odd."""
    height, width, _ = frame.pixels.shape
    if height % 2 or width % 2:
        raise VideoError(f"the pictures are {width}x{height}; expected even sides for an MP4")
    return width, height


def _sound(av: Any, clip: Clip, begin: Fraction, end: Fraction) -> list[Any]:
    """Return the sound between two times, in seconds, as at most one PyAV frame of at most two channels."""
    start, stop = (round(time * clip.rate) for time in (begin, end))
    block = np.ascontiguousarray(clip.samples[start:stop, :2].T)
    if not block.size:
        return []
    frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono" if len(block) == 1 else "stereo")
    frame.sample_rate, frame.pts, frame.time_base = clip.rate, start, Fraction(1, clip.rate)
    return [frame]


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise VideoError("an MP4 needs PyAV; run: pip install 'clavilux[video]'") from error
    return av
