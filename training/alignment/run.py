"""One two-stream training from options to files. `clavilux train` is this on the command line.

    OUT/encoder/         the trained encoder, as `clavilux export --encoder` takes it
    OUT/metrics.json     how well it does on the test clips
    OUT/training.json    what was run: options, data, versions
    OUT/logs/            TensorBoard's events
    OUT/checkpoint-N/    from where a stopped training goes on
    OUT/text/            text tokens, encoded once
    OUT/checked.json     which clips are fit to train on (skipped.jsonl for streams)

On several processes (`accelerate launch -m clavilux.training.alignment.command ...`) the first of all, then the first
of each machine checks data and encodes text; the others read what they find. OUT lies where all machines see it.
"""

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from filelock import FileLock, Timeout
from transformers import EvalPrediction, TrainingArguments

from clavilux.export.library_logs import quietly
from clavilux.export.options import Progress
from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.bad_data import CHECKED, SKIPPED
from clavilux.training.alignment.data.batches import Collator, ExampleSettings
from clavilux.training.alignment.data.captioned import check_templates
from clavilux.training.alignment.data.text_cache import ClipText, TextCache, TextPlaces
from clavilux.training.alignment.data.window import window_for
from clavilux.training.alignment.losses import TwoStream
from clavilux.training.alignment.metrics import Alignment
from clavilux.training.alignment.options import Initialisation, TrainOptions, check_options
from clavilux.training.alignment.prepare import Prepared, prepare, skipped
from clavilux.training.alignment.pretrained import (
    configured_settings,
    describe,
    from_config,
    from_scratch,
    load_pretrained,
    pretrained_settings,
)
from clavilux.training.alignment.record import ENCODER, METRICS, RECORD, Outcome, TrainingRecord, is_record, publish
from clavilux.training.alignment.trainer import (
    LOGS,
    Logbook,
    SeededSteps,
    TimelySteps,
    TwoStreamTrainer,
    measured,
    quiet_trainer,
    refuse_infinite,
    trainer_arguments,
)
from clavilux.training.alignment.whole_checkpoints import all_checkpoints, whole_checkpoints

LOCK = "lock"
PATIENCE = timedelta(hours=3)  # of processes that wait for the first to check data and encode text


@dataclass
class Measurements:
    """Trainer's compute_metrics, which remembers what it found."""

    cache: TextCache
    found: list[Alignment] = field(default_factory=list)

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """Measure, remember, and return the numbers by name."""
        self.found.append(measured(prediction, self.cache))
        return self.found[-1].scalars()


def run_training(options: TrainOptions, say: Progress) -> Outcome:
    """Train, or go on with a training that was stopped; `say` hears each step in words, in the first process alone.

    Raises ClaviluxError when options, checkpoints and data do not fit together, when a training in OUT was begun with
    other options, and when OUT cannot be written, is written by another command, or holds what is not a training's.
    """
    check_options(options)
    options = replace(options, cpu=options.cpu or not torch.accelerator.is_available())
    state = PartialState(cpu=options.cpu, timeout=PATIENCE)
    with claimed(options.out) if state.is_main_process else nullcontext():
        return _train(options, state, say if state.is_main_process else _silent)


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Hold the folder OUT for this training alone. Raises ClaviluxError when that cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = FileLock(out / LOCK).acquire(timeout=0)
    except Timeout as error:
        raise ClaviluxError(f"another training is writing {out}; wait for it, or choose another OUT") from error
    except OSError as error:
        raise ClaviluxError(f"{out} cannot be written ({error.strerror}); choose another OUT") from error
    with held:
        refuse_foreign(out)
        yield


def refuse_foreign(out: Path) -> None:
    """Raise ClaviluxError when OUT holds what this training would replace, and no record that a training wrote it."""
    files = (out / name for name in (ENCODER, METRICS, RECORD))
    theirs = [*all_checkpoints(out), *(one for one in files if one.exists())]
    if theirs and not is_record(out / RECORD):
        raise ClaviluxError(f"{theirs[0]} was not written by clavilux train; choose another OUT")


def _train(options: TrainOptions, state: PartialState, tell: Progress) -> Outcome:
    check_start(options.start)
    window = window_for(options.tokens, options.start.adapter)
    places = TextPlaces.from_checkpoint(options.text, options.tokenizer)
    text = ClipText(places, options.tokens, device=state.device, masked=options.attention_masks)
    settings = ExampleSettings(window, options.placing, check_templates(options.templates), options.schedule.seed)
    with first_comes_first(state):
        cache = TextCache((options.cache or options.out) / "text", text)
        if options.resume == "restart" and state.is_main_process:
            forget(options)
        checkpoint = checkpoint_to_resume(options)
        prepared = prepare(options, settings, cache, tell)
        record = TrainingRecord(options, prepared.counts, state.num_processes)
        record.begin(resumed=checkpoint is not None, write=state.is_main_process)
    with quietly(), workers_in_one_line():
        trainer, measurements = build_trainer(options, prepared, cache, tell)
        record.tell("encoder", describe(trainer.model.encoder) | {"window_seconds": window.seconds})
        record.tell("ran", {"precision": precision_of(trainer.args), "device": str(trainer.args.device)})
        train(trainer, checkpoint, tell)
        metrics = last_metrics(trainer, prepared.tests, measurements)
    trainer.logbook.close()
    outcome = Outcome(
        encoder=options.out / ENCODER,
        metrics=metrics,
        steps=trainer.state.global_step,
        loss=last_loss(trainer),
        skipped=skipped(options, prepared),
        window_seconds=window.seconds,
    )
    if state.is_main_process:
        publish(outcome, trainer.model.encoder, record)
    state.wait_for_everyone()
    return outcome


