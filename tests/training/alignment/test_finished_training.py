"""A finished training is not trained on; what others wrote stays; what is no number is neither kept nor published."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from clavilux.export.models.feature_extractor import FeatureSettings, read_feature_settings
from tests.training.alignment.few_clips import RATE, mistake, run, tone, words, write_clips
from tests.training.alignment.test_command import logged, run_until

PACES = {"steps": ["--steps", "3"], "half an epoch": ["--epochs", "1.5"], "whole epochs": ["--epochs", "1"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips") / "data")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoints: Path, data: Path) -> dict[str, Path]:
    """A finished training of each pace. Copy before changing."""
    folder = tmp_path_factory.mktemp("finished")
    for name, pace in PACES.items():
        done = run(*words(tiny_checkpoints, folder / name, "--data", data, "--cpu", *pace))
        assert done.code == 0, done.err
        (folder / name / "printed").write_text(done.out)
    return {name: folder / name for name in PACES}


def published(out: Path) -> dict[str, bytes]:
    """Return what a training leaves to its users."""
    return {path.name: path.read_bytes() for path in [*(out / "encoder").iterdir(), out / "metrics.json"]}


@pytest.mark.parametrize("pace", PACES)
def test_the_same_command_again_trains_nothing_and_leaves_the_same(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, finished: dict[str, Path], pace: str
) -> None:
    out = shutil.copytree(finished[pace], tmp_path / "out")
    done = run(*words(tiny_checkpoints, out, "--data", data, "--cpu", *PACES[pace]))
    steps = json.loads((out / "metrics.json").read_text())["steps"]
    assert f"{steps} steps are done already" in done.err
    assert ", loss" not in done.err
    assert published(out) == published(finished[pace])


@pytest.mark.parametrize("pace", PACES)
def test_a_kill_after_the_last_checkpoint_loses_nothing(
    tmp_path: Path,
    tiny_checkpoints: Path,
    data: Path,
    finished: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    pace: str,
) -> None:
    command = words(tiny_checkpoints, tmp_path, "--data", data, "--cpu", *PACES[pace])
    run_until(monkeypatch, json.loads((finished[pace] / "metrics.json").read_text())["steps"], *command)
    assert not (tmp_path / "encoder").exists()
    assert run(*command).code == 0
    assert published(tmp_path) == published(finished[pace])
    assert logged(tmp_path, "eval/whole_cosine") == logged(finished[pace], "eval/whole_cosine")


def test_what_really_ran_is_recorded(finished: dict[str, Path]) -> None:
    found = json.loads((finished["steps"] / "training.json").read_text())
    assert found["options"]["precision"] == "float16"
    assert found["ran"] == {"precision": "float32", "device": "cpu"}


def test_the_closing_hint_can_be_pasted(tiny_checkpoints: Path, finished: dict[str, Path]) -> None:
    out = finished["half an epoch"]
    hint = (out / "printed").read_text().rpartition("now: ")[2]
    assert shlex.split(hint) == [
        *("clavilux", "export", f"{out}-bundle", "--encoder", str(out / "encoder")),
        *("--window", "0.63", "--lead-in", "nothing", "--diffusion", str(tiny_checkpoints / "pipeline")),
    ]


def test_the_export_hears_what_the_training_heard(finished: dict[str, Path]) -> None:
    assert read_feature_settings(finished["steps"] / "encoder") == FeatureSettings(0.0, 10_080, "nothing")


def test_weights_that_are_no_numbers_are_not_published(tmp_path: Path, tiny_checkpoints: Path, data: Path) -> None:
    encoder = shutil.copytree(tiny_checkpoints / "encoder", tmp_path / "broken")
    weights = load_file(encoder / "model.safetensors")
    weights["feature_projection.projection.bias"][0] = float("nan")
    save_file(weights, encoder / "model.safetensors", {"format": "pt"})
    command = words(tiny_checkpoints, tmp_path / "out", "--data", data, "--steps", "2", "--log-every", "10")
    line = mistake(*command, "--encoder", encoder)
    assert "weights are no numbers any more at step 2; begin again with a lower --rate" in line
    assert not (tmp_path / "out" / "encoder").exists()
    assert not list((tmp_path / "out").glob("checkpoint-*"))


def test_a_training_within_its_warmup_is_told_and_its_loss_is_logged(
    tmp_path: Path, tiny_checkpoints: Path, data: Path
) -> None:
    more = ["--steps", "2", "--warmup", "200", "--log-every", "10"]
    done = run(*words(tiny_checkpoints, tmp_path, "--data", data, *more))
    assert "2 steps end within the warm-up of 200: the rate reaches 1 % of 0.001; give a shorter --warmup" in done.err
    assert "step 2 of 2, loss" in done.err
    assert json.loads((tmp_path / "metrics.json").read_text())["loss"] > 0


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"options": {"out": "x"}, "versions": {}}'])
@pytest.mark.parametrize("theirs", ["encoder", "checkpoint-7"])
def test_a_record_of_others_is_no_leave_to_remove(
    tmp_path: Path, tiny_checkpoints: Path, data: Path, text: str, theirs: str
) -> None:
    (tmp_path / theirs).mkdir()
    (tmp_path / "training.json").write_text(text)
    for more in ([], ["--restart"]):
        line = mistake(*words(tiny_checkpoints, tmp_path, "--data", data, *more))
        assert line.endswith(f"{tmp_path / theirs} was not written by clavilux train; choose another OUT")
    assert (tmp_path / theirs).is_dir()
    assert (tmp_path / "training.json").read_text() == text


@pytest.mark.parametrize("name", ["training.json", "metrics.json"])
def test_files_of_others_are_not_overwritten(tmp_path: Path, tiny_checkpoints: Path, data: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    line = mistake(*words(tiny_checkpoints, tmp_path, "--data", data))
    assert line.endswith(f"{tmp_path / name} was not written by clavilux train; choose another OUT")


def test_a_clip_that_changed_is_named_and_a_restart_checks_again(tmp_path: Path, tiny_checkpoints: Path) -> None:
    folder = write_clips(tmp_path / "data")
    soundfile.write(folder / "9.wav", tone(), RATE, subtype="FLOAT")
    command = words(tiny_checkpoints, tmp_path / "out", "--data", folder, "--steps", "1")
    assert run(*command).code == 0
    soundfile.write(folder / "9.wav", np.full(len(tone()), np.nan, np.float32), RATE, subtype="FLOAT")
    for more in ([], ["--workers", "1"]):
        assert mistake(*command, *more) == (
            "clavilux train: 9.wav cannot be read any more (it holds samples that are no numbers, or too large); "
            "it changed since it was checked: run again with --restart"
        )
    assert "skipped: 9.wav holds samples that are no numbers" in run(*command, "--restart").err
