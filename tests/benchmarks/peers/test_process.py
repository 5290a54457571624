"""Workers and those who speak to them: one line each way, and one line for whatever goes wrong."""

import io
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clavilux.benchmarks.peers.process import OURS, PEERS, Contender, Painted, Peer, PeerError
from clavilux.benchmarks.peers.worker import Job, Watch, answer_to, first_line

FILE = "worker.py"
ANSWERS = """
import json, sys
for line in sys.stdin:
    order = json.loads(line)
    print(json.dumps({"load": LOAD, "paint": PAINT}[order["do"]]), flush=True)
"""


class Fake:
    """A stack whose stages take a second each, on a clock that it moves itself."""

    packages = ("numpy", "no-such-package")
    notes = ("a note",)
    decoded = 0.0

    def __init__(self) -> None:
        self.job: Job | None = None
        self.waits = 0

    def load(self, job: Job) -> None:
        self.job = job

    def encode(self, samples: Any, bos: Any, watch: Watch) -> Any:
        watch.lap("features")
        watch.lap("encode")
        return bos

    def denoise(self, prompt: Any, latents: Any, steps: int) -> Any:
        return latents * steps

    def decode(self, latents: Any) -> Any:
        return np.full((2, 2, 3), latents.max(), np.uint8)

    def synchronise(self) -> None:
        self.waits += 1


def told(stack: Fake, order: dict[str, Any]) -> dict[str, Any]:
    out = io.StringIO()
    answer_to(stack, order, out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    path = tmp_path / "inputs.npz"
    np.savez(path, samples=np.zeros(4, np.float32), bos=np.zeros(2, np.float32), latents=np.ones((1, 1, 2, 2)))
    return path


def test_a_stack_is_loaded_for_its_job_and_says_what_it_is_made_of():
    stack = Fake()
    found = told(stack, {"do": "load", "checkpoints": "a", "bundle": "b", "device": "cpu", "threads": 3})
    assert stack.job == Job(Path("a"), Path("b"), "cpu", 3)
    assert found["versions"] == {"numpy": np.__version__}
    assert found["notes"] == ["a note"]


def test_a_picture_is_painted_kept_and_timed(inputs: Path, tmp_path: Path):
    out = tmp_path / "picture.npy"
    found = told(Fake(), {"do": "paint", "inputs": str(inputs), "steps": 4, "out": str(out)})
    assert set(found["stages"]) == {"features", "encode", "denoise", "decode"}
    assert np.load(out).max() == 4


def test_the_device_has_finished_before_a_time_is_taken(inputs: Path):
    stack = Fake()
    told(stack, {"do": "paint", "inputs": str(inputs), "steps": 1})
    assert stack.waits == 5  # before the first stage, and after each of four


def test_time_between_the_stages_is_not_booked():
    clock = iter([0.0, 5.0, 6.0])
    watch = Watch(lambda: None, lambda: next(clock))
    watch.begin()
    watch.lap("encode")
    assert watch.stages == {"encode": 1.0}


def test_decoding_in_the_same_go_is_booked_as_decoding(inputs: Path):
    stack = Fake()
    stack.decoded = 100.0
    stages = told(stack, {"do": "paint", "inputs": str(inputs), "steps": 1})["stages"]
    assert stages["decode"] >= 100.0
    assert stages["denoise"] < 0


def test_what_goes_wrong_is_one_line(tmp_path: Path):
    found = told(Fake(), {"do": "paint", "inputs": str(tmp_path / "none.npz"), "steps": 1})
    assert found["why"].startswith("FileNotFoundError: ")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Exception from src/a.cpp:7:\nCheck 'x' failed\nit is too small\nmore", "RuntimeError: it is too small"),
        ("Check 'x' failed", "RuntimeError: Check 'x' failed"),
        ("", "RuntimeError"),
    ],
)
def test_a_reason_leaves_out_where_it_arose(message: str, line: str):
    assert first_line(RuntimeError(message)) == line


def worker(folder: Path, code: str) -> Contender:
    """Return a contender that runs `code`."""
    (folder / "strange_worker.py").write_text(code)
    return Contender("strange", "Strange", "strange_worker")


def test_a_peer_is_asked_and_answers(tmp_path: Path, inputs: Path):
    load = {"seconds": 1.5, "resident_mb": None, "versions": {"a": "1"}, "notes": ["n"]}
    paint = {"stages": {"features": 1.0, "encode": 0.5, "denoise": 0.25, "decode": 0.25}, "resident_mb": 7.0}
    code = ANSWERS.replace("LOAD", repr(load)).replace("PAINT", repr(paint))
    with Peer(worker(tmp_path, code), Path(sys.executable), tmp_path) as peer:
        found = peer.load(Job(tmp_path, tmp_path, "cpu", 1))
        painted = peer.paint(inputs, 1)
    assert (found.seconds, found.versions, found.notes) == (1.5, {"a": "1"}, ("n",))
    assert painted == Painted(paint["stages"], 7.0)
    assert (painted.seconds, painted.models) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; sys.stderr.write('no such card\\n')", "it ended: no such card"),
        ('import sys\nfor line in sys.stdin: print(\'{"why": "too large"}\', flush=True)', "too large"),
        ("import time; time.sleep(60)", "no answer"),
    ],
)
def test_a_peer_that_fails_says_why_in_one_line(tmp_path: Path, code: str, why: str):
    with (
        Peer(
            worker(tmp_path, code), Path(sys.executable), tmp_path, patience=5.0 if "sleep" not in code else 0.2
        ) as peer,
        pytest.raises(PeerError, match=why),
    ):
        peer.load(Job(tmp_path, tmp_path, "cpu", 1))


def test_a_late_answer_is_never_taken_for_the_next_one(tmp_path: Path, inputs: Path):
    code = "import time\nfor _ in range(2): input(); time.sleep(0.5); print('{}', flush=True)"
    with Peer(worker(tmp_path, code), Path(sys.executable), tmp_path, patience=0.2) as peer:
        for _ in range(2):
            with pytest.raises(PeerError, match=r"no answer|it ended"):
                peer.paint(inputs, 1)
            time.sleep(0.6)


def test_a_python_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(PeerError, match=r"none/python does not start .*; expected a python, see --peer-python"):
        Peer(OURS, tmp_path / "none" / "python", tmp_path)


@pytest.mark.torch  # which the workers import, in their own processes
@pytest.mark.parametrize("name", PEERS)
def test_a_foreign_worker_stands_on_its_own_files(name: str, tmp_path: Path):
    alone = replace(PEERS[name], words=())
    with Peer(alone, Path(sys.executable), tmp_path) as peer, pytest.raises(PeerError) as failure:
        peer.load(Job(tmp_path, tmp_path, "cpu", 1))
    assert "No module named 'clavilux" not in str(failure.value)
    place = tmp_path / f"{name}-files"
    copied = {str(path.relative_to(place)) for path in place.rglob("*.py")}
    package = ("clavilux", "clavilux/benchmarks", "clavilux/benchmarks/peers")
    assert copied == {f"{folder}/__init__.py" for folder in package} | {f"{package[-1]}/{file}" for file in alone.files}
