"""`clavilux export`: checkpoints in Hugging Face format become a bundle, and a table proves that it equals them."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clavilux.export.narration import Narration
from clavilux.export.options import LAYOUTS, SPACINGS, Options, Progress
from clavilux.runtime.bundle.manifest import (
    ARITHMETICS,
    GUIDANCES,
    LEAD_INS,
    MAX_STEPS,
    SCHEDULES,
    STORAGES,
    EvidenceSpec,
    GuidanceSpec,
)
from clavilux.runtime.errors import ExportError, ProviderError
from clavilux.runtime.placement.devices import DEVICES, check_device
from clavilux.runtime.sound.format import SAMPLE_RATE

if TYPE_CHECKING:
    from clavilux.export.checkpoints.load import Lora, Sources

PARTS = ("unet", "scheduler", "vae")
NOTHING_TO_COMPILE = "cpu"
PRECISIONS = {"fp16": "float16", "fp32": "float32"}
"""Other spellings of arithmetics."""

CLASSIC_SCALE = 7.5  # what diffusers' pipelines guide by, and so the reference

EXAMPLES = """\
examples:
  clavilux export my-bundle --encoder youzarsif/wav2vec2bert_2_diffusion --diffusion stabilityai/sd-turbo
  clavilux export my-bundle --encoder my/encoder --diffusion stabilityai/sd-turbo --vae madebyollin/taesd \\
      --precision float16 --device tensorrt-rtx                for a GPU: half the weights, engines for this card
  clavilux export my-bundle --encoder my/encoder --diffusion stabilityai/stable-diffusion-2-1 \\
      --steps 50 --guidance classic                            the pictures of the reference, 50 steps each
  clavilux export my-bundle --encoder my/encoder --diffusion sd15.safetensors --config my/sd15 \\
      --lora latent-consistency/lcm-lora-sdv1-5 --schedule lcm --steps 4
  clavilux export my-bundle --encoder my/encoder --diffusion my/pipeline --sizes 384-1024 --batch 4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write the bundle to")
    parser.add_argument("--name", help="what the bundle is called (default: the folder's name)")
    parser.add_argument("--licence", default="unspecified", help="under which others may use it (unspecified)")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and what it takes; make nothing")
    _add_checkpoints(parser.add_argument_group("checkpoints, each a folder or a hub name (owner/repository/subfolder)"))
    _add_shape(parser.add_argument_group("sound and picture"))
    _add_sampling(parser.add_argument_group("sampling"))
    _add_arithmetic(parser.add_argument_group("arithmetic, proof and what else is written"))


def _add_checkpoints(group: argparse._ArgumentGroup) -> None:
    where = "FOLDER|NAME"
    group.add_argument("--encoder", required=True, metavar=where, help="Wav2Vec2-BERT with an adapter")
    group.add_argument(
        "--diffusion", metavar=f"{where}|FILE", help="diffusers pipeline, or a single file: unet, scheduler, vae, text"
    )
    group.add_argument("--unet", metavar=f"{where}|FILE", help="instead of the pipeline's; may be optimum's ONNX")
    group.add_argument("--scheduler", metavar=where, help="instead of the pipeline's")
    group.add_argument("--vae", metavar=f"{where}|FILE", help="instead of the pipeline's")
    group.add_argument("--text-encoder", metavar=where, help="instead of the pipeline's; gives the BOS token")
    group.add_argument("--tokenizer", metavar=where, help="instead of the pipeline's")
    group.add_argument("--no-text", action="store_true", help="take BOS from the text encoder, but leave it out")
    group.add_argument("--conditioning", metavar="FILE", help="safetensors with bos, negative, idle, token_mean, ...")
    group.add_argument("--config", metavar=where, help="pipeline that a single file's configuration is taken from")
    group.add_argument(
        "--lora",
        action="append",
        default=[],
        type=_lora,
        metavar=f"{where}|FILE[:SCALE]",
        help="fused into the UNet; again for more",
    )
    group.add_argument("--allow-pickle", action="store_true", help="read weights that are not safetensors")
    group.add_argument(
        "--revision", metavar="NAME", help="branch, tag or commit of --diffusion; for other hub names owner/name@NAME"
    )
    group.add_argument("--variant", default="", metavar="NAME", help="of weights, such as fp16, where there are such")


