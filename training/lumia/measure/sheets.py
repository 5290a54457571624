"""Contact sheets: what the bundle paints for every concept, as it is heard in a voice never trained on.

    python -m clavilux.training.lumia.measure.sheets runtime/bundles/lumia --work DIR --out SHEET.webp

Every concept is on the sheet, failures included; a name in red is a picture in which the judge
(`clavilux.training.lumia.models.judge`) does not find its concept among its first five guesses.
"""

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import DECODER, DENOISER
from clavilux.runtime.diffusion.noise_spectrum import coloured
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.output.light_numbers import Numbers, lit
from clavilux.runtime.playing.render import light_of
from clavilux.training.command_line import command
from clavilux.training.features import windows
from clavilux.training.lumia.data.clips import LabelledClip, of_engine, read_clips
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.data.light import random_numbers
from clavilux.training.lumia.measure import evaluate
from clavilux.training.lumia.measure.conditions import WHOLE
from clavilux.training.lumia.models import judge

JUDGE = "judge"  # folder in the work folder
SHEET_VOICE = "hibari"  # held out as a whole engine
COLUMNS = 19
TILE = 88  # pixels of a picture
LABEL = 13  # pixels of the line below it
PAPER, INK, WRONG = (8, 7, 16), (200, 200, 210), (255, 96, 96)
ONE_STEP = np.array([[999.0, 0.0, 1.0, 1.0, 0.0, 0.0]], np.float32)  # coefficients: the output is the picture's latents
Paint = Callable[[NDArray[np.float32], int, Numbers], NDArray[np.uint8]]


def pipeline(bundle: Path) -> Paint:
    """Return a function of tokens [N, D], a seed and a light [9] that paints one picture [H, W, 3] in one step."""
    denoiser, decoder = (evaluate.graph(bundle, name) for name in (DENOISER, DECODER))
    opened = Bundle.open(bundle)
    known, size = opened.conditioning, opened.latents

    def paint(tokens: NDArray[np.float32], seed: int, light: Numbers) -> NDArray[np.uint8]:
        dice = np.random.default_rng(seed)
        noise = dice.standard_normal([1, size.channels, size.height, size.width]).astype(np.float32)
        prompt = np.concatenate([known.bos[None], tokens])[None]
        if known.light is not None:
            prompt, noise = lit(prompt, light, known.light), coloured(noise, light)
        feed = {"sample": noise, "noise": noise, "tokens": prompt, "coefficients": ONE_STEP}
        picture: NDArray[np.uint8] = decoder.run(None, {"latents": denoiser.run(None, feed)[0]})[0][0]
        return picture

    return paint


def painted_clips(bundle: Path, clips: Sequence[LabelledClip]) -> NDArray[np.uint8]:
    """Return what the bundle paints for each clip heard whole, in the light of its brightest moment: [n, H, W, 3]."""
    encode, paint = evaluate.bundle_encoder(bundle), pipeline(bundle)
    tokens = [encode(windows(clip.sound, [WHOLE])).numpy()[0] for clip in clips]
    lights = [light_of(clip.sound) for clip in clips]
    return np.stack([paint(one, seed, light) for seed, (one, light) in enumerate(zip(tokens, lights, strict=True))])


def painted_names(bundle: Path) -> NDArray[np.uint8]:
    """Return what the bundle paints for each concept's own tokens, each in some light: [K, H, W, 3]."""
    paint, concepts = pipeline(bundle), evaluate.concept_table(bundle).numpy()
    lights = random_numbers(len(concepts), torch.Generator().manual_seed(0)).numpy()
    return np.stack([paint(tokens, seed, lights[seed]) for seed, tokens in enumerate(concepts)])


def sheet(pictures: NDArray[np.uint8], names: Sequence[str], wrong: Collection[int] = ()) -> Image.Image:
    """Return pictures [n, H, W, 3] in rows with their names below."""
    rows = -(-len(pictures) // COLUMNS)
    paper = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + LABEL)), PAPER)
    pen = ImageDraw.Draw(paper)
    for i, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        corner = (i % COLUMNS * TILE, i // COLUMNS * (TILE + LABEL))
        paper.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.LANCZOS), corner)
        pen.text((corner[0] + 4, corner[1] + TILE), name, fill=WRONG if i in wrong else INK)
    return paper


def missed(critic: nn.Module, pictures: NDArray[np.uint8], names: Sequence[str]) -> list[int]:
    """Return the places of pictures [n, H, W, 3] in which a judge does not find the concept they should show."""
    return judge.failures(critic, *judged(pictures, names))


def judged(pictures: NDArray[np.uint8], names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return pictures [n, H, W, 3] as a judge takes them, and the concepts they should show, [n] int64."""
    concepts = torch.tensor([NAMES.index(name) for name in names])
    return judge.seen(torch.from_numpy(pictures).permute(0, 3, 1, 2)), concepts


def main() -> None:
    """Draw the sheet of a bundle."""
    parser = evaluate.measuring_parser("Draw what a bundle paints for every concept in a held-out voice.")
    parser.add_argument("--out", type=evaluate.picture_file, required=True, help="picture to write")
    options = parser.parse_args()
    Bundle.open(options.bundle)
    critic = judge.load(options.work / JUDGE)
    clips = of_engine(read_clips(options.work, "test"), SHEET_VOICE)
    if not clips:
        raise ClaviluxError(
            f"{options.work} has no clips of {SHEET_VOICE}; expected a set of clavilux.training.lumia.data.build"
        )
    pictures, names = painted_clips(options.bundle, clips), [clip.label for clip in clips]
    sheet(pictures, names, missed(critic, pictures, names)).save(options.out)
    print(options.out)


if __name__ == "__main__":
    sys.exit(command("sheets", main))
