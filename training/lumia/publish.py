"""From trained parts to the published bundle: export, measurement, contact sheets and model card.

Assumes the folder that `clavilux.training.lumia.make` filled. Every figure in the card is measured here, on the
exported bundle.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import ResNetForImageClassification

from clavilux.export.build import export_bundle
from clavilux.export.checkpoints.load import Sources
from clavilux.export.options import Options
from clavilux.runtime.bundle.manifest import EvidenceSpec, Source
from clavilux.training.command_line import LOG
from clavilux.training.features import WINDOW_SAMPLES
from clavilux.training.lumia.data.build import asked_credits
from clavilux.training.lumia.data.clips import MANIFEST, of_engine, read_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.measure import evaluate, sheets
from clavilux.training.lumia.models import judge
from clavilux.training.lumia.phases import Duration

HOP_SAMPLES = 1600  # 0.1 s between two looks at the window
LICENCE = "Apache-2.0"
PICTURE = 256  # pixels
REVISION = "clavilux.training.lumia.make"
PARTS = ("encoder", "text_encoder", "unet", "vae")
SHEET_QUALITY = 80
LINE = 116  # characters of a line of the card


@dataclass(frozen=True)
class Findings:
    """Everything that is measured about a bundle."""

    hearing: evaluate.Evaluation
    own: judge.Accuracy  # of the judge, on paintings that it has not seen
    named: judge.Accuracy  # of pictures painted from the concepts' own tokens
    heard: judge.Accuracy  # of pictures painted from a held-out voice
    unseen: tuple[str, ...]  # concepts whose named picture the judge does not find


def publish(work: Path, out: Path, times: Mapping[str, Duration]) -> None:
    """Export the parts in `work`, measure the bundle, draw its sheets into `work` and write its card."""
    export(work, out)
    findings = measured(work, out)
    (work / "findings.json").write_text(json.dumps(asdict(findings), indent=1))
    LOG.info("measured\n%s\n%s", evaluate.table_of(findings.hearing), pictures_table(findings))
    (out / "README.md").write_text(card(findings, times, asked_credits(work / MANIFEST)))


def export(work: Path, out: Path) -> None:
    """Write the bundle, replacing one that is there."""
    sources = Sources(
        encoder=work / "encoder",
        unet=work / "unet",
        scheduler=work / "scheduler",
        vae=work / "vae",
        text_encoder=work / "text_encoder",
        tokenizer=work / "tokenizer",
        conditioning=work / "conditioning.safetensors",
    )
    options = Options(
        name="lumia",
        licence=LICENCE,
        window_samples=WINDOW_SAMPLES,
        hop_samples=HOP_SAMPLES,
        lead_in="silence",
        picture=(PICTURE, PICTURE),
        concepts=NAMES,
        evidence=EvidenceSpec(),  # the defaults are lumia's own, tuned on voices and sounds of other seeds
        sources=tuple(Source(name, "trained from scratch", REVISION, LICENCE) for name in PARTS),
        overwrite=True,
    )
    export_bundle(sources, out, options, LOG.info)


def measured(work: Path, out: Path) -> Findings:
    """Return what the bundle hears and shows; the contact sheets go to work/named.webp and work/heard.webp."""
    critic = ResNetForImageClassification.from_pretrained(work / "judge").eval()
    own = judge.Accuracy(**json.loads((work / "judge.json").read_text()))
    clips = of_engine(read_clips(work, "test"), sheets.SHEET_VOICE)
    labels = [clip.label for clip in clips]
    named, missed = _judged(critic, sheets.painted_names(out), NAMES, work / "named.webp")
    heard, _ = _judged(critic, sheets.painted_clips(out, clips), labels, work / "heard.webp")
    return Findings(evaluate.measure(out, work), own, named, heard, tuple(NAMES[i] for i in missed))


def _judged(
    critic: nn.Module, pictures: NDArray[np.uint8], names: Sequence[str], path: Path
) -> tuple[judge.Accuracy, list[int]]:
    """Return the verdict on pictures [n, H, W, 3] and the places of failures, and draw the sheet."""
    seen = judge.seen(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    concepts = torch.tensor([NAMES.index(name) for name in names])
    missed = judge.failures(critic, seen, concepts)
    sheets.sheet(pictures, names, missed).save(path, quality=SHEET_QUALITY)
    return judge.accuracy(critic, seen, concepts), missed


def pictures_table(findings: Findings) -> str:
    """Return what the judge found as Markdown."""
    rows = [
        ("the emoji themselves, painted and changed anew: the judge's own accuracy", findings.own),
        ("the bundle's picture of each concept's own tokens", findings.named),
        (f"the bundle's picture of each word, heard in {sheets.SHEET_VOICE}'s voice", findings.heard),
    ]
    head = ["| pictures judged | how many | first guess right | among five |", "|---|---|---|---|"]
    return "\n".join(
        [
            *head,
            *(f"| {what} | {one.pictures} | {100 * one.first:.1f} % | {100 * one.fifth:.1f} % |" for what, one in rows),
        ]
    )


def card(findings: Findings, times: Mapping[str, Duration], credits: Sequence[str]) -> str:
    """Return the model card."""
    phases = "\n".join(f"| {name} | {one.wall / 60:.0f} | {one.processor / 60:.0f} |" for name, one in times.items())
    filled = {
        "concepts": "\n".join(_categories()),
        "count": str(len(NAMES)),
        "hearing": evaluate.table_of(findings.hearing),
        "pictures": pictures_table(findings),
        "unseen": fill(", ".join(findings.unseen) or "none", width=LINE),
        "phases": phases,
        "hours": f"{sum(one.processor for one in times.values()) / 3600:.1f}",
        "credits": "\n".join(f"  * {line}" for line in credits),
    }
    text = CARD
    for key, value in filled.items():
        text = text.replace(f"@{key}@", value)
    return text


def _categories() -> list[str]:
    """Return a line or more for each category, with its concepts."""
    kinds = dict.fromkeys(concept.category for concept in CONCEPTS)
    return [
        fill(
            f"* **{kind}**: " + ", ".join(one.name for one in CONCEPTS if one.category == kind),
            LINE,
            subsequent_indent="  ",
        )
        for kind in kinds
    ]


CARD = """# lumia, the default bundle

