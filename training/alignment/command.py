"""`clavilux train`: an audio encoder learns to give the tokens that a Stable Diffusion's text encoder gives.

    clavilux train my-run --data my-sounds --text stabilityai/sd-turbo
    accelerate launch -m clavilux.training.alignment.command my-run --data my-sounds --text stabilityai/sd-turbo

The second line is the same on several GPUs or nodes. Torch is imported when the command runs, not for its help.
"""

import argparse
import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clavilux.runtime.bundle.manifest import LEAD_INS
from clavilux.runtime.errors import ClaviluxError

if TYPE_CHECKING:
    from clavilux.training.alignment.options import Initialisation, TrainOptions
    from clavilux.training.alignment.record import Outcome

EXAMPLES = """\
examples:
  clavilux train my-run --data my-sounds --text stabilityai/sd-turbo
      my-sounds/manifest.jsonl has a line per clip: {"audio": "dog.flac", "caption": "a dog barks"}
  clavilux train my-run --dataset my/sounds-with-captions --text stabilityai/stable-diffusion-2-1 --tokens 76 \\
      --negatives 1024 --regression 0.3 --shift 0.5 --partial 0.3
      all 77 places of CLIP, more negatives, norms that the UNet knows, windows as the instrument hears them
  clavilux train my-run --data my-sounds --text my/sd --from-scratch 4x96 --batch 32 --accumulation 1 --rate 1e-3
      a small encoder from nothing, for a CPU
  clavilux train my-run --dataset my/huge-set --streaming --steps 2000 --text stabilityai/sd-turbo
  accelerate launch -m clavilux.training.alignment.command my-run --data my-sounds --text stabilityai/sd-turbo
      the same on several GPUs or nodes

The same command goes on where a stopped training was. Then: clavilux export my-bundle --encoder my-run/encoder ...
Without further options the loss, the windows and the numbers are those of the reference, audio2img; it also passes
attention masks when it trains (--attention-masks), which neither it nor the instrument does when it paints. Its
encoder wants a GPU of 12 GB and 25 GB of disk (checkpoints of 7 GB, of which two are kept); docs/training.md works out
how long.
"""
NAME = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = f"{parser.prog} OUT (--data FOLDER | --dataset NAME) --text CHECKPOINT [options]"
    parser.description = f"{parser.description or ''}\n\n{EXAMPLES}".strip()
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to; a training that is in it goes on")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="fail where there is nothing to go on from")
    again.add_argument("--restart", action="store_true", help="remove OUT's checkpoints, check all clips and begin")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="text tokens and checks, for trainings to share")
    _add_data(parser.add_argument_group("data"))
    _add_models(parser.add_argument_group("models, each a folder or a hub name (owner/repository/subfolder)"))
    _add_objective(parser.add_argument_group("loss; with all zeros the reference's"))
    _add_windows(parser.add_argument_group("windows; with both shares 0 as in the reference"))
    _add_schedule(parser.add_argument_group("schedule"))


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--data", type=Path, metavar="FOLDER", help="with manifest.jsonl or .csv: audio, caption, split")
    group.add_argument("--dataset", metavar="NAME|FOLDER", help="of the library `datasets`, instead of a folder")
    group.add_argument("--audio-column", default="audio", metavar="NAME", help="of dataset or manifest (audio)")
    group.add_argument("--caption-column", default="caption", metavar="NAME", help="of dataset or manifest (caption)")
    group.add_argument("--dataset-split", default="train", metavar="NAME", help="to train on (train)")
    group.add_argument("--test-split", metavar="NAME", help="of the dataset, to measure with (a share of the other)")
    group.add_argument("--test-share", type=float, default=0.1, metavar="X", help="where no split says test (0.1)")
    group.add_argument("--test-most", type=_count, default=1000, metavar="N", help="test clips of a stream (1000)")
    group.add_argument("--streaming", action="store_true", help="do not fetch the dataset, read it as it comes")
    group.add_argument("--labels", action="store_true", help="captions are labels: _ , ( ) become blanks")
    group.add_argument(
        "--caption-template",
        action="append",
        default=[],
        metavar="TEXT",
        help="'a sound of {}'; again for more, of which each clip draws one per epoch",
    )
    group.add_argument("--on-bad", choices=("skip", "refuse"), default="skip", help="what to do about bad clips (skip)")
    group.add_argument("--expect-rate", type=_count, metavar="HZ", help="other rates are bad (they are resampled)")


