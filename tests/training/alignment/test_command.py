"""`clavilux train` as its users meet it: it trains, goes on after a kill, and says what is wrong in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clavilux import command
from clavilux.export.checkpoints.load import Sources, load_encoder
from clavilux.export.options import Options
from clavilux.export.plan import make_plan
from clavilux.training.alignment.command import EXAMPLES, add_arguments
from clavilux.training.alignment.run import claimed
from clavilux.training.alignment.trainer import TwoStreamTrainer
from tests.paths import ROOT
from tests.training.alignment.data.test_captioned import saved_set
from tests.training.alignment.few_clips import CLIPS, RATE, mistake, run, tone, words, write_clips, write_manifest

DEADLINE = 120.0  # s
BEYOND = ["--negatives", "7", "--symmetric", "1", "--regression", "0.2", "--norms", "0.1", "--shift", "0.5"]
BEYOND += ["--partial", "0.5", "--caption-template", "{}", "--caption-template", "a sound of {}"]


class StoppedError(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips") / "data")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoints: Path, data: Path) -> Path:
    """The folder of a finished training with everything on. Read only."""
    out = tmp_path_factory.mktemp("trained") / "out"
    done = run(*words(tiny_checkpoints, out, "--data", data, "--sliding", "--checkpoint-every", "1", *BEYOND))
    assert done.code == 0, done.err
    (out / "printed").write_text(done.out)
    (out / "said").write_text(done.err)
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the last checkpoint, memory of negatives included."""
    newest = max(out.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    return load_file(newest / "model.safetensors")


def logged(out: Path, name: str) -> dict[int, float]:
    """Return a figure's value at each step, as TensorBoard shows it."""
    events = EventAccumulator(str(out / "logs"))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(name)}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def run_until(monkeypatch: pytest.MonkeyPatch, step: int, *command: str | Path) -> None:
    """Run a training that ends as soon as the checkpoint of `step` is written."""
    original = TwoStreamTrainer._save_checkpoint

    def save(self: TwoStreamTrainer, model: object, trial: object) -> None:
        original(self, model, trial)
        if self.state.global_step == step:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(TwoStreamTrainer, "_save_checkpoint", save)
        with pytest.raises(StoppedError):
            run(*command)


def test_the_help_starts_with_examples() -> None:
    done = run("train", "--help")
    assert done.code == 0
    assert done.out.index("examples:") < done.out.index("--negatives N")
    assert "clavilux train my-run --data" in done.out


def test_the_examples_are_what_the_parser_takes() -> None:
    joined = EXAMPLES.replace("\\\n", " ")
    lines = [line.split() for line in joined.splitlines() if line.startswith("  clavilux train")]
    assert len(lines) == 4
    for line in lines:
        parser = command.Parser(prog="clavilux train")
        add_arguments(parser)
        parser.parse_args(line[2:])


def test_the_trained_encoder_is_what_the_export_takes(trained: Path, tiny_checkpoints: Path) -> None:
    sources = Sources.from_pipeline(trained / "encoder", tiny_checkpoints / "pipeline")
    plan = make_plan(sources, Options("mine", "", window_samples=10_080, hop_samples=1600, picture=(64, 64)))
    assert plan.count == 9
    encoder = load_encoder(trained / "encoder").state_dict()
    kept = {name.removeprefix("encoder."): value for name, value in weights(trained).items() if "memory" not in name}
    assert same(encoder, kept)


def test_training_moved_the_weights(trained: Path, tiny_checkpoints: Path) -> None:
    name = "adapter.layers.0.ffn.output_dense.weight"
    before, after = (load_encoder(folder / "encoder").state_dict()[name] for folder in (tiny_checkpoints, trained))
    assert not torch.equal(before, after)


def test_the_figures_are_in_a_file_and_in_a_table(trained: Path) -> None:
    found = json.loads((trained / "metrics.json").read_text())
    assert (found["steps"], found["whole"]["clips"], found["sliding"]["clips"]) == (6, 3, 15)
    assert len(found["whole"]["audio_norms"]) == len(found["whole"]["text_norms"]) == 8
    table = (trained / "printed").read_text()
    assert f"cosine             {found['whole']['cosine']:.4f}" in table
    assert "skipped 0 of 12 clips; 6 steps" in table
    assert "--window 0.63 --lead-in nothing" in table