@contextmanager
def workers_in_one_line() -> Iterator[None]:
    """Take away the traceback that torch puts into the message of an error in a loading process."""
    try:
        yield
    except ClaviluxError as error:
        if "Original Traceback" not in str(error):
            raise
        raise ClaviluxError(str(error).strip().splitlines()[-1].partition(": ")[2]) from error


def train(trainer: TwoStreamTrainer, checkpoint: Path | None, tell: Progress) -> None:
    """Train what is left after the checkpoint, if there is one. Raises ClaviluxError when weights become no numbers."""
    if checkpoint is not None and (steps := trainer.finish(checkpoint)):
        tell(f"{steps} steps are done already: {checkpoint.name} is measured again, nothing is trained")
    else:
        if checkpoint is not None:
            tell(f"going on from {checkpoint.name}")
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    refuse_infinite(trainer.model, trainer.state.global_step)


def precision_of(arguments: TrainingArguments) -> str:
    """Return what Trainer's options make of the precision."""
    return "float16" if arguments.fp16 else "bfloat16" if arguments.bf16 else "float32"


def last_loss(trainer: TwoStreamTrainer) -> float:
    """Return the mean loss of the last steps that were logged, or nan."""
    logged = (entry["loss"] for entry in reversed(trainer.state.log_history) if "loss" in entry)
    return next(logged, math.nan)


def _silent(_: str) -> None:
    return


@contextmanager
def first_comes_first(state: PartialState) -> Iterator[None]:
    """Let the first process through, then the first of each machine, then the others."""
    with state.main_process_first(), state.local_main_process_first():
        yield


def forget(options: TrainOptions) -> None:
    """Remove what an earlier training left, and what it found out about the clips."""
    if (options.out / RECORD).exists():
        for old in (*all_checkpoints(options.out), options.out / LOGS):
            shutil.rmtree(old, ignore_errors=True)
        (options.out / SKIPPED).unlink(missing_ok=True)
    ((options.cache or options.out) / CHECKED).unlink(missing_ok=True)


def checkpoint_to_resume(options: TrainOptions) -> Path | None:
    """Return the newest whole checkpoint, if there is one; half-written ones are removed."""
    whole = whole_checkpoints(options.out)
    for half in set(all_checkpoints(options.out)) - set(whole):
        shutil.rmtree(half, ignore_errors=True)
    if options.resume == "must" and not whole:
        raise ClaviluxError(f"{options.out} has no whole checkpoint to go on from; leave --resume out to begin")
    return whole[-1] if whole else None


def build_trainer(
    options: TrainOptions, prepared: Prepared, cache: TextCache, tell: Progress
) -> tuple[TwoStreamTrainer, Measurements]:
    """Return Trainer with the two streams, set up and not yet begun."""
    torch.manual_seed(options.schedule.seed)
    encoder = begin_encoder(options.start, cache.encoder.width)
    if options.gradient_checkpointing:
        checkpoint_activations(encoder)
    shape = (options.tokens, cache.encoder.width)
    model = TwoStream(encoder, options.objective, shape, masked=options.attention_masks)
    precision = precision_here(options.precision, tell, cpu=options.cpu)
    measurements = Measurements(cache)
    trainer = TwoStreamTrainer(
        order=prepared.order,
        model=model,
        args=trainer_arguments(options.out, options.schedule, precision, cpu=options.cpu, tests=bool(prepared.tests)),
        data_collator=Collator(cache),
        train_dataset=prepared.train,
        eval_dataset=prepared.tests or None,
        compute_metrics=measurements,
        callbacks=[SeededSteps(prepared.order), TimelySteps()],
    )
    trainer.logbook = Logbook(options.out / LOGS, tell)
    trainer.add_callback(trainer.logbook)
    quiet_trainer(trainer)
    return trainer, measurements


def checkpoint_activations(encoder: Any) -> None:
    """Let the encoder compute its activations again instead of keeping them; transformers 5 renamed how."""
    renamed = hasattr(encoder, "activation_checkpointing_enable")
    enable = encoder.activation_checkpointing_enable if renamed else encoder.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def check_start(start: Initialisation) -> None:
    """Raise ClaviluxError when what to begin from is not there, or another model's, before any data are read."""
    if start.scratch is None and start.config is None:
        pretrained_settings(start.encoder)
    elif start.config is not None:
        configured_settings(start.config)


def begin_encoder(start: Initialisation, width: int) -> Any:
    """Return the encoder that training begins with, its tokens `width` wide."""
    if start.scratch is not None:
        return from_scratch(start.scratch, width, start.adapter)
    if start.config is not None:
        return from_config(start.config, width, start.adapter)
    return load_pretrained(start.encoder, width, start.adapter, allow_pickle=start.allow_pickle)


def precision_here(wanted: str, tell: Progress, *, cpu: bool) -> str:
    """Return what this machine trains in: float16 is for GPUs."""
    if wanted == "float16" and cpu:
        tell("float16 needs a GPU; training in float32")
        return "float32"
    return wanted


def last_metrics(
    trainer: TwoStreamTrainer, tests: Mapping[str, Any], measurements: Measurements
) -> dict[str, Alignment]:
    """Return the figures of the trained encoder, measured now unless the last step already was."""
    steps = [entry["step"] for entry in trainer.state.log_history if "eval_whole_cosine" in entry]
    if len(measurements.found) < len(tests) or steps[-1:] != [trainer.state.global_step]:
        for name, test in tests.items():
            trainer.evaluate(test, metric_key_prefix=f"eval_{name}")
    return dict(zip(tests, measurements.found[-len(tests) :] if tests else [], strict=True))