def _add_models(group: argparse._ArgumentGroup) -> None:
    where = "FOLDER|NAME"
    group.add_argument(
        "--text", required=True, metavar=where, help="Stable Diffusion, or a CLIPTextModel; stays frozen"
    )
    group.add_argument("--tokenizer", metavar=where, help="where it is not beside the text encoder")
    group.add_argument("--encoder", metavar=where, help="Wav2Vec2-BERT to begin from (facebook/w2v-bert-2.0)")
    group.add_argument("--encoder-config", metavar="FILE", help="begin from nothing, with this configuration")
    group.add_argument("--from-scratch", type=_shape, metavar="LAYERSxWIDTH", help="begin from nothing, small: 4x96")
    group.add_argument("--tokens", type=_count, default=47, metavar="N", help="without BOS; decides the window (47)")
    group.add_argument("--adapter-layers", type=_count, default=2, metavar="N", help="of the adapter (2)")
    group.add_argument("--adapter-kernel", type=_count, default=3, metavar="N", help="of its convolutions (3)")
    group.add_argument("--adapter-stride", type=_count, default=2, metavar="N", help="of its convolutions (2)")
    group.add_argument("--allow-pickle", action="store_true", help="read weights that are not safetensors")
    group.add_argument(
        "--attention-masks", action="store_true", help="for text and sound, as the reference trains and nobody plays"
    )