def _add_shape(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--size", type=_size, metavar="H[xW]", help="of the pictures, pixels (as the unet was trained)")
    group.add_argument("--sizes", type=_sizes, metavar="LOW-HIGH", help="sides that can be chosen while it plays")
    group.add_argument("--batch", type=_count, default=1, metavar="N", help="pictures at once, at most (1)")
    group.add_argument("--window", type=_samples, metavar="S", help="seconds it listens to (as trained, or 3.75)")
    group.add_argument("--hop", type=_samples, default=3200, metavar="S", help="seconds between two listenings (0.2)")
    group.add_argument("--lead-in", choices=LEAD_INS, help="what it met before a sound (as trained, or nothing)")
    group.add_argument(
        "--concepts", type=_names, default=(), metavar="A,B", help="names of the conditioning's concepts"
    )
    group.add_argument(
        "--evidence",
        type=_evidence,
        metavar="S,H",
        help="similarity from which a short sound, and one that goes on, is a concept, 0 to 1 (measured)",
    )


def _add_sampling(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--schedule", choices=SCHEDULES, help="instead of the scheduler's own kind")
    group.add_argument("--spacing", choices=SPACINGS, help="instead of the scheduler's own timesteps")
    group.add_argument("--steps", type=_count, default=1, metavar="N", help="to begin with, and at most (1; 4 always)")
    group.add_argument(
        "--guidance",
        choices=GUIDANCES,
        default=GUIDANCES[0],
        help="away from white noise: classic doubles the UNet's work, once adds one pass a picture, self none (none)",
    )
    group.add_argument("--guidance-scale", type=float, metavar="X", help=f"to begin with ({CLASSIC_SCALE})")
    group.add_argument(
        "--guidance-delta", type=float, metavar="X", help="strength of a residual's negative, 0 to 1 (1)"
    )


def _add_arithmetic(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--precision",
        type=lambda text: PRECISIONS.get(text, text),
        choices=ARITHMETICS,
        default=ARITHMETICS[0],
        help="float16 (fp16) for GPUs; int8 is taken where it is faster on this CPU and as good (float32)",
    )
    group.add_argument("--storage", choices=STORAGES, default="float16", help="of float32's weights (float16)")
    group.add_argument("--proof-steps", type=_count, default=4, metavar="N", help="longest run that is compared (4)")
    group.add_argument("--image-encoder", action="store_true", help="take pictures in too, for image-to-image")
    group.add_argument("--layout", choices=LAYOUTS, help="also write the plain parts, as optimum does")
    group.add_argument(
        "--device",
        choices=tuple(DEVICES),
        default=NOTHING_TO_COMPILE,
        help="compile for this device too (cpu: nothing)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan, export, print the proof, and say where the bundle lies and what plays it."""
    try:
        from clavilux.export.build import dry_run, run_export
        from clavilux.export.summary import how_to_play, summary
    except ModuleNotFoundError as error:
        raise ExportError(f"{error.name} is not installed; run: pip install 'clavilux[export]'") from error
    from clavilux.export.work.staging import work_folder

    check_device(arguments.device)
    sources, options = sources_from(arguments), options_from(arguments)
    if arguments.dry_run:
        print(dry_run(sources, arguments.out, options, lambda line: print(line, file=sys.stderr)))
        return 0
    try:
        with Narration() as narrate:
            report = run_export(sources, arguments.out, options, narrate, announce=lambda text: print(text, flush=True))
            print(summary(report))
            _compile(report.bundle.folder, arguments.device, narrate)
    except (KeyboardInterrupt, SystemExit):
        kept = work_folder(arguments.out)
        print(f"stopped; {kept} keeps what is finished, and the same command goes on from there", file=sys.stderr)
        raise
    print(report.bundle.folder)
    print(how_to_play(report.bundle, arguments.device))
    return 0


def _compile(bundle: Path, device: str, progress: Progress) -> None:
    """Let the device build its engines now, so that the first performance need not wait for them."""
    if device != NOTHING_TO_COMPILE:
        from clavilux.runtime.loading import open_instrument

        progress(f"compiling for {device}")
        try:
            open_instrument(bundle, device=device)
        except ProviderError as error:
            raise ProviderError(f"{error}; the bundle {bundle} is whole, without engines") from error


def sources_from(arguments: argparse.Namespace) -> "Sources":
    """Return the checkpoints that the arguments name; parts that are named alone replace the pipeline's.

    Raises ExportError when a part is named by neither.
    """
    from clavilux.export.checkpoints.load import Sources
    from clavilux.export.checkpoints.locate import at_revision

    named = {key: getattr(arguments, key) for key in (*PARTS, "text_encoder", "tokenizer")}
    named = {key: where for key, where in named.items() if where is not None}
    if arguments.revision is not None and arguments.diffusion is None:
        raise ExportError(f"--revision {arguments.revision} is of --diffusion; for others write owner/name@revision")
    if arguments.diffusion is not None:
        diffusion = arguments.diffusion
        if arguments.revision is not None:
            diffusion = at_revision(diffusion, arguments.revision)
        sources = Sources.from_pipeline(arguments.encoder, diffusion)
        sources = replace(sources, **named)
    elif missing := [part for part in PARTS if part not in named]:
        raise ExportError(f"no --{missing[0]}; give --diffusion, or all of --{', --'.join(PARTS)}")
    else:
        sources = Sources(encoder=arguments.encoder, **named)
    return replace(
        sources,
        words=not arguments.no_text,
        conditioning=arguments.conditioning,
        lora=tuple(arguments.lora),
        single_file_config=arguments.config,
        allow_pickle=arguments.allow_pickle,
        variant=arguments.variant,
    )


def options_from(arguments: argparse.Namespace) -> Options:
    """Return the options that the arguments choose."""
    return Options(
        name=arguments.name or arguments.out.resolve().name,
        licence=arguments.licence,
        window_samples=arguments.window,
        hop_samples=arguments.hop,
        lead_in=arguments.lead_in,
        picture=arguments.size,
        storage=arguments.storage,
        arithmetic=arguments.precision,
        schedule=arguments.schedule,
        spacing=arguments.spacing,
        steps=arguments.steps,
        guidance=_guidance(arguments),
        sizes=arguments.sizes,
        batch=arguments.batch,
        image_encoder=arguments.image_encoder,
        proof_steps=arguments.proof_steps,
        layout=arguments.layout,
        concepts=arguments.concepts,
        evidence=arguments.evidence,
        overwrite=arguments.overwrite,
    )


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected for example 512, or 384x640 (height x width)")
    height = int(found[1])
    return height, int(found[2] or height)


def _guidance(arguments: argparse.Namespace) -> GuidanceSpec:
    scale, delta = arguments.guidance_scale, arguments.guidance_delta
    if arguments.guidance == "none":
        if scale is not None or delta is not None:
            raise ExportError("--guidance-scale and --guidance-delta are for --guidance classic, once or self")
        return GuidanceSpec()
    return GuidanceSpec(arguments.guidance, CLASSIC_SCALE if scale is None else scale, 1.0 if delta is None else delta)


def _sizes(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    if not found or int(found[1]) > int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} are no sizes; expected for example 384-1024")
    return int(found[1]), int(found[2])


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_STEPS:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number, 1 to {MAX_STEPS}")
    return int(text)


def _lora(text: str) -> "Lora":
    from clavilux.export.checkpoints.load import Lora

    where, _, scale = text.rpartition(":")
    try:
        return Lora(where, float(scale)) if where else Lora(text)
    except ValueError:  # the colon belongs to the place
        return Lora(text)


def _samples(text: str) -> int:
    try:
        return round(float(text) * SAMPLE_RATE)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected seconds, for example 3.75") from error


def _evidence(text: str) -> EvidenceSpec:
    """Return the evidence in `text`, two similarities. Raises ExportError."""
    try:
        short, held = (float(part) for part in text.split(","))
    except ValueError:
        short = held = -1.0
    if not 0 <= short <= held <= 1:
        raise ExportError(f"the evidence is {text!r}; expected two rising similarities from 0 to 1, such as 0.5,0.85")
    return EvidenceSpec(similarity=short, held_similarity=held)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
