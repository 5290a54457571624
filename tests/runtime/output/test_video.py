"""Films: every picture and the whole sound in one MP4, or one line that says why not."""

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.frame import Frame
from clavilux.runtime.output.video import VideoError, write_video
from clavilux.runtime.sound.sound_file import Clip
from tests.runtime.sound.sounds import noise

RATE = 16_000


def frames(count: int, size: tuple[int, int] = (64, 48)) -> list[Frame]:
    """Return pictures that grow brighter, one by one."""
    return [
        Frame(index, np.full((*size, 3), 10 * index, np.uint8), index / 10, None, -120.0, None)
        for index in range(count)
    ]


def clip(seconds: float, channels: int = 1, rate: int = RATE) -> Clip:
    return Clip(noise(round(seconds * rate), channels=channels), rate)


@pytest.mark.parametrize(("channels", "rate"), [(1, 16_000), (2, 44_100), (3, 48_000), (1, 192_000)])
def test_a_film_holds_every_picture_and_the_whole_sound(tmp_path: Path, channels: int, rate: int) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, frames(10), clip(1.0, channels, rate), Fraction(10))
    with av.open(path) as film:
        video, audio = film.streams.video[0], film.streams.audio[0]
        assert video.duration * video.time_base == 1
        assert float(audio.duration * audio.time_base) == pytest.approx(1.0, abs=0.1)
        assert audio.codec_context.channels == min(2, channels)
        brightness = [picture.to_ndarray(format="rgb24").mean() for picture in film.decode(video)]
    np.testing.assert_allclose(brightness, np.arange(10) * 10, atol=3)


def test_a_film_of_a_clip_without_sound_left_is_still_a_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, frames(20), clip(0.5), Fraction(10))
    with av.open(path) as film:
        assert sum(1 for _ in film.decode(film.streams.video[0])) == 20


def test_pictures_with_an_odd_side_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="the pictures are 47x64; expected even sides"):
        write_video(tmp_path / "film.mp4", frames(1, (64, 47)), clip(0.1), Fraction(10))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_film_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Frame]:
        yield from frames(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "film.mp4", interrupted(), clip(1.0), Fraction(10))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClaviluxError, match=r"film\.mp4 cannot be written"):
        write_video(tmp_path / "nowhere" / "film.mp4", frames(1), clip(0.1), Fraction(10))


def test_without_pyav_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=r"pip install 'clavilux\[video\]'"):
        write_video(tmp_path / "film.mp4", frames(1), clip(0.1), Fraction(10))