def test_what_was_run_is_in_a_file(trained: Path) -> None:
    found = json.loads((trained / "training.json").read_text())
    assert found["options"]["objective"]["negatives"] == 7
    assert found["options"]["objective"]["mask_duplicates"] is True
    assert (found["data"]["train"], found["data"]["test"]) == (9, 3)
    assert found["versions"]["torch"] == torch.__version__
    assert found["finished"] is True


def test_tensorboard_has_losses_and_metrics(trained: Path) -> None:
    events = EventAccumulator(str(trained / "logs"))
    events.Reload()
    names = set(events.Tags()["scalars"])
    assert {"train/loss", "train/learning_rate", "train/grad_norm"} <= names
    figures = ("cosine", "squared_error", "distance", "norm_ratio", "audio_to_text_r1", "text_to_audio_r10", "loss")
    assert {f"eval/{test}_{figure}" for test in ("whole", "sliding") for figure in figures} <= names
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    last = events.Scalars("eval/whole_cosine")[-1].value
    assert last == pytest.approx(json.loads((trained / "metrics.json").read_text())["whole"]["cosine"], rel=1e-6)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU, which can do float16")
def test_without_a_gpu_float16_is_float32_and_said(trained: Path) -> None:
    lines = [line for line in (trained / "said").read_text().splitlines() if "float16" in line]
    assert [line.endswith("float16 needs a GPU; training in float32") for line in lines] == [True]


@pytest.mark.parametrize("step", [3, 4])
def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    command = words(tiny_checkpoints, tmp_path / "out", "--data", data, "--checkpoint-every", "1", *BEYOND)
    run_until(monkeypatch, step, *command)
    done = run(*command)
    assert f"going on from checkpoint-{step}" in done.err
    assert same(weights(tmp_path / "out"), weights(trained))
    assert logged(tmp_path / "out", "eval/whole_cosine") == logged(trained, "eval/whole_cosine")
    assert logged(tmp_path / "out", "train/loss") == logged(trained, "train/loss")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, trained: Path
) -> None:
    for name, seed in (("again", "0"), ("other", "1")):
        assert run(*words(tiny_checkpoints, tmp_path / name, "--data", data, "--seed", seed, *BEYOND)).code == 0
    assert same(weights(tmp_path / "again"), weights(trained))
    assert not same(weights(tmp_path / "other"), weights(trained))


def test_a_killed_training_goes_on_and_equals_an_uninterrupted_one(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, trained: Path
) -> None:
    out = tmp_path / "out"
    command = words(tiny_checkpoints, out, "--data", data, "--checkpoint-every", "1", *BEYOND)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "clavilux", *command], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + DEADLINE
        while not (out / "checkpoint-2" / "whole.json").exists() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "metrics.json").exists()
    done = run(*command)
    assert "going on from checkpoint-" in done.err
    assert same(weights(out), weights(trained))


def test_half_a_checkpoint_is_not_gone_on_from(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = words(tiny_checkpoints, tmp_path / "out", "--data", data, "--checkpoint-every", "1", *BEYOND)
    run_until(monkeypatch, 4, *command)
    optimizer = tmp_path / "out" / "checkpoint-4" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:100])
    assert "going on from checkpoint-3" in run(*command).err
    assert same(weights(tmp_path / "out"), weights(trained))


def test_two_checkpoints_are_kept(trained: Path) -> None:
    assert sorted(path.name for path in trained.glob("checkpoint-*")) == ["checkpoint-5", "checkpoint-6"]


def test_a_finished_training_is_measured_again_and_not_trained(
    tiny_checkpoints: Path, data: Path, trained: Path, tmp_path: Path
) -> None:
    before = (trained / "metrics.json").read_text()
    done = run(*words(tiny_checkpoints, trained, "--data", data, "--sliding", "--checkpoint-every", "1", *BEYOND))
    assert (done.code, "step 6 of 6, loss" in done.err) == (0, False)
    after = json.loads((trained / "metrics.json").read_text())
    assert after["whole"] == json.loads(before)["whole"]
    assert f"0 captions encoded now, 8 taken from {trained / 'text'}" in done.err


