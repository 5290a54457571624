"""From trained parts to the published bundle: export, measurement, model card and contact sheet.

Assumes the folder that `training.lumia` filled. Every figure in the card is measured here, on the exported bundle.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

from export.build import Options, Sources, export_bundle
from runtime.manifest import Source
from training import evaluate, sounds
from training.clips import ClipBank, load_bank
from training.concepts import NAMES
from training.features import WINDOW_SAMPLES, windows
from training.stages import LOG, Times

HOP_SAMPLES = 1600  # 0.1 s between two looks at the window
LICENCE = "Apache-2.0"
SHEET_VOICES = "hibari/"  # held out as a whole engine
SHEET_COLUMNS = 7
TILE = 160  # pixels of a picture on the contact sheet
PICTURE = 256  # pixels
ONE_STEP = np.array([[999.0, 0.0, 1.0, 1.0, 0.0, 0.0]], np.float32)  # coefficients: the output is the picture's latents
REVISION = "training.lumia"
LINE = 116  # characters of a line of the card


def publish(work: Path, out: Path, times: Mapping[str, Times]) -> None:
    """Export the parts in `work`, measure the bundle and write its card; the contact sheet goes to work/sheet.png."""
    export(work, out)
    scores = evaluate.measure(out, work)
    LOG.info("measured\n%s", evaluate.table_of(scores))
    contact_sheet(out, load_bank(work / "speech_held_out.safetensors").only(SHEET_VOICES), work / "sheet.png")
    (out / "README.md").write_text(card(scores, times, sounds.credits()))


def export(work: Path, out: Path) -> None:
    """Write the bundle, replacing one that is there."""
    sources = Sources(
        encoder=work / "encoder",
        unet=work / "unet",
        scheduler=work / "scheduler",
        vae=work / "vae",
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
        sources=tuple(Source(name, "trained from scratch", REVISION, LICENCE) for name in ("encoder", "unet", "vae")),
        overwrite=True,
    )
    export_bundle(sources, out, options, LOG.info)


def contact_sheet(bundle: Path, bank: ClipBank, path: Path) -> None:
    """Draw what the bundle shows, in one step, for each clip; the caption says what was said."""
    encode = evaluate.bundle_encoder(bundle)
    denoiser, decoder = (ort.InferenceSession(str(bundle / f"{name}.onnx")) for name in ("denoiser", "decoder"))
    begin = load_file(bundle / "conditioning.safetensors")["bos"]
    noise = np.random.default_rng(0).standard_normal([1, *denoiser.get_inputs()[0].shape[1:]]).astype(np.float32)
    rows = -(-len(bank) // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * TILE, rows * (TILE + 16)))
    for i, (sound, label) in enumerate(zip(bank.sounds, bank.labels, strict=True)):
        tokens = encode(windows(sound, [evaluate.WHOLE])).numpy()
        prompt = np.concatenate([begin[None, None], tokens], axis=1)
        feed = {"sample": noise, "noise": noise, "tokens": prompt, "coefficients": ONE_STEP}
        picture = decoder.run(None, {"latents": denoiser.run(None, feed)[0]})[0][0]
        corner = (i % SHEET_COLUMNS * TILE, i // SHEET_COLUMNS * (TILE + 16))
        sheet.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.LANCZOS), corner)
        ImageDraw.Draw(sheet).text((corner[0] + 4, corner[1] + TILE + 2), label)
    sheet.save(path)


def card(scores: Sequence[evaluate.Score], times: Mapping[str, Times], credits: Sequence[str]) -> str:
    """Return the model card."""
    stages = "\n".join(f"| {name} | {one.wall:.0f} | {one.processor:.0f} |" for name, one in times.items())
    trained = sum(one.processor for name, one in times.items() if name != "measuring_clips")
    text = CARD.replace("@scores@", evaluate.table_of(scores)).replace("@stages@", stages)
    text = text.replace("@minutes@", f"{trained / 120:.0f}").replace("@concepts@", fill(", ".join(NAMES), width=LINE))
    return text.replace("@credits@", "\n".join(f"  * {line}" for line in credits))


CARD = """# lumia, the default bundle

Hears these, spoken as English words and many of them as sounds:
@concepts@.

Shows them as one-step diffusion pictures of 256 x 256 pixels. Silence and what it does not know drift to coloured
light. A first, rough bundle, small enough for two processor cores.

## Parts
A Wav2Vec2-BERT of 4 layers, 144 wide, with a two-layer adapter (a 2 s window becomes 25 tokens); a UNet of 11 million
parameters at 16 x 16 latents that predicts clean latents; an AutoencoderTiny that enlarges 16-fold. All trained from
scratch by `python -m training.lumia --work DIR --out runtime/bundles/lumia`. Licence: Apache-2.0.

## What it hears
Nearest of the concepts by mean cosine over the tokens; "A word." in clean silence unless said otherwise. None of the
voices below was trained on; hibari is a whole engine held out together with the Kokoro voice it was distilled from. All
voices are synthetic: figures for people's voices do not exist yet. This prints the table:
`python -m training.evaluate runtime/bundles/lumia --work DIR`.

@scores@

## Training time
@minutes@ minutes on two cores: processor seconds of all stages but the measuring clips, over two. Stages overlapped, on
a machine shared with other work.

| stage | wall, s | processor, s |
|---|---|---|
@stages@

## Data
* Pictures: Fluent Emoji by Microsoft (MIT), npm `@lobehub/fluent-emoji-3d` 1.1.0, on a painted ground.
* Speech: flite (CMU), espeak-ng, Kokoro-82M (Apache-2.0). Measured on further voices of theirs and on hibari
  (Apache-2.0).
* Instruments and effects: FluidR3 GM and GS sound fonts (MIT) through fluidsynth; samples of Sonic Pi (CC0).
* Recordings from OpenSFX, CC0 or CC-BY 3.0, cut, resampled and mixed with noise for training. Their credits:
@credits@

## Limits
* English words in synthetic voices only; people's voices are unmeasured.
* It understands words far better than sounds: instruments are mistaken for each other, and a recording has one take, so
  that row is measured on altered copies of what was trained on.
* Words that it does not know may show the nearest one that it knows; two words inside one window blend or compete.
* Pictures are shapes and colours: small things such as eyes are missing, and a cow resembles a drum (docs/lumia.png
  shows what this bundle draws for a voice never trained on).
"""
