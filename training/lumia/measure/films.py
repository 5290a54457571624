"""Three short films of the bundle at work: words, effects and recordings, music. All from sounds never trained on.

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
from clavilux.training.lumia.data import measuring_sets
from clavilux.training.lumia.data.clips import LabelledClip, of_engine, read_clips
from clavilux.training.lumia.measure.evaluate import measuring_parser
from clavilux.training.lumia.measure.sheets import PAPER

WORDS = (
    "owl", "castle", "rocket", "strawberry", "butterfly", "lion", "sailboat", "tulip", "penguin", "violin",
    "fire", "rainbow",
)  # fmt: skip
MUSIC = ("piano", "violin", "guitar", "flute", "trumpet", "drum", "bell", "church")
EFFECTS = ("dog", "cat", "thunder", "rain", "siren", "train", "bird", "sheep", "explosion", "applause")
SPACING = 1.4  # seconds from one word to the next
FRAME_RATE = Fraction(25)  # 1/s
PREVIEW_RATE, PREVIEW_SIDE, PREVIEW_SECONDS = 8, 192, 9.0
STRIP_FRAMES, STRIP_SIDE = 24, 96


def sequence(clips: Sequence[LabelledClip], names: Sequence[str], spacing: float = SPACING) -> NDArray[np.float32]:
    """Return mono samples at SAMPLE_RATE: a clip for each name that has one, one every `spacing` seconds."""
    chosen = [clip for name in names if (clip := next((one for one in clips if one.label == name), None)) is not None]
    step = int(spacing * SAMPLE_RATE)
    longest = max((len(clip.sound) for clip in chosen), default=0)
    whole = np.zeros(step * len(chosen) + longest, np.float32)
    for i, clip in enumerate(chosen):
        whole[i * step : i * step + len(clip.sound)] += clip.sound
    return whole


def scores(work: Path) -> dict[str, NDArray[np.float32]]:
    """Return the films' sounds by name."""
    test = read_clips(work, "test")
    real = measuring_sets.real_sounds(work)
    return {
        "words": sequence(of_engine(test, "hibari"), WORDS),
        "effects": sequence([*real, *of_engine(test, "effect")], EFFECTS, 2.2),
        "music": sequence(of_engine(test, "instrument", "drums"), MUSIC, 2.4),
    }


def film(bundle: Path, sound: Clip) -> list[Frame]:
    """Return the frames of playing a sound to the bundle."""
    return list(render_frames(open_instrument(bundle), sound, float(FRAME_RATE)))


def strip(frames: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """Return STRIP_FRAMES frames, evenly chosen, in rows of eight."""
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, STRIP_FRAMES).astype(int)]
    paper = Image.new("RGB", (8 * STRIP_SIDE, -(-STRIP_FRAMES // 8) * STRIP_SIDE), PAPER)
    for i, picture in enumerate(chosen):
        paper.paste(
            Image.fromarray(picture).resize((STRIP_SIDE, STRIP_SIDE)), (i % 8 * STRIP_SIDE, i // 8 * STRIP_SIDE)
        )
    return paper


def preview(frames: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """Write a small animated picture."""
    every = round(FRAME_RATE / PREVIEW_RATE)
    shown = frames[: int(PREVIEW_SECONDS * FRAME_RATE) : every]
    pictures = [
        Image.fromarray(frame).resize((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS) for frame in shown
    ]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=1000 // PREVIEW_RATE, loop=0, quality=70, method=6
    )


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