def test_going_on_with_other_options_is_refused(tiny_checkpoints: Path, data: Path, trained: Path) -> None:
    command = words(tiny_checkpoints, trained, "--data", data, "--sliding", "--checkpoint-every", "1", *BEYOND)
    line = mistake(*command, "--rate", "2e-3")
    assert (
        "was begun with options.schedule.rate 0.001, not 0.002; give what it was begun with, choose another OUT, "
        "or begin anew (clavilux train --restart)" in line
    )


def test_restarting_begins_anew(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    command = words(tiny_checkpoints, tmp_path / "out", "--data", data, "--steps", "1")
    assert run(*command).code == 0
    done = run(*command, "--rate", "5e-4", "--restart")
    assert (done.code, "going on" in done.err) == (0, False)


def test_checkpoints_of_others_stay(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    for name in ("checkpoint-500", "encoder"):
        theirs = tmp_path / name / name
        theirs.mkdir(parents=True)
        for more in ([], ["--restart"]):
            line = mistake(*words(tiny_checkpoints, tmp_path / name, "--data", data, *more))
            assert line.endswith(f"{theirs} was not written by clavilux train; choose another OUT")
        assert theirs.exists()


def test_a_folder_that_another_training_writes_is_refused(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    with claimed(tmp_path):
        line = mistake(*words(tiny_checkpoints, tmp_path, "--data", data))
    assert f"another training is writing {tmp_path}; wait for it, or choose another OUT" in line


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        line = mistake(*words(tiny_checkpoints, out, "--data", data))
        assert line.startswith(f"clavilux train: {out} cannot be written (")


def test_resuming_from_nothing_is_one_line(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", data, "--resume"))
    assert "out has no whole checkpoint to go on from; leave --resume out to begin" in line


def test_a_small_encoder_from_nothing_learns(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    command = ["train", tmp_path / "out", "--data", data, "--text", tiny_checkpoints / "pipeline", "--tokens", "8"]
    pace = ["--from-scratch", "1x24", "--steps", "60", "--batch", "9", "--accumulation", "1", "--rate", "5e-3"]
    done = run(*command, *pace, "--warmup", "5", "--no-gradient-checkpointing", "--mask-duplicates", "--log-every", "5")
    losses = [float(line.rpartition(" ")[2]) for line in done.err.splitlines() if ", loss " in line]
    assert done.code == 0
    assert losses[-1] < 0.9 * losses[0]  # no lower: half of the places come before the captions differ


def test_a_configuration_is_begun_from_nothing(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    command = ["train", tmp_path / "out", "--data", data, "--text", tiny_checkpoints / "pipeline", "--steps", "1"]
    config = tiny_checkpoints / "encoder" / "config.json"
    assert run(*command, "--encoder-config", config, "--tokens", "4", "--accumulation", "1").code == 0
    assert (tmp_path / "out" / "encoder" / "model.safetensors").exists()


def test_an_encoder_begins_in_one_way(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", data, "--from-scratch", "1x24"))
    assert "--encoder and --from-scratch were given; an encoder begins in one way" in line


def test_an_encoder_that_is_not_there_is_one_line_before_data_are_read(tmp_path: Path, tiny_checkpoints: Path) -> None:
    command = ["train", tmp_path / "out", "--data", tmp_path / "none", "--text", tiny_checkpoints / "pipeline"]
    assert f"encoder {tmp_path / 'missing'} does not exist" in mistake(*command, "--encoder", tmp_path / "missing")


def test_a_configuration_of_another_model_is_one_line_before_data_are_read(
    tmp_path: Path, tiny_checkpoints: Path
) -> None:
    config = tiny_checkpoints / "pipeline" / "text_encoder" / "config.json"
    command = ["train", tmp_path / "out", "--data", tmp_path / "none", "--text", tmp_path / "none"]
    line = mistake(*command, "--encoder-config", config)
    assert line.endswith(f"encoder {config} is a 'clip_text_model' model; expected 'wav2vec2-bert'")


def test_all_places_of_clip_are_reached(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    done = run(*words(tiny_checkpoints, tmp_path / "out", "--data", data, "--tokens", "76", "--steps", "1"))
    assert "--window 6.07" in done.out
    assert len(json.loads((tmp_path / "out" / "metrics.json").read_text())["whole"]["audio_norms"]) == 76


def test_more_places_than_the_text_encoder_has_are_one_line(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", data, "--tokens", "77"))
    assert "77 tokens and BOS are 78" in line
    assert "use --tokens 76 or fewer" in line


def bad_data(folder: Path) -> Path:
    write_clips(folder)
    (folder / "0.wav").write_text("no sound")
    soundfile.write(folder / "1.wav", tone(rate=8000), 8000)
    lines = [{"audio": f"{i}.wav", "caption": "" if i == 2 else "tone"} for i in range(CLIPS)]
    return write_manifest(folder, lines)


def test_bad_clips_are_named_and_counted_at_the_end(tmp_path: Path, tiny_checkpoints: Path) -> None:
    folder = bad_data(tmp_path / "data")
    command = words(tiny_checkpoints, tmp_path / "out", "--data", folder, "--steps", "1", "--expect-rate", str(RATE))
    done = run(*command)
    assert "skipped 3 of 12 clips: 1 empty caption, 1 unreadable, 1 wrong rate; 1 steps" in done.out
    assert "skipped: 1.wav has 8000 Hz; expected 16000" in done.err
    assert "expected_rate" not in done.err


def test_bad_clips_are_refused_when_asked(tmp_path: Path, tiny_checkpoints: Path) -> None:
    folder = bad_data(tmp_path / "data")
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", folder, "--on-bad", "refuse"))
    assert line.startswith("clavilux train: 0.wav cannot be read")


def streamed(checkpoints: Path, out: Path, folder: Path) -> list[str]:
    more = ["--audio-column", "sound", "--caption-column", "text", "--streaming", "--steps", "4", "--negatives", "5"]
    return words(checkpoints, out, "--dataset", folder, *more, "--checkpoint-every", "1")


def test_a_resumed_stream_equals_an_uninterrupted_one(
    tmp_path: Path, tiny_checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions: list[object] = [[f"tone {i}"] if i != 3 else [] for i in range(10)]
    folder = saved_set(tmp_path / "set", 10, captions)
    whole = run(*streamed(tiny_checkpoints, tmp_path / "whole", folder))
    assert "skipped 1 clips: 1 empty caption; 4 steps" in whole.out, whole.err
    parts = streamed(tiny_checkpoints, tmp_path / "parts", folder)
    run_until(monkeypatch, 2, *parts)
    assert "going on from checkpoint-2" in run(*parts).err
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_a_set_is_trained_on_like_a_folder(tmp_path: Path, tiny_checkpoints: Path) -> None:
    folder = saved_set(tmp_path / "set", 8)
    columns = ["--audio-column", "sound", "--caption-column", "text"]
    done = run(*words(tiny_checkpoints, tmp_path / "out", "--dataset", folder, *columns, "--steps", "1"))
    assert "7 clips to train on, 1 to test with" in done.err


def test_loading_processes_change_nothing(tmp_path: Path, tiny_checkpoints: Path, data: Path, trained: Path) -> None:
    command = words(tiny_checkpoints, tmp_path / "out", "--data", data, *BEYOND, "--workers", "1")
    assert run(*command).code == 0
    assert same(weights(tmp_path / "out"), weights(trained))


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--streaming", "--steps", "3"], "--streaming reads a --dataset; a folder is read as it is"),
        (["--negatives", "-1"], "--negatives is -1; expected 0 or more"),
        (["--regression", "nan"], "--regression is nan; expected 0 or more"),
        (["--norms", "inf"], "--norms is inf; expected 1000000 or less"),
        (["--test-share", "1"], "--test-share is 1; expected 0 or more, and less than 1"),
        (["--workers", "-1"], "--workers is -1; expected 0 or more"),
        (["--warmup", "-1"], "--warmup is -1; expected 0 or more"),
        (["--seed", "-1"], "--seed is -1; expected 0 or more"),
        (["--seed", "4294967296"], "--seed is 4294967296; expected 4294967295 or less"),
        (["--tokens", "76", "--adapter-stride", "100"], "need a window of"),
        (["--from-scratch", "00x9"], "'00x9' is no shape"),
        (["--caption-template", "a sound"], "the caption template is 'a sound'"),
        (["--partial", "2"], "the share partial is 2; expected 0 to 1"),
        (["--tokens", "0"], "'0'; expected a whole number, 1 or more"),
        (["--rate", "0"], "'0'; expected a number above 0"),
        (["--rate", "fast"], "'fast' is no number"),
        (["--from-scratch", "0x9"], "'0x9' is no shape; expected for example 4x96"),
        (["--dataset", "x"], "one of the two"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, more: list[str], complaint: str
) -> None:
    assert complaint in mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", data, *more))


def test_data_that_are_all_test_are_one_line(tmp_path: Path, tiny_checkpoints: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    write_manifest(tmp_path, [{"audio": "a.wav", "caption": "x", "split": "test"}])
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", tmp_path))
    assert line.endswith("all 1 clips are for the test; expected some to train on")


def test_one_clip_alone_is_one_line(tmp_path: Path, tiny_checkpoints: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    write_manifest(tmp_path, [{"audio": "a.wav", "caption": "x"}])
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", tmp_path))
    assert line.endswith("all 1 clips are for the test; give more, or --test-share 0")


def test_a_cache_that_is_no_folder_is_one_line(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    (tmp_path / "file").write_text("")
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", data, "--cache", tmp_path / "file"))
    assert line.startswith(f"clavilux train: text tokens cannot be written below {tmp_path / 'file'}")
    assert line.endswith("(Not a directory); expected a folder: choose another --cache or OUT")


def test_without_test_clips_there_are_no_figures(tmp_path: Path, tiny_checkpoints: Path) -> None:
    write_clips(tmp_path / "data", split=False)
    command = words(
        tiny_checkpoints, tmp_path / "out", "--data", tmp_path / "data", "--steps", "1", "--test-share", "0"
    )
    done = run(*command)
    assert done.out.startswith("skipped 0 of 12 clips; 1 steps")


def test_a_missing_extra_is_named(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "clavilux.training.alignment.run", None)
    line = mistake(*words(tiny_checkpoints, tmp_path / "out", "--data", data))
    assert line.endswith("is not installed; run: pip install 'clavilux[train]'")


def test_an_interrupted_training_says_how_to_go_on(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clavilux.training.alignment.run.run_training", interrupt)
    done = run(*words(tiny_checkpoints, tmp_path / "out", "--data", data))
    assert (done.code, "the same command goes on from the last checkpoint" in done.err) == (130, True)


def launched(processes: int, *more: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `accelerate launch -m clavilux.training.alignment.command` on so many processes of this machine's CPU.

    `--multi_gpu` because `accelerate launch --cpu` begins several processes through MPI only.
    """
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        str(processes),
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = [sys.executable, *launch, "-m", "clavilux.training.alignment.command", *(str(word) for word in more)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


def test_two_processes_train_together(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    out = tmp_path / "out"
    more = ["--data", data, "--negatives", "6", "--gather", "--checkpoint-every", "1", "--steps", "3"]
    done = launched(2, *words(tiny_checkpoints, out, *more)[1:])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("skipped 0 of 12 clips; 3 steps") == 1
    assert json.loads((out / "training.json").read_text())["processes"] == 2
    assert json.loads((out / "metrics.json").read_text())["whole"]["clips"] == 3
    assert "Warning" not in done.stderr
    found = weights(out)
    assert int(found["memory.written"]) == 3 * 2 * 2 * 3  # steps x accumulation x processes x batch, 9 clips cycled
    assert np.isfinite(found["encoder.adapter.layers.0.ffn.output_dense.weight"].numpy()).all()
