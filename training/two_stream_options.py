"""The options of a two-stream training; what is left alone is the reference's."""

from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ClaviluxError
from training.bad_data import Policy
from training.captioned import EVERYTHING, DataOptions
from training.excerpts import REFERENCE, Placing
from training.pretrained import Adapter, Scratch
from training.two_stream import Objective
from training.two_stream_trainer import Schedule

PRETRAINED = "facebook/w2v-bert-2.0"  # what the reference began from
RESUMES = ("auto", "must", "restart")
PRECISIONS = ("float16", "bfloat16", "float32")
MOST_SEED = 2**32 - 1  # that numpy takes
REFERENCE_ADAPTER, REFERENCE_OBJECTIVE, REFERENCE_SCHEDULE, SKIP_BAD = Adapter(), Objective(), Schedule(), Policy()


@dataclass(frozen=True)
class Start:
    """What the encoder begins as: a checkpoint, or, where they are given, a configuration or a small new one."""

    encoder: str = PRETRAINED
    config: str | None = None
    scratch: Scratch | None = None
    adapter: Adapter = REFERENCE_ADAPTER
    allow_pickle: bool = False


REFERENCE_START = Start()


@dataclass(frozen=True)
class TrainOptions:
    """Everything that is free to choose; the defaults are the reference's."""

    out: Path
    text: str  # Stable Diffusion checkpoint, or a CLIPTextModel's folder
    data: DataOptions
    tokenizer: str | None = None
    start: Start = REFERENCE_START
    tokens: int = 47  # BOS not counted
    objective: Objective = REFERENCE_OBJECTIVE
    schedule: Schedule = REFERENCE_SCHEDULE
    placing: Placing = REFERENCE
    policy: Policy = SKIP_BAD
    templates: tuple[str, ...] = (EVERYTHING,)
    test_share: float = 0.1  # of the clips, where the data name no test
    test_most: int = 1000  # clips of a stream's test
    precision: str = PRECISIONS[0]
    gradient_checkpointing: bool = True
    cpu: bool = False
    sliding: bool = False  # also measure with windows that slide over the test clips
    resume: str = RESUMES[0]
    cache: Path | None = None  # for text tokens and what was checked, which trainings may share; None: OUT


def check_options(options: TrainOptions) -> None:
    """Raise ClaviluxError for numbers that cannot be."""
    schedule, objective = options.schedule, options.objective
    for name, value, least in (
        ("batch", schedule.batch, 1),
        ("accumulation", schedule.accumulation, 1),
        ("epochs", schedule.epochs, 0.001),
        ("steps", 1 if schedule.steps is None else schedule.steps, 1),
        ("warm-up", schedule.warmup, 0),
        ("number of workers", schedule.workers, 0),
        ("seed", schedule.seed, 0),
        ("checkpoint interval", schedule.checkpoint_every, 1),
        ("negatives", objective.negatives, 0),
        ("weight of the regression", objective.regression, 0),
        ("weight of the norms", objective.norms, 0),
        ("weight of the other direction", objective.symmetric, 0),
    ):
        if not value >= least:
            raise ClaviluxError(f"the {name} is {value:g}; expected {least:g} or more")
    if schedule.seed > MOST_SEED:
        raise ClaviluxError(f"the seed is {schedule.seed}; expected {MOST_SEED} or less")
    if not 0 <= options.test_share < 1:
        raise ClaviluxError(f"the share of test clips is {options.test_share:g}; expected 0 or more, and less than 1")
    if options.data.streaming and schedule.steps is None:
        raise ClaviluxError("a stream has no known length; say with --steps how long to train")
    if options.data.streaming and schedule.workers:
        raise ClaviluxError("a stream is read by one process; leave --workers out")
