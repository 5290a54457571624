"""Light of the bundle, measured: whether what is painted while a sound plays follows what can be measured in it.

    python -m clavilux.training.lumia.measure.light runtime/bundles/lumia --work DIR --wall WALL.webp

Sounds never trained on, instruments, keys and noises, are played to the bundle at different levels; of each its last
picture is looked at by a reader (`clavilux.training.lumia.models.light_reader`) that knows painted light alone. What it
reads is compared with the numbers that the sound itself gave. The whole instrument plays: a sound that it takes for a
thing shows that thing, and is read all the same. The wall shows some of these pictures, wide, in order of pitch from
the left and of brightness from below.
"""

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import ResNetForImageClassification

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.output.light_numbers import LightNumbers, Numbers
from clavilux.runtime.playing.render import render_frames
from clavilux.runtime.pulse import PULSE_RATE
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Clip
from clavilux.training.command_line import command
from clavilux.training.lumia.data.clips import LabelledClip, of_engine, read_clips
from clavilux.training.lumia.measure.evaluate import measuring_parser, picture_file
from clavilux.training.lumia.models import light_reader
from clavilux.training.lumia.models.light_reader import HUE, Reading

KINDS = ("instrument", "drums", "effect", "music", "noise", "tone", "singing")  # of sounds that are measured with
LEVELS = (-36.0, 0.0)  # dB, how much a sound is quietened
SHORTEST = 0.5  # s of a sound that says enough
FRAME_RATE = 8.0  # 1/s, of playing them
SQUARE: Mapping[str, int] = {}
WIDE: Mapping[str, int] = {"height": 256, "width": 448}
COLUMNS, ROWS, TILE = 8, 6, (224, 128)  # of the wall; pixels


@dataclass(frozen=True)
class LightFindings:
    """How light follows sound."""

    painted: Reading  # of the reader itself, on painted light that it has not seen, through the autoencoder
    shown: Reading  # of the bundle's pictures


def told(samples: Samples) -> Numbers:
    """Return the numbers at the end of a sound at 16 kHz, float32 [9], as a bundle is told them while it plays."""
    light = LightNumbers()
    numbers = light.advance([], 0.0)
    for pulse in PulseTracker().push(samples):
        numbers = light.advance([pulse], 1 / PULSE_RATE)
    return numbers


def held_out_sounds(clips: Sequence[LabelledClip], seed: int) -> list[Samples]:
    """Return the sounds to measure with, each at a level of its own."""
    dice = random.Random(f"light {seed}")
    chosen = [clip.sound for clip in of_engine(clips, *KINDS) if len(clip.sound) >= SHORTEST * SAMPLE_RATE]
    return [sound * np.float32(10 ** (dice.uniform(*LEVELS) / 20)) for sound in chosen]


def shown(bundle: Path, sounds: Sequence[Samples], size: Mapping[str, int] = SQUARE) -> NDArray[np.uint8]:
    """Return the last picture of playing each sound to the bundle, under noise of its own: uint8 [n, H, W, 3]."""
    first = open_instrument(bundle)
    each = enumerate(sounds)
    return np.stack([_last(Instrument(first.bundle, first.models), one, {"seed": i, **size}) for i, one in each])


def _last(instrument: Instrument, sound: Samples, values: Mapping[str, int]) -> NDArray[np.uint8]:
    known = {name: value for name, value in values.items() if name in instrument.ranges}
    parameters = instrument.defaults.merge(known, instrument.ranges)
    *_, last = render_frames(instrument, Clip(sound[:, None], SAMPLE_RATE), FRAME_RATE, parameters)
    return last.pixels


def wall(bundle: Path, sounds: Sequence[Samples]) -> Image.Image:
    """Return wide pictures of COLUMNS x ROWS sounds, evenly chosen: higher ones to the right, brighter ones above."""
    numbers = [told(sound) for sound in sounds]
    place, fineness = (LIGHT_NUMBERS.index(name) for name in ("place", "fineness"))
    order = sorted(range(len(sounds)), key=lambda i: float(numbers[i][place]))
    order = [order[i] for i in np.linspace(0, len(order) - 1, COLUMNS * ROWS).astype(int)]
    chosen = [
        i
        for start in range(0, len(order), ROWS)
        for i in sorted(order[start : start + ROWS], key=lambda i: -float(numbers[i][fineness]))
    ]
    pictures = shown(bundle, [sounds[i] for i in chosen], WIDE)
    paper = Image.new("RGB", (COLUMNS * TILE[0], ROWS * TILE[1]))
    for i, picture in enumerate(pictures):
        tile = Image.fromarray(picture).resize(TILE, Image.Resampling.LANCZOS)
        paper.paste(tile, (i // ROWS * TILE[0], i % ROWS * TILE[1]))
    return paper


def measure(bundle: Path, work: Path) -> LightFindings:
    """Return how the bundle's light follows sounds that `clavilux.training.lumia.data.build` held out in `work`.

    Raises ClaviluxError where there are none, or the bundle paints no light.
    """
    if not Bundle.open(bundle).light:
        raise ClaviluxError(f"{bundle} paints no light; measure a bundle that does")
    if not (work / "reader" / "config.json").is_file() or not (work / "reader.json").is_file():
        raise ClaviluxError(f"{work} has no reader of light; expected a folder of clavilux.training.lumia.make")
    reader = ResNetForImageClassification.from_pretrained(work / "reader", local_files_only=True).eval()
    painted = Reading(**json.loads((work / "reader.json").read_text()))
    sounds = held_out_sounds(read_clips(work, "test"), 0)
    if not sounds:
        raise ClaviluxError(f"{work} has no sounds to test with; expected a set of clavilux.training.lumia.data.build")
    return LightFindings(painted, compared(reader, shown(bundle, sounds), [told(sound) for sound in sounds]))


def compared(reader: Any, pictures: NDArray[np.uint8], numbers: Sequence[Numbers]) -> Reading:
    """Return how what is read in pictures [n, H, H, 3] follows the numbers that they were made of."""
    found = light_reader.read(reader, torch.from_numpy(pictures).permute(0, 3, 1, 2))
    return light_reader.reading(found, torch.from_numpy(np.stack(numbers)))


def table_of(findings: LightFindings) -> str:
    """Return the figures as Markdown."""
    said = {
        HUE: "pitch class: hue (by angle, where there is colour)",
        "place": "pitch height: place",
        "fineness": "brightness: fineness of the folds",
        "turbulence": "noisiness: turbulence and sparks",
        "sheets": "density of onsets: number of forms",
        "symmetry": "harmonicity: symmetry",
        "extent": "loudness: extent",
        "light": "loudness: light",
    }
    shown, painted = findings.shown, findings.painted
    counts = f"in {shown.pictures} of its pictures | in {painted.pictures} painted ones, through the autoencoder"
    head = f"| what is heard: what is seen | {counts} |"
    rows = []
    for name, text in said.items():
        figures = (f"{one.correlations[name]:.2f}" for one in (shown, painted))
        rows.append(f"| {text} | {' | '.join(figures)} |")
    return "\n".join([head, "|---|---|---|", *rows])


def main() -> None:
    """Print the figures of a bundle."""
    parser = measuring_parser("How a bundle's light follows sounds never trained on.")
    parser.add_argument("--wall", type=picture_file, metavar="FILE", help="picture to draw of some of it")
    options = parser.parse_args()
    print(table_of(measure(options.bundle, options.work)))
    if options.wall:
        wall(options.bundle, held_out_sounds(read_clips(options.work, "test"), 0)).save(options.wall)


if __name__ == "__main__":
    sys.exit(command("light", main))
