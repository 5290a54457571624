"""The options of a two-stream training; what is left alone is the reference's, but for the attention masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.bad_data import Policy
from clavilux.training.alignment.data.captioned import EVERYTHING, DataOptions, check_place
from clavilux.training.alignment.data.excerpts import REFERENCE, Placing
from clavilux.training.alignment.data.window import Adapter, window_for
from clavilux.training.alignment.losses import Objective
from clavilux.training.alignment.pretrained import Scratch
from clavilux.training.alignment.trainer import Hyperparameters

PRETRAINED = "facebook/w2v-bert-2.0"  # what the reference began from
RESUMES = ("auto", "must", "restart")
PRECISIONS = ("float16", "bfloat16", "float32")
MAX_SEED = 2**32 - 1  # that numpy takes
MAX_STEPS = 10**9
MANY = 10**6  # of what is kept in memory, or multiplies the loss
TINY = 1e-12  # instead of 0 where that cannot be
MAX_WINDOW = 60  # s
REFERENCE_ADAPTER, REFERENCE_OBJECTIVE, SKIP_BAD = Adapter(), Objective(), Policy()
REFERENCE_SCHEDULE = Hyperparameters()


@dataclass(frozen=True)
class Initialisation:
    """Beginning of the encoder: a checkpoint, or, where they are given, a configuration or a small new one."""

    encoder: str = PRETRAINED
    config: str | None = None
    scratch: Scratch | None = None
    adapter: Adapter = REFERENCE_ADAPTER
    allow_pickle: bool = False


REFERENCE_START = Initialisation()


@dataclass(frozen=True)
class TrainOptions:
    """Everything that is free to choose; the defaults are the reference's, but that no attention masks are passed.

    The reference passes them when it trains, and none when it paints, as neither the instrument nor diffusers'
    pipelines do: an encoder trained with them meets padding for the first time when it plays, and is drawn to text
    tokens that the UNet does not know.
    """

    out: Path
    text: str  # Stable Diffusion checkpoint, or a CLIPTextModel's folder
    data: DataOptions
    tokenizer: str | None = None
    start: Initialisation = REFERENCE_START
    tokens: int = 47  # BOS not counted
    objective: Objective = REFERENCE_OBJECTIVE
    schedule: Hyperparameters = REFERENCE_SCHEDULE
    placing: Placing = REFERENCE
    policy: Policy = SKIP_BAD
    templates: tuple[str, ...] = (EVERYTHING,)
    test_share: float = 0.1  # of the clips, where the data name no test
    test_most: int = 1000  # clips of a stream's test
    precision: str = PRECISIONS[0]
    gradient_checkpointing: bool = True
    attention_masks: bool = False  # for text and sound, as in the reference's training
    cpu: bool = False
    sliding: bool = False  # also measure with windows that slide over the test clips
    resume: str = RESUMES[0]
    cache: Path | None = None  # for text tokens and what was checked, which trainings may share; None: OUT


def check_options(options: TrainOptions) -> None:
    """Raise ClaviluxError for what cannot be, and for what no machine has room for."""
    for name, value, least, most in _numbers(options):
        if not least <= value <= most:  # nor is nan
            bound = f"{most} or less" if value > most else f"{least:g} or more"
            raise ClaviluxError(f"{name} is {value}; expected {bound}")
    if not 0 <= options.test_share < 1:
        raise ClaviluxError(f"--test-share is {options.test_share:g}; expected 0 or more, and less than 1")
    if options.precision not in PRECISIONS:
        raise ClaviluxError(f"--precision is {options.precision!r}; expected one of {', '.join(PRECISIONS)}")
    check_place(options.data)
    if options.data.streaming and options.schedule.steps is None:
        raise ClaviluxError("a stream has no known length; say with --steps how long to train")
    if options.data.streaming and options.schedule.workers:
        raise ClaviluxError("a stream is read by one process; leave --workers out")
    if (seconds := window_for(options.tokens, options.start.adapter).seconds) > MAX_WINDOW:
        raise ClaviluxError(
            f"{options.tokens} tokens need a window of {seconds:g} s; expected {MAX_WINDOW} or less: "
            "give fewer --tokens, or smaller --adapter-layers, --adapter-kernel and --adapter-stride"
        )


def _numbers(options: TrainOptions) -> Iterator[tuple[str, float, float, int]]:
    """Yield what the numbers are called, and the least and the most that each may be."""
    schedule, objective, adapter = options.schedule, options.objective, options.start.adapter
    yield "--batch", schedule.batch, 1, MANY
    yield "--accumulation", schedule.accumulation, 1, MANY
    yield "--epochs", schedule.epochs, 0.001, MANY
    yield "--steps", 1 if schedule.steps is None else schedule.steps, 1, MAX_STEPS
    yield "--rate", schedule.rate, TINY, MANY
    yield "--warmup", schedule.warmup, 0, MAX_STEPS
    yield "--workers", schedule.workers, 0, 1000
    yield "--seed", schedule.seed, 0, MAX_SEED
    yield "--checkpoint-every", schedule.checkpoint_every, 1, MAX_STEPS
    yield "--log-every", schedule.log_every, 1, MAX_STEPS
    yield "--evaluate-every", 1 if schedule.evaluate_every is None else schedule.evaluate_every, 1, MAX_STEPS
    yield "--temperature", objective.temperature, TINY, MANY
    yield "--negatives", objective.negatives, 0, MANY
    yield "--regression", objective.regression, 0, MANY
    yield "--norms", objective.norms, 0, MANY
    yield "--symmetric", objective.symmetric, 0, MANY
    yield "--tokens", options.tokens, 1, 1000
    yield "--adapter-layers", adapter.layers, 1, 16
    yield "--adapter-kernel", adapter.kernel, 1, 1000
    yield "--adapter-stride", adapter.stride, 1, 1000
    scratch = options.start.scratch or Scratch()
    yield "the number of layers", scratch.layers, 1, 1000
    yield "the width", scratch.width, 1, 100_000
