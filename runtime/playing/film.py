"""Making of a film: frames of a sound as a screen shows them, part by part, then joined with the sound.

What was made of a film that is stopped stays, and the same film goes on from there: the same pictures as if it had
never been stopped. What is read and held does not grow with the sound's length.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

from clavilux import __version__
from clavilux.runtime.bundle.bundle import MANIFEST
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.errors import ClaviluxError, SoundError
from clavilux.runtime.files import describe_file
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.output.film import Film, filmed
from clavilux.runtime.output.video import pyav, write_film, write_part
from clavilux.runtime.playing import snapshot
from clavilux.runtime.playing.parts import Parts, claimed
from clavilux.runtime.playing.render import frames_in, render_frames
from clavilux.runtime.sound.sound_file import Sound
from clavilux.runtime.sound.tape import Survey

log = logging.getLogger("clavilux.film")

PART_SECONDS = 5  # of film in a part
Watch = Callable[[Iterator[Frame], int, int], Iterator[Frame]]  # frames, how many there are before them, and in all


@dataclass(frozen=True)
class FilmPlan:
    """All that decides a film, beside the instrument that plays it."""

    sound: Sound
    survey: Survey  # of that sound
    frame_rate: Fraction  # 1/s
    parameters: Parameters
    screen: tuple[int, int] | None  # height and width in pixels; None: the pictures alone
    device: str = "cpu"  # as it was asked for; another one may paint another picture

    @property
    def frames(self) -> int:
        """How many there are."""
        return frames_in(self.survey.samples, self.sound.rate, float(self.frame_rate))

    def seconds(self, frames: int) -> float:
        """Return how long so many frames last."""
        return float(frames / self.frame_rate)

    def key(self, instrument: Instrument) -> dict[str, object]:
        """Return what parts of this film are known by, plain data. Raises VideoError when PyAV is missing."""
        return {
            "sound": self.survey.sha256,
            "bundle": describe_file(instrument.bundle.folder / MANIFEST).sha256,
            "frame_rate": str(self.frame_rate),
            "parameters": self.parameters.values(),
            "screen": self.screen and list(self.screen),
            "device": self.device,
            "provider": instrument.models.provider,
            "versions": {"clavilux": __version__, "av": pyav().__version__},
            "part_seconds": PART_SECONDS,
        }


def make_film(path: Path, instrument: Instrument, plan: FilmPlan, watch: Watch) -> None:
    """Make a film, `path`, an MP4, on an instrument that nothing has been played on; or go on with it.

    `watch` is given all frames on their way. Raises VideoError, SoundError, ProviderError, and ClaviluxError when a
    file cannot be written, the parts beside `path` are of another film, or another process makes it.
    """
    with claimed(path):
        _make_film(path, instrument, plan, watch)


def _make_film(path: Path, instrument: Instrument, plan: FilmPlan, watch: Watch) -> None:
    parts = Parts(path, plan.key(instrument))
    instrument, screen = _begun(parts, instrument, plan)
    try:
        _make_parts(parts, instrument, screen, plan, watch)
        write_film(path, parts.paths, plan.sound, plan.frame_rate)
    except BaseException:
        if parts.are_kept:
            done, whole = plan.seconds(parts.frames), plan.seconds(plan.frames)
            told = "%s: %.1f of %.1f s are kept in %s; the same command goes on from there"
            log.warning(told, path, done, whole, parts.folder)
        else:
            parts.remove()
        raise
    parts.remove()


def _begun(parts: Parts, instrument: Instrument, plan: FilmPlan) -> snapshot.State:
    """Return instrument and screen as they are after the parts that are there. Raises ClaviluxError."""
    if not 0 < parts.frames < plan.frames:
        return instrument, None if plan.screen is None else Film(*plan.screen)
    try:
        begun = snapshot.restore(parts.state(), instrument)
    except (OSError, snapshot.SnapshotError) as error:
        raise ClaviluxError(f"{parts.folder} cannot be gone on from: {error}; {parts.todo}") from error
    log.warning("going on after %.1f s", plan.seconds(parts.frames))
    return begun


def _make_parts(parts: Parts, instrument: Instrument, screen: Film | None, plan: FilmPlan, watch: Watch) -> None:
    first = parts.frames
    rate = float(plan.frame_rate)
    frames = render_frames(instrument, plan.sound, rate, plan.parameters, first=first)
    frames = _all(frames, first, plan)
    shown = frames if screen is None else filmed(frames, screen)
    watched = watch(shown, first, plan.frames)
    length = max(1, round(PART_SECONDS * plan.frame_rate))
    can_be_kept = True
    while parts.frames < plan.frames:
        count = write_part(parts.next_path(), islice(watched, length), plan.frame_rate)
        state = None
        if can_be_kept:
            try:
                state = snapshot.take(instrument, screen)
            except snapshot.SnapshotError as error:
                can_be_kept = False
                log.warning("%s; a film that is stopped will begin anew", error)
        parts.add(count, state)


def _all(frames: Iterator[Frame], first: int, plan: FilmPlan) -> Iterator[Frame]:
    """Yield `frames` from number `first` on. Raises SoundError where there are fewer than the survey promised."""
    made = first
    for frame in frames:
        yield frame
        made += 1
    if made < plan.frames:
        found, wanted = plan.seconds(made), plan.seconds(plan.frames)
        raise SoundError(
            f"{plan.sound.name} has become shorter while it was read; "
            f"expected {wanted:.1f} s and found {found:.1f} s; leave it as it is until its film is made"
        )
