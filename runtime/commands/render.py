"""`clavilux render CLIP OUT`: one picture of a clip (the reference's own job), or the film that playing it gives."""

import argparse
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from clavilux.runtime.commands.interruption import Interruption
from clavilux.runtime.commands.options import add_model_options, parameters_from
from clavilux.runtime.commands.printable import Aside, one_line, printable
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.output.video import pyav
from clavilux.runtime.playing.film import FilmPlan, make_film
from clavilux.runtime.playing.render import render_picture
from clavilux.runtime.sound.sound_file import READ, READ_BY_PYAV, SoundFile, open_sound
from clavilux.runtime.sound.tape import survey

PICTURES = (".png",)
FILMS = (".mp4",)
OF_FILMS = ("frame_rate", "screen")  # options that a picture has no use for
FRAME_RATE = Fraction(30)  # 1/s
FRAME_RATES = (1, 120)  # 1/s
RATE = re.compile(r"[0-9]{1,10}(\.[0-9]{0,10}|/[0-9]{1,10})?")  # no powers of ten: 1e9999999 has ten million digits
SCREEN = (720, 1280)  # pixels, height and width
SCREEN_SIDES = (64, 4096)  # pixels

TAKEN = f"{READ}; with the extra video also {READ_BY_PYAV}"

EXAMPLES = """\
examples:
  clavilux render bark.wav bark.png                  the picture of the clip
  clavilux render song.mp3 song.mp4                  the clip with its pictures and its sound
  clavilux render song.flac song.mp4 --frame-rate 60 --set glide=1.5 --set seed=3
  clavilux render song.flac song.mp4 --screen 1920x1080     as a projector of that size shows it
  clavilux render song.flac song.mp4 --screen none          the pictures alone, as the bundle makes them
  ffmpeg -i talk.mkv -f flac - | clavilux render - talk.mp4

A film that was stopped goes on where it was: give the same command again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("clip", type=Path, metavar="CLIP", help=f"a sound file, or - for standard input: {TAKEN}")
    parser.add_argument("out", type=Path, metavar="OUT", help="a .png picture or a .mp4 film")
    film = argparse.SUPPRESS  # what was not asked for is not there, so that a picture can refuse what was
    parser.add_argument("--frame-rate", type=frame_rate, default=film, metavar="N", help="of a film, 1/s (30)")
    parser.add_argument(
        "--screen",
        type=screen_size,
        default=film,
        metavar="WxH",
        help="of a film: the screen it is seen on, with light and effects, in pixels, even numbers from 64 to 4096; "
        "none: pictures alone (1280x720)",
    )
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Render, and say where the result lies."""
    suffix = arguments.out.suffix.lower()
    _check_target(arguments.out, suffix)
    of_film = {name: value for name, value in vars(arguments).items() if name in OF_FILMS}
    if suffix in PICTURES and of_film:
        told = " and ".join(f"--{name.replace('_', '-')}" for name in of_film)
        raise ClaviluxError(
            f"{arguments.out.name} is a picture and has no {told}; expected {FILMS[0]}, or none of that"
        )
    screen = of_film.get("screen", SCREEN) if suffix in FILMS else None
    chosen = parameters_from(arguments.set)
    if suffix in FILMS:
        pyav()
    with Interruption() as interruption, open_sound(arguments.clip) as sound:
        _check_apart(arguments.clip, arguments.out)
        if suffix in FILMS:
            measured = survey(sound)
        instrument = open_instrument(arguments.bundle, device=arguments.device, threads=arguments.threads)
        parameters = _parameters(instrument, chosen, arguments.out if screen is None else None)
        if suffix in FILMS:
            rate = of_film.get("frame_rate", FRAME_RATE)
            plan = FilmPlan(sound, measured, rate, parameters, screen, arguments.device)
            make_film(arguments.out, instrument, plan, Progress(arguments.out.name, interruption))
        else:
            _save_picture(arguments.out, instrument, sound, parameters, interruption)
    print(printable(one_line(str(arguments.out))))
    return 0


def screen_size(text: str) -> tuple[int, int] | None:
    """Return height and width of the screen in `text`, "1280x720" or "none". Raises ClaviluxError."""
    if text == "none":
        return None
    low, high = SCREEN_SIDES
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    width, height = (int(side) for side in found.groups()) if found else (0, 0)
    if not (low <= width <= high and low <= height <= high) or width % 2 or height % 2:
        raise ClaviluxError(f"the screen is {text}; expected WIDTHxHEIGHT, even numbers from {low} to {high}, or none")
    return height, width


def frame_rate(text: str) -> Fraction:
    """Return the frame rate in `text`, a number or a ratio such as 30000/1001. Raises ClaviluxError."""
    low, high = FRAME_RATES
    try:
        rate = Fraction(text if RATE.fullmatch(text) else 0)
    except ZeroDivisionError:
        rate = Fraction(0)
    if not low <= rate <= high:
        raise ClaviluxError(f"the frame rate is {text}; expected {low} to {high} per second")
    return rate


def _check_target(out: Path, suffix: str) -> None:
    if suffix not in PICTURES + FILMS:
        found = f"ends in {suffix!r}" if suffix else "has no ending"
        raise ClaviluxError(f"{out} {found}; expected {', '.join(PICTURES + FILMS)}")
    try:
        if not out.parent.is_dir():
            raise ClaviluxError(f"the folder {out.parent} is missing; expected one that {out.name} can go into")
        if out.is_dir():
            raise ClaviluxError(f"{out} is a folder; expected the name of a file")
    except OSError as error:
        raise ClaviluxError(f"{out} cannot be written ({error.strerror}); choose another place") from error


def _check_apart(clip: Path, out: Path) -> None:
    """Raise ClaviluxError when the result would take its source's place."""
    try:
        same = clip.samefile(out)
    except OSError:  # one of them is not there
        return
    if same:
        raise ClaviluxError(f"{out} is the clip itself; expected another name for the result")


def _parameters(instrument: Instrument, chosen: dict[str, Any], without_screen: Path | None) -> Parameters:
    """Return the parameters to render with. Raises ParameterError, and ClaviluxError for what would not be seen."""
    parameters = instrument.defaults.merge(chosen, instrument.ranges)
    unseen = [name for name in chosen if instrument.ranges[name].on == "screen"]
    if unseen and without_screen is not None:
        told = f"{' and '.join(unseen)} {'act' if len(unseen) > 1 else 'acts'} on the screen"
        raise ClaviluxError(f"{told}, and {without_screen.name} has none; expected a film with a screen")
    return parameters


def _save_picture(
    out: Path, instrument: Instrument, sound: SoundFile, parameters: Parameters, interruption: Interruption
) -> None:
    picture = Image.fromarray(render_picture(instrument, sound, parameters))
    with written_whole(out) as part:
        picture.save(part, "PNG")
        interruption.check()


class Progress:
    """A bar under frames on their way, which appears with the first one, so that an error before it stands alone."""

    def __init__(self, name: str, interruption: Interruption) -> None:
        """Show `name` beside the bar; end where an interruption was lost."""
        self._name = name
        self._interruption = interruption
        self._aside = Aside()

    def __call__(self, frames: Iterator[Frame], before: int, total: int) -> Iterator[Frame]:
        """Yield `frames`, before which there are some of the `total`."""
        bar = {"initial": before, "total": total, "desc": self._name, "file": self._aside, "dynamic_ncols": True}
        for frame in tqdm(frames, unit="frame", **bar):
            self._interruption.check()
            yield frame
