"""Trainer is set up as the reference; steps, order and log are told what they need."""

import sys
from pathlib import Path

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.batches import Order
from clavilux.training.alignment.trainer import (
    Hyperparameters,
    Logbook,
    SeededSteps,
    TimelySteps,
    refuse_infinite,
    scalar_name,
    trainer_arguments,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", "train/loss"),
        ("grad_norm", "train/grad_norm"),
        ("eval_whole_cosine", "eval/whole_cosine"),
        ("train_loss", "run/loss"),
    ],
)
def test_scalars_are_grouped(name: str, expected: str) -> None:
    assert scalar_name(name) == expected


def test_without_tensorboard_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ClaviluxError, match=r"tensorboard is not installed; run: pip install 'clavilux\[train\]'"):
        Logbook(tmp_path, print)


def test_the_defaults_are_the_references(tmp_path: Path) -> None:
    found = trainer_arguments(tmp_path, Hyperparameters(), "float32", cpu=True, tests=True)
    assert (found.per_device_train_batch_size, found.gradient_accumulation_steps) == (8, 16)
    assert (found.num_train_epochs, found.learning_rate, found.warmup_steps) == (8, 2e-5, 200)
    assert found.eval_strategy == "epoch"


@pytest.mark.parametrize(("epoch", "expected"), [(None, 0), (0, 0), (1.5, 1), (2.9999999999, 3), (3.0, 3)])
def test_the_order_is_told_its_epoch(epoch: float | None, expected: int) -> None:
    order = Order(3, 0)
    SeededSteps(order).on_epoch_begin(None, TrainerState(epoch=epoch), TrainerControl())
    assert order.epoch == expected


def test_a_stream_has_no_order() -> None:
    SeededSteps(None).on_epoch_begin(None, TrainerState(epoch=1.0), TrainerControl())


def test_one_process_takes_one_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: self.__dict__.get("_n_gpu", 4)))
    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(lambda self: None))
    assert trainer_arguments(tmp_path, Hyperparameters(), "float32", cpu=True, tests=True)._n_gpu == 1


def test_weights_that_are_no_numbers_end_the_training() -> None:
    model = torch.nn.Linear(2, 2)
    refuse_infinite(model, 3)
    model.bias.data[0] = float("inf")
    with pytest.raises(ClaviluxError, match=r"^weights are no numbers any more at step 3; begin again with a lower"):
        refuse_infinite(model, 3)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    state, control = TrainerState(global_step=7), TrainerControl()
    with pytest.raises(
        ClaviluxError, match=r"^the loss is nan at step 7; begin again with a lower --rate, or with .*--restart"
    ):
        Logbook(tmp_path, print).on_log(None, state, control, {"loss": float("nan")})


@pytest.mark.parametrize(
    ("schedule", "tests", "expected"),
    [
        (Hyperparameters(), False, "no"),
        (Hyperparameters(steps=50), True, "steps"),
        (Hyperparameters(evaluate_every=7), True, "steps"),
    ],
)
def test_measuring_follows_the_schedule(tmp_path: Path, schedule: Hyperparameters, tests: bool, expected: str) -> None:
    found = trainer_arguments(tmp_path, schedule, "float32", cpu=True, tests=tests)
    assert found.eval_strategy == expected
    if schedule.evaluate_every or schedule.steps:
        assert found.eval_steps == (schedule.evaluate_every or schedule.steps)


def test_a_checkpoints_intervals_give_way_to_the_options(tmp_path: Path) -> None:
    arguments = trainer_arguments(
        tmp_path, Hyperparameters(checkpoint_every=7, log_every=3), "float32", cpu=True, tests=True
    )
    state = TrainerState(max_steps=50, save_steps=100, logging_steps=10)
    TimelySteps().on_train_begin(arguments, state, TrainerControl())
    assert (state.save_steps, state.logging_steps) == (7, 3)


@pytest.mark.parametrize(("step", "expected"), [(4, False), (5, True)])
def test_the_last_step_of_all_is_logged_and_measured(tmp_path: Path, step: int, expected: bool) -> None:
    arguments, control = (
        trainer_arguments(tmp_path, Hyperparameters(), "float32", cpu=True, tests=True),
        TrainerControl(),
    )
    TimelySteps().on_step_end(arguments, TrainerState(epoch=1.5, global_step=step, max_steps=5), control)
    assert (control.should_log, control.should_evaluate) == (expected, expected)


@pytest.mark.parametrize(
    ("epoch", "schedule", "expected"),
    [(2.0, Hyperparameters(), True), (1.99, Hyperparameters(), False), (2.0, Hyperparameters(evaluate_every=7), False)],
)
def test_an_epoch_is_measured_at_its_last_step(
    tmp_path: Path, epoch: float, schedule: Hyperparameters, expected: bool
) -> None:
    arguments, control = trainer_arguments(tmp_path, schedule, "float32", cpu=True, tests=True), TrainerControl()
    TimelySteps().on_step_end(arguments, TrainerState(epoch=epoch), control)
    assert control.should_evaluate is expected
    TimelySteps().on_epoch_end(arguments, TrainerState(epoch=epoch), control)
    assert control.should_evaluate is False