Say one of @count@ things and it appears; many of them can also be played or barked:

@concepts@

Pictures are one-step diffusion, 256 x 256 pixels. What it does not know, and silence, drift to coloured light.

## Parts
All trained from scratch by `python -m clavilux.training.lumia.make --work DIR --out runtime/bundles/lumia`, all
standard classes of transformers and diffusers. Licence: Apache-2.0.

* `Wav2Vec2BertModel`, 4 layers, 192 wide, with the reference's two-layer adapter: a 2 s window becomes 25
  tokens of 144.
* `CLIPTextModel`, 2 layers, 144 wide, with a `CLIPTokenizer` of its own: names, synonyms, two of them mixed. The
  encoder of sounds was aligned with it; the instrument itself takes no typed words yet.
* `UNet2DConditionModel`, 17 million parameters at 16 x 16 latents; it predicts clean latents.
* `AutoencoderTiny`, which enlarges 16-fold.

## What it hears
Retrieval among all @count@ concepts. Clips are compared whole unless said otherwise. No voice, recording or key in
the table was trained on: hibari is a whole engine held out together with the Kokoro voice it was distilled from;
people's words and other recordings come from Debian's ktuberling-data, tuxpaint-stamps-default and gcompris-qt-data,
which are used for measuring only (what they say goes by their file names and texts).
`python -m clavilux.training.lumia.measure.evaluate runtime/bundles/lumia --work DIR` prints this:

@hearing@

## What it shows
A small classifier, trained on the emoji painted afresh, turned, moved, blurred, tinted and noisy, says which of all
concepts a picture shows. It has never seen a generated picture.

@pictures@

Not among its first five guesses, when painted from their own tokens: @unseen@.
`docs/lumia.webp` shows every concept as it is painted for a voice never trained on; names in red are those that the
classifier does not find.

## Training
@hours@ processor hours: every stage below, over its processes. Stages overlapped, on two cores shared with other work.

| stage | wall, min | processor, min |
|---|---|---|
@phases@

## Data
* Pictures: Fluent Emoji by Microsoft (MIT), npm `@lobehub/fluent-emoji-3d` 1.1.0, on a painted ground.
* Speech: flite (CMU), espeak-ng, Kokoro-82M (Apache-2.0), hibari (Apache-2.0, measuring only).
* Instruments and effects: FluidR3 GM and GS sound fonts (MIT) through fluidsynth; samples of Sonic Pi (CC0).
* Recordings from OpenSFX, CC0 or CC-BY 3.0, cut, resampled and mixed with noise for training. Their credits:
@credits@

## Limits
* English words. Training voices are synthetic; the row of people's words says how far that carries.
* A kind of sound has few recordings to learn from: the rows of sounds say how far that carries, instruments are
  mistaken for each other, and a sound whose kind was never trained shows something else.
* Words that it does not know may show the nearest one that it knows.
* Pictures are shapes and colours of an icon, not photographs; fine parts are soft.
"""