def _add_objective(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--temperature", type=_positive, default=0.15, metavar="X", help="of the contrast (0.15)")
    group.add_argument("--negatives", type=int, default=0, metavar="N", help="captions of earlier batches (0)")
    group.add_argument(
        "--mask-duplicates",
        action=argparse.BooleanOptionalAction,
        help="clips with the same caption are no negatives (only with --negatives)",
    )
    group.add_argument("--symmetric", type=float, default=0.0, metavar="W", help="also contrast text with sounds (0)")
    group.add_argument("--regression", type=float, default=0.0, metavar="W", help="mean squared distance (0)")
    group.add_argument("--norms", type=float, default=0.0, metavar="W", help="squared difference of log norms (0)")
    group.add_argument("--gather", action="store_true", help="other processes' captions are negatives too")


def _add_windows(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--shift", type=float, default=0.0, metavar="P", help="share from anywhere in longer clips (0)")
    group.add_argument("--partial", type=float, default=0.0, metavar="P", help="share over a clip's edges (0)")
    group.add_argument("--lead-in", choices=LEAD_INS, default=LEAD_INS[0], help="before a clip began (nothing)")
    group.add_argument("--sliding", action="store_true", help="also measure with windows that slide over test clips")


def _add_schedule(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--batch", type=_count, default=8, metavar="N", help="clips at once, per process (8)")
    group.add_argument("--accumulation", type=_count, default=16, metavar="N", help="batches per step (16)")
    group.add_argument("--epochs", type=_positive, default=8.0, metavar="N", help="times through the data (8)")
    group.add_argument("--steps", type=_count, metavar="N", help="instead of epochs; a stream needs it")
    group.add_argument("--rate", type=_positive, default=2e-5, metavar="X", help="highest learning rate (2e-5)")
    group.add_argument("--warmup", type=int, default=200, metavar="N", help="steps until it is reached (200)")
    group.add_argument(
        "--precision",
        choices=("float16", "bfloat16", "float32"),
        default="float16",
        help="of the arithmetic; without a GPU float16 becomes float32 (float16)",
    )
    group.add_argument(
        "--gradient-checkpointing",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="less memory for more time (on)",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (0)")
    group.add_argument("--checkpoint-every", type=_count, default=100, metavar="N", help="steps lost at most (100)")
    group.add_argument("--log-every", type=_count, default=10, metavar="N", help="steps (10)")
    group.add_argument("--evaluate-every", type=_count, metavar="N", help="steps (each epoch; with --steps at the end)")
    group.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read sound (0)")
    group.add_argument("--cpu", action="store_true", help="leave the GPU alone")


def run(arguments: argparse.Namespace) -> int:
    """Train, print the figures and say where the encoder lies."""
    try:
        from clavilux.training.alignment.run import run_training
    except ModuleNotFoundError as error:
        raise ClaviluxError(f"{error.name} is not installed; run: pip install 'clavilux[train]'") from error
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr)

    options = options_from(arguments)
    try:
        outcome = run_training(options, say)
    except (KeyboardInterrupt, SystemExit):
        again = "the same command without --restart" if arguments.restart else "the same command"
        print(f"stopped; {again} goes on from the last checkpoint in {arguments.out}, if any", file=sys.stderr)
        raise
    if is_first_process():
        print(summary(outcome, options))
    return 0


def is_first_process() -> bool:
    """Return whether this process speaks for all."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def options_from(arguments: argparse.Namespace) -> "TrainOptions":
    """Return the options that the arguments choose."""
    from clavilux.training.alignment.data.bad_data import Policy
    from clavilux.training.alignment.data.captioned import EVERYTHING, DataOptions
    from clavilux.training.alignment.data.excerpts import Placing
    from clavilux.training.alignment.losses import Objective
    from clavilux.training.alignment.options import TrainOptions
    from clavilux.training.alignment.trainer import Hyperparameters

    found = vars(arguments)
    masked = arguments.negatives > 0 if arguments.mask_duplicates is None else arguments.mask_duplicates
    return TrainOptions(
        out=arguments.out,
        text=arguments.text,
        tokenizer=arguments.tokenizer,
        data=DataOptions(
            folder=arguments.data,
            split=arguments.dataset_split,
            **_chosen(found, "dataset audio_column caption_column test_split streaming labels"),
        ),
        start=_start(arguments),
        tokens=arguments.tokens,
        objective=Objective(
            mask_duplicates=masked, **_chosen(found, "temperature negatives symmetric regression norms gather")
        ),
        schedule=Hyperparameters(
            **_chosen(found, "batch accumulation epochs steps rate warmup seed workers"),
            **_chosen(found, "checkpoint_every log_every evaluate_every"),
        ),
        placing=Placing(**_chosen(found, "shift partial lead_in")),
        policy=Policy(**_chosen(found, "on_bad expect_rate")),
        templates=tuple(arguments.caption_template) or (EVERYTHING,),
        resume="restart" if arguments.restart else "must" if arguments.resume else "auto",
        **_chosen(found, "test_share test_most precision gradient_checkpointing attention_masks cpu sliding cache"),
    )


def _chosen(found: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: found[name] for name in names.split()}


def _start(arguments: argparse.Namespace) -> "Initialisation":
    from clavilux.training.alignment.data.window import Adapter
    from clavilux.training.alignment.options import PRETRAINED, Initialisation
    from clavilux.training.alignment.pretrained import Scratch

    ways = ("encoder", "encoder_config", "from_scratch")
    given = [f"--{way.replace('_', '-')}" for way in ways if getattr(arguments, way) is not None]
    if len(given) > 1:
        raise ClaviluxError(f"{' and '.join(given)} were given; an encoder begins in one way")
    return Initialisation(
        encoder=arguments.encoder or PRETRAINED,
        config=arguments.encoder_config,
        scratch=Scratch(*arguments.from_scratch) if arguments.from_scratch else None,
        adapter=Adapter(arguments.adapter_layers, arguments.adapter_kernel, arguments.adapter_stride),
        allow_pickle=arguments.allow_pickle,
    )


def summary(outcome: "Outcome", options: "TrainOptions") -> str:
    """Return the last words: figures, what was skipped, and what to do now."""
    from clavilux.export.parity.figures import columns

    parts = []
    if outcome.metrics:
        names = list(next(iter(outcome.metrics.values())).scalars())
        rows = [("figure", *outcome.metrics)]
        found = {name: one.scalars() for name, one in outcome.metrics.items()}
        rows += [(name, *(f"{one[name]:.4f}" for one in found.values())) for name in names]
        clips = ", ".join(f"{name} {one.clips} of {one.captions} captions" for name, one in outcome.metrics.items())
        parts.append(f"{columns(rows)}\n\ntested with: {clips}")
    parts.append(f"{outcome.skipped}; {outcome.steps} steps")
    window = ["--window", f"{outcome.window_seconds:g}", "--lead-in", options.placing.lead_in]
    words = ["clavilux", "export", f"{options.out}-bundle", "--encoder", str(outcome.encoder), *window]
    diffusion = "DIFFUSION" if Path(options.text, "config.json").is_file() else options.text  # a text encoder alone
    parts.append(f"{outcome.encoder}\nnow: {shlex.join([*words, '--diffusion', diffusion])}")
    return "\n".join(parts)


def _count(text: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d{0,11}", text):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number, 1 or more")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number above 0")
    return value


def _shape(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,3})x(\d{1,5})", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; expected for example 4x96 (layers x width)")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    from clavilux.command import main

    sys.exit(main([NAME, *sys.argv[1:]]))
