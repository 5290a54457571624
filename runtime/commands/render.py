"""`clavilux render CLIP OUT`: one picture of a clip (the reference's own job), or the film that playing it gives."""

import argparse
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from clavilux.runtime.commands.options import add_model_options, parameters_from
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.runtime.frame import Frame
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.output.film import filmed
from clavilux.runtime.output.video import write_video
from clavilux.runtime.playing.render import frames_in, render_frames, render_picture
from clavilux.runtime.sound.sound_file import read_clip

PICTURES = (".png",)
FILMS = (".mp4",)
OF_FILMS = ("frame_rate", "screen")  # options that a picture has no use for
FRAME_RATE = Fraction(30)  # 1/s
FRAME_RATES = (1, 120)  # 1/s
SCREEN = (720, 1280)  # pixels, height and width
SCREEN_SIDES = (64, 4096)  # pixels

EXAMPLES = """\
examples:
  clavilux render bark.wav bark.png                  the picture of the clip
  clavilux render song.mp3 song.mp4                  the clip with its pictures and its sound
  clavilux render song.flac song.mp4 --frame-rate 60 --set glide=1.5 --set seed=3
  clavilux render song.flac song.mp4 --screen 1920x1080     as a projector of that size shows it
  clavilux render song.flac song.mp4 --screen none          the pictures alone, as the bundle makes them
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("clip", type=Path, metavar="CLIP", help="a sound file: WAV, FLAC, OGG, MP3")
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
    clip = read_clip(arguments.clip)
    instrument = open_instrument(arguments.bundle, device=arguments.device, threads=arguments.threads)
    parameters = instrument.defaults.merge(chosen, instrument.ranges)
    unseen = [name for name in chosen if instrument.ranges[name].on == "screen"]
    if unseen and screen is None:
        told = f"{' and '.join(unseen)} act on the screen"
        raise ClaviluxError(f"{told}, and {arguments.out.name} has none; expected a film with a screen")
    if suffix in FILMS:
        rate = of_film.get("frame_rate", FRAME_RATE)
        frames = render_frames(instrument, clip, float(rate), parameters)
        if screen is not None:
            frames = filmed(frames, *screen)
        total = frames_in(clip, float(rate))
        write_video(arguments.out, _with_progress(frames, total, arguments.out.name), clip, rate)
    else:
        picture = Image.fromarray(render_picture(instrument, clip, parameters))
        with written_whole(arguments.out) as part:
            picture.save(part, "PNG")
    print(arguments.out)
    return 0


def screen_size(text: str) -> tuple[int, int] | None:
    """Return height and width of the screen in `text`, "1280x720" or "none". Raises ClaviluxError."""
    if text == "none":
        return None
    low, high = SCREEN_SIDES
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    width, height = (int(side) for side in found.groups()) if found else (0, 0)
    if not (low <= width <= high and low <= height <= high) or width % 2 or height % 2:
        raise ClaviluxError(f"the screen is {text}; expected WIDTHxHEIGHT, even numbers from {low} to {high}, or none")
    return height, width


def frame_rate(text: str) -> Fraction:
    """Return the frame rate in `text`, a number or a ratio such as 30000/1001. Raises ClaviluxError."""
    low, high = FRAME_RATES
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not low <= rate <= high:
        raise ClaviluxError(f"the frame rate is {text}; expected {low} to {high} per second")
    return rate


def _check_target(out: Path, suffix: str) -> None:
    if suffix not in PICTURES + FILMS:
        raise ClaviluxError(f"{out} ends in {suffix or 'nothing'!r}; expected {', '.join(PICTURES + FILMS)}")
    if not out.parent.is_dir():
        raise ClaviluxError(f"the folder {out.parent} is missing; expected one that {out.name} can go into")
    if out.is_dir():
        raise ClaviluxError(f"{out} is a folder; expected the name of a file")


def _with_progress(frames: Iterator[Frame], total: int, name: str) -> Iterator[Frame]:
    """Yield `frames` under a bar that appears with the first one, so that an error before it stands alone."""
    yield from tqdm(frames, total=total, unit="frame", desc=name)
