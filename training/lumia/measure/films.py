"""Three short films of the bundle at work: words over music, recordings, music. All from sounds never trained on.

    python -m clavilux.training.lumia.measure.films runtime/bundles/lumia --work DIR --out FOLDER

Writes words.mp4, effects.mp4 and music.mp4 with sound, and of each a strip of frames (.png) and an animated picture
(.webp).
"""

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.frame import Frame
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.output.video import write_video
from clavilux.runtime.playing.render import render_frames
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.sound_file import Clip
from clavilux.training.command_line import command
from clavilux.training.lumia.measure.evaluate import measuring_parser
from clavilux.training.lumia.measure.scores import scores
from clavilux.training.lumia.measure.sheets import PAPER

FRAME_RATE = Fraction(25)  # 1/s
WIDE = {"height": 256, "width": 448}  # pixels, where the bundle can
PREVIEW_RATE, PREVIEW_HEIGHT, PREVIEW_SECONDS = 8, 192, 9.0
STRIP_FRAMES, STRIP_COLUMNS, STRIP_HEIGHT = 24, 6, 96


def film(bundle: Path, sound: Clip) -> list[Frame]:
    """Return the frames of playing a sound to the bundle, wide ones where it can."""
    instrument = open_instrument(bundle)
    parameters = instrument.defaults.merge(WIDE if instrument.bundle.sizes else {}, instrument.ranges)
    return list(render_frames(instrument, sound, float(FRAME_RATE), parameters))


def strip(frames: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """Return STRIP_FRAMES frames, evenly chosen, in rows."""
    chosen = [_of_height(frames[i], STRIP_HEIGHT) for i in np.linspace(0, len(frames) - 1, STRIP_FRAMES).astype(int)]
    width = chosen[0].width
    paper = Image.new("RGB", (STRIP_COLUMNS * width, -(-STRIP_FRAMES // STRIP_COLUMNS) * STRIP_HEIGHT), PAPER)
    for i, picture in enumerate(chosen):
        paper.paste(picture, (i % STRIP_COLUMNS * width, i // STRIP_COLUMNS * STRIP_HEIGHT))
    return paper


def preview(frames: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Write a small animated picture."""
    every = round(FRAME_RATE / PREVIEW_RATE)
    shown = frames[: int(PREVIEW_SECONDS * FRAME_RATE) : every]
    pictures = [_of_height(frame, PREVIEW_HEIGHT) for frame in shown]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=1000 // PREVIEW_RATE, loop=0, quality=70, method=6
    )


def _of_height(picture: NDArray[np.uint8], height: int) -> Image.Image:
    width = round(picture.shape[1] * height / picture.shape[0])
    return Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)


def main() -> None:
    """Render the films."""
    parser = measuring_parser("Render three short films of a bundle at work.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    Bundle.open(options.bundle)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, samples in scores(options.work).items():
        if not len(samples):
            raise ClaviluxError(
                f"{options.work} has no clips for {name}; expected a set of clavilux.training.lumia.data.build"
            )
        sound = Clip(samples[:, None], SAMPLE_RATE)
        frames = film(options.bundle, sound)
        write_video(options.out / f"{name}.mp4", frames, sound, FRAME_RATE)
        pictures = [frame.pixels for frame in frames]
        strip(pictures).save(options.out / f"{name}.png")
        preview(pictures, options.out / f"{name}.webp")
        print(options.out / f"{name}.mp4")


if __name__ == "__main__":
    sys.exit(command("films", main))
