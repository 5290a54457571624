"""Making of films: any length in bounded memory, stopped and gone on with, the same as in one go."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clavilux.runtime.errors import ClaviluxError, SoundError
from clavilux.runtime.frame import Frame
from clavilux.runtime.output.video import VideoError
from clavilux.runtime.playing import film, snapshot
from clavilux.runtime.playing.film import FilmPlan, make_film
from clavilux.runtime.playing.render import render_frames
from clavilux.runtime.sound.sound_file import Clip
from clavilux.runtime.sound.tape import survey
from tests.runtime.instruments import RATE, unplayed
from tests.runtime.sound.sounds import noise

FRAME_RATE = Fraction(5)
SECONDS = 4.5
SIDES = 64, 96  # pixels
CHOSEN = {"feedback": 0.3, "noise": "walk", "trails": 0.5, "gain": 12.0, "gain_follows": True}


class StopError(Exception):
    """Somebody stops a film."""


class Watched:
    """Counts the frames that pass, keeps them, and stops at one."""

    def __init__(self, stop: int | None = None) -> None:
        self.frames: list[Frame] = []
        self.told: tuple[int, int] | None = None
        self._stop = stop

    def __call__(self, frames: Iterator[Frame], before: int, total: int) -> Iterator[Frame]:
        self.told = before, total
        for frame in frames:
            if frame.sequence == self._stop:
                raise StopError
            self.frames.append(frame)
            yield frame


@pytest.fixture(autouse=True)
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "PART_SECONDS", 1)


def plan(bundle: Path, *, screen: tuple[int, int] | None = SIDES, seed: int = 0, **chosen: Any) -> FilmPlan:
    clip = Clip(noise(round(SECONDS * RATE), channels=1, seed=seed), RATE)
    instrument = unplayed(bundle)
    parameters = instrument.defaults.merge(CHOSEN | chosen, instrument.ranges)
    return FilmPlan(clip, survey(clip), FRAME_RATE, parameters, screen)


def decoded(path: Path) -> np.ndarray:
    with av.open(path) as video:
        return np.stack([picture.to_ndarray(format="rgb24") for picture in video.decode(video.streams.video[0])])


@pytest.mark.parametrize("screen", [SIDES, None])
def test_a_film_that_was_stopped_equals_one_that_was_not(
    tiny_bundle: Path, tmp_path: Path, screen: tuple[int, int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    whole, stopped = tmp_path / "whole.mp4", tmp_path / "stopped.mp4"
    once = Watched()
    make_film(whole, unplayed(tiny_bundle), plan(tiny_bundle, screen=screen), once)
    seen: dict[int, Frame] = {}
    for stop in (7, 8, 16, None):  # in the second part, in it again, in the fourth, and never
        watched = Watched(stop)
        if stop is None:
            make_film(stopped, unplayed(tiny_bundle), plan(tiny_bundle, screen=screen), watched)
        else:
            with pytest.raises(StopError):
                make_film(stopped, unplayed(tiny_bundle), plan(tiny_bundle, screen=screen), watched)
            assert not stopped.exists()
        seen |= {frame.sequence: frame for frame in watched.frames}
    assert watched.told == (15, 23)
    for frame in once.frames:
        np.testing.assert_array_equal(frame.pixels, seen[frame.sequence].pixels)
    difference = decoded(whole).astype(int) - decoded(stopped)
    assert np.abs(difference).mean() < 1  # of 255: x264 itself gives other bits now and then
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped.mp4", "whole.mp4"]
    assert "3.0 of 4.6 s are kept in" in caplog.text
    assert "going on after 3.0 s" in caplog.text


def test_a_film_has_each_frame_of_playing_the_sound_and_is_as_long(tiny_bundle: Path, tmp_path: Path) -> None:
    path, made = tmp_path / "film.mp4", plan(tiny_bundle, screen=None)
    watched = Watched()
    make_film(path, unplayed(tiny_bundle), made, watched)
    frames = list(render_frames(unplayed(tiny_bundle), made.sound, 5.0, made.parameters))
    assert watched.told == (0, len(frames))
    for one, other in zip(watched.frames, frames, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    shown = decoded(path)
    assert len(shown) == len(frames) == 23
    rough = [np.abs(one.astype(int) - other.pixels).mean() for one, other in zip(shown, frames, strict=True)]
    assert max(rough) < 25  # of 255: pictures of noise, compressed; out of order they differ by more
    with av.open(path) as video:
        picture, sound = video.streams.video[0], video.streams.audio[0]
        assert picture.average_rate == FRAME_RATE
        assert float(picture.duration * picture.time_base) == pytest.approx(23 / 5)
        assert float(sound.duration * sound.time_base) == pytest.approx(SECONDS, abs=1 / 5)
        times = [packet.pts * packet.time_base for packet in video.demux(picture) if packet.pts is not None]
    assert sorted(times) == [Fraction(index, 5) for index in range(23)]


def test_a_film_that_is_stopped_in_its_first_part_leaves_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle), Watched(3))
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_is_stopped_while_it_is_joined_paints_nothing_again(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise StopError

    path = tmp_path / "film.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(film, "write_film", stop)
        with pytest.raises(StopError):
            make_film(path, unplayed(tiny_bundle), plan(tiny_bundle), Watched())
    watched = Watched()
    make_film(path, unplayed(tiny_bundle), plan(tiny_bundle), watched)
    assert watched.frames == []
    assert len(decoded(path)) == 23


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"glow": 0.5}, {"screen": (64, 64)}], ids=lambda other: next(iter(other))
)
def test_another_film_does_not_go_on_from_these_parts(tiny_bundle: Path, tmp_path: Path, other: dict[str, Any]) -> None:
    with pytest.raises(StopError):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle), Watched(7))
    with pytest.raises(ClaviluxError, match=r"holds parts of a film with another sound, bundle or settings"):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle, **other), Watched())
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4.parts"]


def test_parts_of_other_versions_or_another_provider_are_of_another_film(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument, made = unplayed(tiny_bundle), plan(tiny_bundle)
    keys = [made.key(instrument)]
    with monkeypatch.context() as patch:
        patch.setattr(film, "__version__", "0.0.1")
        keys.append(made.key(instrument))
    with monkeypatch.context() as patch:
        patch.setattr(av, "__version__", "0.0.1")
        keys.append(made.key(instrument))
    with monkeypatch.context() as patch:
        patch.setattr(type(instrument.models), "provider", "another")
        keys.append(made.key(instrument))
    assert len({str(key) for key in keys}) == 4
    assert made.key(instrument) == keys[0]


def test_a_state_that_does_not_fit_says_what_to_delete_and_touches_nothing(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(snapshot, "take", lambda *_: b"a state of long ago")
    with pytest.raises(StopError):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle), Watched(7))
    before = sorted(tmp_path.rglob("*"))
    caplog.clear()
    wanted = r"film.mp4.parts .*does not fit .*; delete the folder to begin film.mp4 anew, or choose another name$"
    with pytest.raises(ClaviluxError, match=wanted):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle), Watched())
    assert sorted(tmp_path.rglob("*")) == before
    assert caplog.messages == []


class Shrunk(Clip):
    """A sound of which less comes than did at first."""

    def blocks(self) -> Iterator[np.ndarray]:
        yield self.samples[: round(self.left * RATE)]

    left = SECONDS  # s


@pytest.mark.parametrize("left", [0.5, 1.0, 3.1])
def test_a_sound_that_has_become_shorter_ends_its_film(tiny_bundle: Path, tmp_path: Path, left: float) -> None:
    made = plan(tiny_bundle, screen=None)
    shrunk = Shrunk(made.sound.samples, RATE, "song.wav")
    object.__setattr__(shrunk, "left", left)
    with pytest.raises(SoundError, match=r"^song.wav has become shorter while it was read; expected 4.6 s and found"):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), replace(made, sound=shrunk), Watched())


def test_where_no_state_can_be_kept_that_is_said_and_the_film_is_made(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> bytes:
        raise snapshot.SnapshotError("the state of this device cannot be kept (it is on a card)")

    monkeypatch.setattr(snapshot, "take", refuse)
    with pytest.raises(StopError):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle), Watched(12))
    assert list(tmp_path.iterdir()) == []
    make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle), Watched())
    assert len(decoded(tmp_path / "film.mp4")) == 23
    line = "the state of this device cannot be kept (it is on a card); a film that is stopped will begin anew"
    assert caplog.messages == [line, line]


def test_pictures_with_an_odd_side_leave_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="the pictures are 65x64; expected even sides"):
        make_film(tmp_path / "film.mp4", unplayed(tiny_bundle), plan(tiny_bundle, screen=(64, 65)), Watched())
    assert list(tmp_path.iterdir()) == []
