"""Films as MP4: parts with pictures alone, which are then joined with the sound. Needs PyAV, the extra `video`.

A part is finished when it is there, so that a film that was stopped goes on after its last one. Joining encodes no
picture again.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.runtime.frame import Frame
from clavilux.runtime.output.soundtrack import Soundtrack
from clavilux.runtime.sound.sound_file import Sound

CODEC = "h264"  # plays everywhere; PyAV picks the encoder that its libraries carry
CONSTANT_QUALITY = "18"  # x264's crf: visually lossless


class VideoError(ClaviluxError):
    """A video cannot be written."""


def write_part(path: Path, frames: Iterable[Frame], frame_rate: Fraction) -> int:
    """Write `frames` at `frame_rate` per second to `path`, an MP4 with H.264; return how many there were.

    Raises VideoError when PyAV is missing or the pictures have an odd side, which H.264's 4:2:0 colour cannot hold, and
    ClaviluxError when the file cannot be written; then there is none.
    """
    av = pyav()
    with written_whole(path) as part, av.open(part, "w", format="mp4") as container:
        return _encode(av, container, frames, frame_rate)


def write_film(path: Path, parts: Sequence[tuple[Path, int]], sound: Sound, frame_rate: Fraction) -> None:
    """Write the film that `parts` make one after the other with their sound to `path`, an MP4 with H.264 and AAC.

    `parts` are files of `write_part` and the numbers of their frames. Raises SoundError, VideoError when PyAV is
    missing, and ClaviluxError when the file cannot be written; then there is none.
    """
    av = pyav()
    with (
        written_whole(path) as part,
        av.open(part, "w", format="mp4", options={"movflags": "faststart"}) as container,
    ):
        _join(av, container, parts, sound, frame_rate)


def write_video(path: Path, frames: Iterable[Frame], sound: Sound, frame_rate: Fraction) -> None:
    """Write `frames` at `frame_rate` per second with their sound to `path`, in one go, as `write_film` does."""
    with TemporaryDirectory(prefix="clavilux-") as folder:
        pictures = Path(folder) / "pictures.mp4"
        write_film(path, [(pictures, write_part(pictures, frames, frame_rate))], sound, frame_rate)


def pyav() -> Any:
    """Return PyAV. Raises VideoError when it is missing."""
    try:
        import av
    except ImportError as error:
        raise VideoError("an MP4 needs PyAV; run: pip install 'clavilux[video]'") from error
    return av


def _encode(av: Any, container: Any, frames: Iterable[Frame], frame_rate: Fraction) -> int:
    video = container.add_stream(CODEC, rate=frame_rate, options={"crf": CONSTANT_QUALITY})
    video.pix_fmt = "yuv420p"
    count = 0
    for frame in frames:
        if not count:
            video.width, video.height = _size(frame)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.pixels), format="rgb24")
        picture.pts, picture.time_base = count, 1 / frame_rate
        container.mux(video.encode(picture))
        count += 1
    container.mux(video.encode(None))
    return count


def _size(frame: Frame) -> tuple[int, int]:
    """Return width and height. Raises VideoError when a side is odd."""
    height, width, _ = frame.pixels.shape
    if height % 2 or width % 2:
        raise VideoError(f"the pictures are {width}x{height}; expected even sides for an MP4")
    return width, height


def _join(av: Any, container: Any, parts: Sequence[tuple[Path, int]], sound: Sound, frame_rate: Fraction) -> None:
    """Copy picture by picture, each followed by its share of the sound, so that the muxer holds nothing back."""
    video: Any = None
    track: Soundtrack | None = None
    for packet in _packets(av, parts, frame_rate):
        if video is None or track is None:
            video = container.add_stream_from_template(packet.stream)
            track = Soundtrack(av, container, sound)
        packet.stream = video
        until = Fraction(packet.pts * packet.time_base) + 1 / frame_rate
        container.mux(packet)
        track.write(until)
    if track is not None:
        track.finish()


def _packets(av: Any, parts: Sequence[tuple[Path, int]], frame_rate: Fraction) -> Iterator[Any]:
    """Yield the packets of all parts, with the times that they have in the film."""
    before = 0  # frames
    for path, count in parts:
        with av.open(path) as part:
            stream = part.streams.video[0]
            shift = round(before / frame_rate / stream.time_base)
            for packet in part.demux(stream):
                if packet.dts is not None:  # the last one is empty
                    packet.pts += shift
                    packet.dts += shift
                    yield packet
        before += count
