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
from numpy.typing import NDArray
from torch import nn

from clavilux.export.build import export_bundle
from clavilux.export.checkpoints.load import Sources
from clavilux.export.options import Options
from clavilux.runtime.bundle.manifest import EvidenceSpec, Source
from clavilux.training.command_line import LOG
from clavilux.training.features import WINDOW_SAMPLES
from clavilux.training.lumia.data.build import asked_credits
from clavilux.training.lumia.data.clips import MANIFEST, of_engine, read_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.measure import evaluate, light, sheets, typed
from clavilux.training.lumia.measure.light import LightFindings
from clavilux.training.lumia.models import judge
from clavilux.training.lumia.models.bundled_ear import NOTE, SCRATCH
from clavilux.training.lumia.phases import Duration

HOP_SAMPLES = 1600  # 0.1 s between two looks at the window
LICENCE = "Apache-2.0"
PICTURE = 256  # pixels
SIZES = (256, 1024)  # smallest and largest side, pixels
REVISION = "clavilux.training.lumia.make"
ORIGINS = "origins.json"  # in the work folder, where parts were not trained from nothing
CALLED = {"encoder": "audio encoder", "text_encoder": "text encoder", "unet": "UNet", "vae": "autoencoder"}
PARTS = tuple(CALLED)
JUDGES = (sheets.JUDGE, "judge_second")
SHEET_QUALITY = 80
LINE = 116  # characters of a line of the card


@dataclass(frozen=True)
class Verdict:
    """Verdict of one judge on the bundle's pictures."""

    own: judge.Accuracy  # of the judge, on paintings that it has not seen
    named: judge.Accuracy  # of pictures painted from the concepts' own tokens
    heard: judge.Accuracy  # of pictures painted from a held-out voice


@dataclass(frozen=True)
class Findings:
    """Everything that is measured about a bundle."""

    hearing: evaluate.Evaluation
    verdicts: tuple[Verdict, ...]  # of each judge
    unseen: tuple[str, ...]  # concepts whose named picture the first judge does not find
    light: LightFindings
    typed: tuple[typed.Figure, ...]


def publish(work: Path, out: Path, times: Mapping[str, Duration]) -> None:
    """Export the parts in `work`, measure the bundle, draw its sheets into `work` and write its card."""
    export(work, out)
    findings = measured(work, out)
    (work / "findings.json").write_text(json.dumps(asdict(findings), indent=1))
    tables = (
        evaluate.table_of(findings.hearing),
        pictures_table(findings),
        light.table_of(findings.light),
        typed.table_of(findings.typed),
    )
    LOG.info("measured\n%s", "\n".join(tables))
    (out / "README.md").write_text(card(findings, times, asked_credits(work / MANIFEST), _origins(work)))


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
        sizes=SIZES,
        concepts=NAMES,
        evidence=EvidenceSpec(),  # the defaults are lumia's own
        sources=tuple(Source(name, _origins(work).get(name, SCRATCH), REVISION, LICENCE) for name in PARTS),
        overwrite=True,
    )
    export_bundle(sources, out, options, LOG.info)


def _origins(work: Path) -> dict[str, str]:
    """Return where each part's training began, for parts that did not begin from nothing."""
    begun, told = work / NOTE, work / ORIGINS
    origins: dict[str, str] = json.loads(told.read_text()) if told.exists() else {}
    if begun.exists() and begun.read_text() != SCRATCH:
        origins["encoder"] = begun.read_text()
    return origins


def _told(origins: Mapping[str, str]) -> str:
    """Return the origins in a sentence."""
    parts = [f"the {CALLED[part]} was {begun}" for part, begun in origins.items()]
    others = f"all {'others' if parts else 'parts'} were trained from scratch"
    sentence = "; ".join(parts if len(parts) == len(PARTS) else [*parts, others])
    return fill(f"{sentence[0].upper()}{sentence[1:]}.", LINE)


def measured(work: Path, out: Path) -> Findings:
    """Return what the bundle hears and shows; the contact sheets go to work/named.webp and work/heard.webp."""
    clips = of_engine(read_clips(work, "test"), sheets.SHEET_VOICE)
    named = _Shown(sheets.painted_names(out), NAMES)
    heard = _Shown(sheets.painted_clips(out, clips), tuple(clip.label for clip in clips))
    critics = [judge.load(work / name) for name in JUDGES]
    missed = named.drawn(critics[0], work / "named.webp")
    heard.drawn(critics[0], work / "heard.webp")
    own = (judge.Accuracy(**json.loads((work / f"{name}.json").read_text())) for name in JUDGES)
    verdicts = tuple(Verdict(one, named.judged(by), heard.judged(by)) for one, by in zip(own, critics, strict=True))
    unseen = tuple(NAMES[i] for i in missed)
    read = tuple(typed.measure(out))
    return Findings(evaluate.measure(out, work), verdicts, unseen, light.measure(out, work), read)


@dataclass(frozen=True, eq=False)
class _Shown:
    """Pictures [n, H, W, 3], and the concept that each should show."""

    pictures: NDArray[np.uint8]
    names: Sequence[str]

    def judged(self, critic: nn.Module) -> judge.Accuracy:
        """Return how often a judge finds what they should show."""
        return judge.accuracy(critic, *sheets.judged(self.pictures, self.names))

    def drawn(self, critic: nn.Module, path: Path) -> list[int]:
        """Draw the sheet, failures in red, and return their places."""
        missed = sheets.missed(critic, self.pictures, self.names)
        sheets.sheet(self.pictures, self.names, missed).save(path, quality=SHEET_QUALITY)
        return missed


