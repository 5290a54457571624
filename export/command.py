"""`clavilux export`: checkpoints in Hugging Face format become a bundle, and a table proves that it equals them."""

import argparse
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.parity import table
from runtime.errors import ExportError
from runtime.manifest import LEAD_INS, SAMPLE_RATE, SCHEDULES, STORAGES

if TYPE_CHECKING:
    from export.build import Options, Sources

SPACINGS = ("trailing", "leading")
PARTS = ("unet", "scheduler", "vae")

EXAMPLES = """\
examples:
  clavilux export my-bundle --encoder my/encoder --diffusion stabilityai/sd-turbo
  clavilux export my-bundle --encoder my/encoder --diffusion my/pipeline --size 256 --no-text
  clavilux export my-bundle --encoder my/encoder --unet my/unet --scheduler my/scheduler --vae madebyollin/taesd \\
      --conditioning my/conditioning.safetensors --name evening --licence CC-BY-4.0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write the bundle to")
    parser.add_argument("--name", help="what the bundle is called (default: the folder's name)")
    parser.add_argument("--licence", default="unspecified", help="under which others may use it (unspecified)")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    _add_checkpoints(parser.add_argument_group("checkpoints, each a folder or a hub name (owner/repository/subfolder)"))
    _add_shape(parser.add_argument_group("shape"))


def _add_checkpoints(group: argparse._ArgumentGroup) -> None:
    where = "FOLDER|NAME"
    group.add_argument("--encoder", required=True, metavar=where, help="Wav2Vec2-BERT with an adapter")
    group.add_argument("--diffusion", metavar=where, help="diffusers pipeline: unet, scheduler, vae and text encoder")
    group.add_argument("--unet", metavar=where, help="instead of the pipeline's")
    group.add_argument("--scheduler", metavar=where, help="instead of the pipeline's")
    group.add_argument("--vae", metavar=where, help="instead of the pipeline's")
    group.add_argument("--text-encoder", metavar=where, help="instead of the pipeline's; gives the BOS token")
    group.add_argument("--tokenizer", metavar=where, help="instead of the pipeline's")
    group.add_argument("--no-text", action="store_true", help="take BOS from the text encoder, but leave it out")
    group.add_argument("--conditioning", metavar="FILE", help="safetensors with bos, negative, idle, token_mean, ...")


def _add_shape(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--size", type=_size, default=(512, 512), metavar="H[xW]", help="of the pictures, pixels (512)")
    group.add_argument("--window", type=_samples, default=60_000, metavar="S", help="seconds it listens to (3.75)")
    group.add_argument("--hop", type=_samples, default=3200, metavar="S", help="seconds between two listenings (0.2)")
    group.add_argument("--lead-in", choices=LEAD_INS, default=LEAD_INS[0], help="what it met before a sound (nothing)")
    group.add_argument("--schedule", choices=SCHEDULES, help="instead of the scheduler's own kind")
    group.add_argument("--spacing", choices=SPACINGS, help="instead of the scheduler's own timesteps")
    group.add_argument("--storage", choices=STORAGES, default="float16", help="type of the stored weights (float16)")
    group.add_argument(
        "--concepts", type=_names, default=(), metavar="A,B", help="names of the conditioning's concepts"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export, print the parity table and say where the bundle lies."""
    try:
        from export.build import export_bundle
    except ModuleNotFoundError as error:
        raise ExportError(f"{error.name} is not installed; run: pip install 'clavilux[export]'") from error
    began = time.monotonic()

    def progress(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr)

    bundle = export_bundle(sources_from(arguments), arguments.out, options_from(arguments), progress)
    print(table(bundle.parity))
    print(bundle.folder)
    return 0


def sources_from(arguments: argparse.Namespace) -> "Sources":
    """Return the checkpoints that the arguments name; parts that are named alone replace the pipeline's.

    Raises ExportError when a part is named by neither.
    """
    from export.checkpoints import Sources

    named = {key: getattr(arguments, key) for key in (*PARTS, "text_encoder", "tokenizer")}
    named = {key: where for key, where in named.items() if where is not None}
    if arguments.diffusion is not None:
        sources = Sources.from_pipeline(arguments.encoder, arguments.diffusion)
        sources = replace(sources, **named)
    elif missing := [part for part in PARTS if part not in named]:
        raise ExportError(f"no --{missing[0]}; give --diffusion, or all of --{', --'.join(PARTS)}")
    else:
        sources = Sources(encoder=arguments.encoder, **named)
    tokenizer = None if arguments.no_text else sources.tokenizer
    return replace(sources, tokenizer=tokenizer, conditioning=arguments.conditioning)


def options_from(arguments: argparse.Namespace) -> "Options":
    """Return the options that the arguments choose."""
    from export.plan import Options

    return Options(
        name=arguments.name or arguments.out.resolve().name,
        licence=arguments.licence,
        window_samples=arguments.window,
        hop_samples=arguments.hop,
        lead_in=arguments.lead_in,
        picture=arguments.size,
        storage=arguments.storage,
        schedule=arguments.schedule,
        spacing=arguments.spacing,
        concepts=arguments.concepts,
        overwrite=arguments.overwrite,
    )


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected for example 512, or 384x640 (height x width)")
    height = int(found[1])
    return height, int(found[2] or height)


def _samples(text: str) -> int:
    try:
        return round(float(text) * SAMPLE_RATE)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected seconds, for example 3.75") from error


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
