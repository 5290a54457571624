"""An export that is killed goes on where it was, and ends with the bundle that it would have made at once."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from clavilux.export import build
from clavilux.export.build import export_bundle, unpacked
from clavilux.export.checkpoints.load import Sources
from clavilux.export.options import Options
from clavilux.export.work.staging import WorkFolder
from clavilux.runtime.bundle.bundle import Bundle
from tests.paths import ROOT
from tests.tiny import WIDTH, tiny_options, tiny_sources

KILLED_IN = "denoiser: whole runs in torch"  # what it says while the encoder is finished and the denoiser half made
DEADLINE = 120.0  # s

EXPORT = """
import os, signal, sys
from pathlib import Path
import torch
from clavilux.export.build import export_bundle, unpacked
from tests.export.work.test_killed import KILLED_IN, options, sources

def report(line):
    if line == KILLED_IN:
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
export_bundle(sources(Path(sys.argv[1]), Path(sys.argv[2])), sys.argv[3], options(), report)
"""


def sources(checkpoints: Path, given: Path) -> Sources:
    """No words: what is resumed here has three phases."""
    return replace(tiny_sources(checkpoints), text_encoder=None, tokenizer=None, conditioning=given)


def options() -> Options:
    return replace(tiny_options("resumed"), proof_steps=2)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("given") / "given.safetensors"
    save_file({"bos": np.ones(WIDTH, np.float32)}, path)
    return path


@pytest.fixture(scope="module")
def killed(tiny_checkpoints: Path, given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Place where a bundle would have been, had its export not been killed."""
    out = tmp_path_factory.mktemp("killed") / "bundle"
    command = [sys.executable, "-W", "ignore", "-c", EXPORT, tiny_checkpoints, given, out]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return out


@pytest.fixture(scope="module")
def resumed(tiny_checkpoints: Path, given: Path, killed: Path) -> tuple[Path, list[str]]:
    """The bundle, and what its second export said."""
    assert not killed.exists()
    said: list[str] = []
    return export_bundle(sources(tiny_checkpoints, given), killed, options(), said.append).folder, said


def test_what_was_finished_before_the_kill_is_not_made_again(resumed: tuple[Path, list[str]]):
    _, said = resumed
    assert said[0].startswith("audio_encoder: finished earlier, in ")
    assert "audio_encoder: loading" not in said
    assert "denoiser: loading" in said


def test_the_resumed_bundle_is_whole_and_nothing_else_is_left(resumed: tuple[Path, list[str]]):
    folder, _ = resumed
    bundle = Bundle.open(folder)
    assert {path.name for path in folder.iterdir()} == {*bundle.files, "bundle.json"}
    assert list(folder.parent.iterdir()) == [folder]


def test_the_resumed_bundle_equals_one_made_at_once(
    resumed: tuple[Path, list[str]], tiny_checkpoints: Path, given: Path, tmp_path: Path
):
    folder, _ = resumed
    whole = export_bundle(sources(tiny_checkpoints, given), tmp_path / "bundle", options()).folder
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == names
    different = [name for name in names if (folder / name).read_bytes() != (whole / name).read_bytes()]
    assert different == []


class Unpacking:
    """Counts how often single files are unpacked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.work = WorkFolder(folder / "work")
        self.work.root.mkdir()
        self.unet = folder / "model.safetensors"
        self.unet.write_bytes(b"weights")
        self.config = folder / "config.json"
        self.config.write_text("{}")
        monkeypatch.setattr(build, "unpack_single_files", self._unpack)

    def _unpack(self, sources: Sources, folder: Path, _: object) -> Sources:
        self.count += 1
        (folder / "unet").mkdir()
        return replace(sources, unet=folder / "unet")

    def run(self) -> Sources:
        sources = Sources("me/encoder", self.unet, "me/scheduler", "me/vae", single_file_config=self.config)
        return unpacked(sources, self.work, print)


@pytest.fixture
def unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unpacking:
    return Unpacking(tmp_path, monkeypatch)


def test_a_single_file_is_unpacked_once(unpacking: Unpacking):
    first, second = unpacking.run(), unpacking.run()
    assert Path(first.unet) == Path(second.unet) == unpacking.work.root / "unpacked" / "unet"
    assert unpacking.count == 1


def test_a_changed_single_file_is_unpacked_again(unpacking: Unpacking):
    unpacking.run()
    unpacking.unet.write_bytes(b"other weights")
    unpacking.run()
    assert unpacking.count == 2


def test_a_changed_configuration_unpacks_again(unpacking: Unpacking):
    unpacking.run()
    unpacking.config.write_text('{"layers": 2}')
    unpacking.run()
    assert unpacking.count == 2


def test_a_record_that_was_cut_off_unpacks_again(unpacking: Unpacking):
    unpacking.run()
    record = unpacking.work.root / "unpacked" / "record.json"
    record.write_text(record.read_text()[:10])
    unpacking.run()
    assert unpacking.count == 2
