"""The next lumia from a published one: all parts are read back from its graphs, and its pictures go on learning.

    python -m clavilux.training.lumia.go_on OLD --work DIR
    python -m clavilux.training.lumia.make --work DIR --out BUNDLE

The first line fills a new DIR as if `make` had trained it up to the UNet's polish, in 10 minutes; the second goes on.
Audio encoder, text encoder and the names' tokens stay as they are. An autoencoder's encoder is in no bundle, so a new
one learns, 2,000 steps, what the decoder shows. For when the renderer of light, or what its numbers mean, has changed.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from clavilux.runtime.bundle.bundle import CONDITIONING, Bundle
from clavilux.runtime.errors import ClaviluxError
from clavilux.training.command_line import command, start_log
from clavilux.training.lumia import make, publish
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.models import autoencoder, bundled_parts, encoder, unet, words
from clavilux.training.lumia.models.bundled_ear import of_bundle
from clavilux.training.lumia.phases import PhaseRunner, done_record

GRAPHS = {
    "encoder": "audio_encoder.onnx",
    "text_encoder": "text_encoder.onnx",
    "unet": "denoiser.onnx",
    "vae": "decoder.onnx",
}
SCALING = 0.37  # of the twin's latents: no other number in its graph
UNSHOWN = "encoder."  # of the autoencoder, what no bundle has
UNHEARD = "masked_spec_embed"  # of the audio encoder, what only training has
TAKEN = ("words", "ear", "practice", "maker")  # phases of `make` that the bundle stands for
STAY = ("encoder", "text_encoder")  # parts that learn nothing more


def go_on(old: Path, work: Path, config: make.LumiaConfig) -> None:
    """Fill the new folder `work` from the bundle `old`. Raises ClaviluxError when it is of another recipe."""
    opened, phases = Bundle.open(old), PhaseRunner(work)
    if not opened.light or opened.concepts != NAMES:
        raise ClaviluxError(f"{old} paints no light, or knows other names; expected a bundle of this recipe")
    if begun := [name for name in TAKEN if done_record(work, name).exists()]:
        raise ClaviluxError(f"{work} has finished {begun[0]} already; expected a new folder, to be filled from {old}")
    torch.manual_seed(make.SEED)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        parts = _read_back(old, Path(folder), work, config)
    for name, part in parts.items():
        for place in {"encoder": ("encoder_first", "encoder"), "unet": ("maker",)}.get(name, (name,)):
            part.save_pretrained(work / place)
    told = load_file(old / CONDITIONING)
    table = torch.cat([told["concepts"].float(), told["idle"][None, 1:].float()])
    save_file({"begin": told["bos"].float(), "table": table, "light": told["light"].float()}, work / make.TABLE)
    (work / publish.ORIGINS).write_text(json.dumps(_origins(old)))
    phases.run("pictures", lambda: make.pictures(work, config))
    phases.run("codec", lambda: _new_encoder(work, config))
    for name in TAKEN:  # last: until then the same command goes on
        phases.run(name, lambda: None)


def _read_back(old: Path, twin: Path, work: Path, config: make.LumiaConfig) -> dict[str, Any]:
    """Return the bundle's parts, by way of an untrained twin in the folder `twin`; tokenizer and schedule to `work`."""
    tokenizer = words.build_tokenizer(twin / "tokenizer")
    codec = autoencoder.build()
    codec.register_to_config(scaling_factor=SCALING)
    parts: dict[str, Any] = {
        "encoder": encoder.build(config.ear_width, config.width),
        "text_encoder": words.build(tokenizer, config.width, encoder.token_count() + 1),
        "unet": unet.build(config.width, config.channels),
        "vae": codec,
    }
    dice = torch.Generator().manual_seed(make.SEED)
    for name, part in parts.items():
        bundled_parts.make_unlike(part, dice)
        part.save_pretrained(twin / name)
    told = load_file(old / CONDITIONING)
    save_file({name: value.float() for name, value in told.items()}, twin / CONDITIONING)
    for folder in (twin, work):
        tokenizer.save_pretrained(folder / "tokenizer")
        unet.scheduler().save_pretrained(folder / "scheduler")
    publish.export(twin, twin / "bundle")
    for name, part in parts.items():
        kept = {"vae": UNSHOWN, "encoder": UNHEARD}.get(name, "")
        bundled_parts.take_over(part, GRAPHS[name], twin / "bundle", old, without=kept)
    codec.register_to_config(scaling_factor=bundled_parts.factor(GRAPHS["vae"], twin / "bundle", old, SCALING))
    return parts


def _new_encoder(work: Path, config: make.LumiaConfig) -> None:
    """Train the encoder of pictures that belongs to the bundle's decoder."""
    torch.manual_seed(make.SEED)
    codec = AutoencoderTiny.from_pretrained(work / "vae")
    codec.encoder.load_state_dict(autoencoder.build().encoder.state_dict())
    square = make.pictures(work, config)[0]
    autoencoder.fit_encoder(codec, square, config.codec_on, work / "codec.pt").save_pretrained(work / make.CODEC_FIRST)


def _origins(old: Path) -> dict[str, str]:
    """Return where each part comes from: the bundle's name, and some digits of the hash of its graph."""
    return {
        name: f"{'taken over' if name in STAY else 'trained on'} from {of_bundle(old, graph)}"
        for name, graph in GRAPHS.items()
    }


def main() -> int:
    """Read the command line and fill the folder; return the exit code."""
    parser = argparse.ArgumentParser(description="Read a published bundle back, for `make` to go on with its pictures.")
    parser.add_argument("old", type=Path, metavar="OLD", help="the bundle that is gone on from")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="a new folder, for `make` to go on in")
    options = parser.parse_args()
    start_log(options.work)
    go_on(options.old, options.work, make.LumiaConfig())
    return 0


if __name__ == "__main__":
    sys.exit(command("lumia", main))