def pictures_table(findings: Findings) -> str:
    """Return what the judges found as Markdown."""
    said = {
        "own": "the emoji themselves, painted and changed anew: the judge's own accuracy",
        "named": "the bundle's picture of each concept's own tokens",
        "heard": f"the bundle's picture of each word, heard in {sheets.SHEET_VOICE}'s voice",
    }
    head = [
        "| pictures judged | how many | first guess right | among five | second judge | among five |",
        "|---" * 6 + "|",
    ]
    rows = []
    for name, what in said.items():
        found: list[judge.Accuracy] = [getattr(verdict, name) for verdict in findings.verdicts]
        shares = (f"{100 * share:.1f} %" for one in found for share in (one.first, one.fifth))
        rows.append(f"| {what} | {found[0].pictures} | {' | '.join(shares)} |")
    return "\n".join([*head, *rows])


def card(
    findings: Findings, times: Mapping[str, Duration], credits: Sequence[str], origins: Mapping[str, str] | None = None
) -> str:
    """Return the model card; `origins` say where the training of each part began that did not begin from nothing."""
    phases = "\n".join(f"| {name} | {one.wall / 60:.0f} | {one.processor / 60:.0f} |" for name, one in times.items())
    filled = {
        "concepts": "\n".join(_categories()),
        "count": str(len(NAMES)),
        "origins": _told(origins or {}),
        "hearing": evaluate.table_of(findings.hearing),
        "pictures": pictures_table(findings),
        "light": light.table_of(findings.light),
        "typed": typed.table_of(findings.typed),
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

Whatever else sounds becomes light: veils, caustics, rosettes and sparks that are told by pitch, brightness, noisiness,
onsets, harmonicity and loudness which colour, place, fineness, turbulence, number, symmetry and extent they should
have; how far each can be seen stands below. Things stand in that same light.

Pictures are one-step diffusion, 256 x 256 pixels, or wide (256 x 448) and larger by `height` and `width`.

## Parts
All trained by `python -m clavilux.training.lumia.make --work DIR --out runtime/bundles/lumia`, all standard classes of
transformers and diffusers. Licence: Apache-2.0.

@origins@

* `Wav2Vec2BertModel`, 4 layers, 192 wide, with the reference's two-layer adapter: a 2 s window becomes 25
  tokens of 144.
* `CLIPTextModel`, 2 layers, 144 wide, with a `CLIPTokenizer` of its own: names, synonyms, two of them mixed, and words
  for light ("a dog in warm soft light"). The encoder of sounds was aligned with it; the instrument itself takes no
  typed words yet.
* Nine directions of the tokens' space, at right angles to all names, for the light: what is measured in the sound is
  added along them.
* `UNet2DConditionModel`, 13 million parameters at 16 x 16 latents; it predicts clean latents, from noise of the scale
  that the light's fineness and turbulence ask for, and as much its own mirror image as the light is symmetric.
* `AutoencoderTiny`, which enlarges 16-fold; its last layer makes blocks of 2 x 2 pixels, which are put in their places.
  A critic of pictures ended its training.

## What it hears
Retrieval among all @count@ concepts. Clips are compared whole unless said otherwise. No voice or recording in the table
was trained on, nor any instrument alone in such a key: hibari is a whole engine held out together with the Kokoro
voice it was distilled from; people's words and other recordings come from Debian's ktuberling-data,
tuxpaint-stamps-default and gcompris-qt-data, which are used for measuring only (what they say goes by their file names
and texts).
`python -m clavilux.training.lumia.measure.evaluate runtime/bundles/lumia --work DIR` prints this:

@hearing@

## What it reads
Captions given to the text encoder, which is its own graph in the bundle.
`python -m clavilux.training.lumia.measure.typed runtime/bundles/lumia` prints this:

@typed@

## What it shows
A small classifier, trained on the emoji painted afresh, turned, moved, blurred, tinted and noisy, says which of all
concepts a picture shows; a second one has another architecture and was trained on other changes. Neither has seen a
generated picture.

@pictures@

Not among its first five guesses, when painted from their own tokens: @unseen@.
`docs/lumia.webp` shows every concept as it is painted for a voice never trained on; names in red are those that the
classifier does not find.

How light follows sound: correlation by rank between what is measured in a sound and what a small network, trained on
painted light, also as the autoencoder shows it, reads in the picture. Sounds are instruments, keys and noises never
trained on, each at a level of its own within 36 dB.
`python -m clavilux.training.lumia.measure.light runtime/bundles/lumia --work DIR` prints this:

@light@

## Training
@hours@ processor hours: every stage below, over its processes. Stages overlapped, on two cores shared with
other work; those of no time were taken over.

| stage | wall, min | processor, min |
|---|---|---|
@phases@

## Data
* Pictures: Fluent Emoji by Microsoft (MIT), npm `@lobehub/fluent-emoji-3d` 1.1.0, in light of our own renderer.
* Speech: flite and festival (CMU and Edinburgh, permissive), espeak-ng, SVOX Pico and Kokoro-82M (Apache-2.0). For
  measuring only: hibari (Apache-2.0), festival's hidden Markov model (CMU), Piper's voice joe (CC0). Kokoro learnt from
  recordings of Koniwa, `tnc` (CC-BY 3.0), and SIWIS (CC-BY 4.0), among others, says its model card.
* Instruments and effects: FluidR3 GM and GS sound fonts (MIT) through fluidsynth; samples of Sonic Pi (CC0).
* Recordings from OpenSFX, CC0 or CC-BY 3.0, cut, resampled and mixed with noise for training. Their credits:
@credits@

## Limits
* English words. Training voices are synthetic; the row of people's words says how far that carries.
* A kind of sound has few recordings to learn from, most are synthesised: the rows of sounds say how far that carries,
  and instruments are mistaken for each other.
* Words that it does not know may show the nearest one that it knows.
* Pictures are shapes and colours of an icon, not photographs; fine parts are soft.
"""
