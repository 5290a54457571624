"""`transformers.Trainer` for two streams: seeded steps, checkpoints that are whole, metrics, a log, a bar.

Each step is seeded by its number, and its examples are a function of seed and epoch
(`clavilux.training.alignment.data.batches`), so that a run which resumes ends with the weights of one that was never
stopped. Older checkpoints go when a newer one is whole (`clavilux.training.alignment.whole_checkpoints`).
"""

import math
import random
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Sampler
from tqdm import tqdm
from transformers import (
    EvalPrediction,
    IntervalStrategy,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from clavilux.export.options import Progress
from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.batches import Order
from clavilux.training.alignment.data.text_cache import TextCache
from clavilux.training.alignment.metrics import Alignment, alignment, rows_of
from clavilux.training.alignment.whole_checkpoints import CHECKPOINT, seal, whole_checkpoints

KEPT = 2  # checkpoints
SEED_STEP = 1_000_003  # steps that a seed has for itself
LOGS = "logs"
STATE = "trainer_state.json"  # of a checkpoint, by Trainer
REMEDY = "begin again with a lower --rate, or with --precision float32 or bfloat16 (and another OUT, or --restart)"
EVALUATED_ON_CARD = 16  # batches whose tokens stay on the card when measuring: 25 MB of 47 x 1024 in batches of 8


@dataclass(frozen=True)
class Hyperparameters:
    """How long and how fast; the defaults are the reference's."""

    batch: int = 8  # clips per process at once
    accumulation: int = 16  # batches per step
    epochs: float = 8.0
    steps: int | None = None  # instead of epochs
    rate: float = 2e-5  # peak learning rate
    warmup: int = 200  # steps
    seed: int = 0
    checkpoint_every: int = 100  # steps
    log_every: int = 10  # steps
    evaluate_every: int | None = None  # steps; None: after each epoch
    workers: int = 0  # loading processes


class TwoStreamTrainer(Trainer):  # type: ignore[misc,unused-ignore]
    """Trainer with its own order of clips and its own idea of a finished checkpoint."""

    def __init__(self, *, order: Order | None, **settings: Any) -> None:
        """Take the sampler of a set with a length, None for a stream, and what Trainer takes."""
        super().__init__(**settings)
        self._order = order

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[tuple[int, int]] | None:
        return self._order

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            folder = Path(self.args.output_dir)
            seal(folder / f"{CHECKPOINT}{self.state.global_step}")
            for old in whole_checkpoints(folder)[:-KEPT]:
                shutil.rmtree(old)

    def finish(self, checkpoint: Path) -> int:
        """Take the weights and the log of a checkpoint after which no step is left; return its step.

        Returns 0, and changes nothing, when steps are left.
        """
        state = TrainerState.load_from_json(str(checkpoint / STATE))
        if state.global_step < state.max_steps:
            return 0
        self._load_from_checkpoint(str(checkpoint))
        self.state = state
        return int(state.global_step)


def refuse_infinite(model: nn.Module, step: int) -> None:
    """Raise ClaviluxError when a weight is no number: neither a checkpoint nor an encoder should hold it."""
    if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
        raise ClaviluxError(f"weights are no numbers any more at step {step}; {REMEDY}")


class TimelySteps(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Measures at an epoch's last step, and not after it; takes intervals from the options, not from a checkpoint.

    Trainer measures an epoch when the checkpoint of its last step is already written: a stop in between would lose the
    figures, because what resumes begins with the next epoch. At the step itself, measuring comes before the checkpoint.
    The last step of all is always measured and logged. Weights are looked at before they are measured or kept.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Replace the intervals that a checkpoint brought."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for the measurement of the epoch that this step ends, and for the log of the last."""
        last = 0 < state.max_steps <= state.global_step
        if args.eval_strategy == IntervalStrategy.EPOCH and (last or float(state.epoch or 0.0).is_integer()):
            control.should_evaluate = True
        control.should_log |= last
        if "model" in kwargs and (control.should_evaluate or control.should_save):
            refuse_infinite(kwargs["model"], state.global_step)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take back Trainer's own wish to measure."""
        control.should_evaluate = False


class SeededSteps(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Seeds torch, numpy and Python at every step by its number; tells the order of clips its epoch."""

    def __init__(self, order: Order | None) -> None:
        self._order = order

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Choose the order of the epoch that begins or goes on."""
        if self._order is not None:
            self._order.set_epoch(int((state.epoch or 0.0) + 1e-6))  # what rounding took from a whole number

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Seed the step that begins."""
        step = args.seed * SEED_STEP + state.global_step
        torch.manual_seed(step * args.world_size + args.process_index)
        np.random.seed((step * args.world_size + args.process_index) % 2**32)  # transformers' SpecAugment draws here
        random.seed(step)


class Logbook(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Losses and metrics for TensorBoard, and for people: a bar on a terminal, lines elsewhere."""

    def __init__(self, folder: Path, say: Progress) -> None:
        """Write events into `folder`. Raises ClaviluxError when tensorboard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ClaviluxError("tensorboard is not installed; run: pip install 'clavilux[train]'") from error
        self._open = SummaryWriter
        self._folder = folder
        self._writer: Any = None
        self._say = say
        self._bar: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the log where it was left: what was logged after the checkpoint (without one, all) is taken back."""
        if state.is_world_process_zero:
            self._writer = self._open(str(self._folder), purge_step=state.global_step + 1)
            if state.max_steps < args.warmup_steps:
                self._say(short_of_warmup(state.max_steps, args))
            shown = sys.stderr.isatty()
            self._bar = (
                tqdm(total=state.max_steps, initial=state.global_step, unit="step", leave=False) if shown else None
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write scalars; say the loss."""
        if logs and not math.isfinite(logs.get("loss", 0.0)):
            raise ClaviluxError(f"the loss is {logs['loss']} at step {state.global_step}; {REMEDY}")
        if self._writer is None or not logs:
            return
        for name, value in logs.items():
            if isinstance(value, int | float) and name not in ("epoch", "total_flos"):
                self._writer.add_scalar(scalar_name(name), value, state.global_step)
        self._writer.flush()
        if "loss" in logs:
            self._tell(f"step {state.global_step} of {state.max_steps}, loss {logs['loss']:.4f}")
        for key in [key for key in logs if key.endswith("_audio_to_text_r1")]:
            name = key.removesuffix("_audio_to_text_r1")
            told = f"{name}: R@1 {logs[key]:.1%} to text, {logs[f'{name}_text_to_audio_r1']:.1%} to audio"
            self._tell(f"step {state.global_step}, {told}, cosine {logs[f'{name}_cosine']:.3f}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar; the log stays open for the last measurement."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def close(self) -> None:
        """Close the log."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _tell(self, line: str) -> None:
        if self._bar is None:
            self._say(line)
        else:
            self._bar.write(line, file=sys.stderr)


def short_of_warmup(steps: int, arguments: TrainingArguments) -> str:
    """Return the warning about a training that ends before its rate is reached."""
    reached = f"{100 * steps / arguments.warmup_steps:.3g} % of {arguments.learning_rate:g}"
    remedy = "give a shorter --warmup, more --epochs or --steps, or less --accumulation"
    return f"{steps} steps end within the warm-up of {arguments.warmup_steps:g}: the rate reaches {reached}; {remedy}"


def scalar_name(name: str) -> str:
    """Return TensorBoard's name of one of Trainer's figures: `eval_whole_cosine` becomes `eval/whole_cosine`.

    What sums up the run (`train_loss`, its mean) is kept apart from what steps give (`loss`).
    """
    group, _, rest = name.partition("_")
    groups = {"eval": "eval", "train": "run"}
    return f"{groups[group]}/{rest}" if group in groups and rest else f"train/{name}"


def measured(prediction: EvalPrediction, cache: TextCache) -> Alignment:
    """Return the figures of what Trainer collected: tokens [n, N, D], caption keys [n]."""
    keys, rows = rows_of(np.asarray(prediction.label_ids))
    return alignment(np.asarray(prediction.predictions, np.float32), cache.by_key(keys).numpy(), rows)


def trainer_arguments(
    folder: Path, schedule: Hyperparameters, precision: str, *, cpu: bool, tests: bool
) -> TrainingArguments:
    """Return Trainer's own options: one GPU per process."""
    by_steps = schedule.evaluate_every is not None or schedule.steps is not None
    when = ("steps" if by_steps else "epoch") if tests else "no"
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=schedule.batch,
        per_device_eval_batch_size=schedule.batch,
        eval_accumulation_steps=EVALUATED_ON_CARD,
        gradient_accumulation_steps=schedule.accumulation,
        num_train_epochs=schedule.epochs,
        max_steps=schedule.steps or -1,
        learning_rate=schedule.rate,
        warmup_steps=schedule.warmup,
        seed=schedule.seed,
        fp16=precision == "float16",
        bf16=precision == "bfloat16",
        use_cpu=cpu,
        logging_steps=schedule.log_every,
        logging_nan_inf_filter=False,
        eval_strategy=when,
        eval_steps=schedule.evaluate_every or schedule.steps,
        save_strategy="steps",
        save_steps=schedule.checkpoint_every,
        label_names=["captions"],
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        dataloader_num_workers=schedule.workers,
        dataloader_pin_memory=torch.cuda.is_available() and not cpu,
        ddp_find_unused_parameters=False,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # or Trainer would copy the model to all cards by DataParallel, and lose the memory
    return arguments


def quiet_trainer(trainer: Trainer) -> None:
    """Let the log book alone speak."""
    trainer.remove_callback(PrinterCallback)
