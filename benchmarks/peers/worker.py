"""The worker's side of a comparison: a stack in a process of its own, which paints a picture when it is told to.

JSON lines on standard input and output; `clavilux.benchmarks.peers.process` is the other side. A worker file defines a
class with the methods of `Stack` and ends with `serve(Class)`. Everything that a foreign environment may lack is
imported inside those methods; this file and the worker's own are all it sees of Clavilux, but for Clavilux's own
worker.

    -> {"do": "load", "checkpoints": FOLDER, "bundle": FOLDER, "device": "cpu", "threads": 2}
    <- {"seconds": 3.1, "resident_mb": 812.0, "versions": {...}, "notes": [...]}
    -> {"do": "paint", "inputs": "inputs.npz", "steps": 1, "out": "picture.npy"}
    <- {"stages": {"features": 0.001, "encode": 0.01, "denoise": 0.02, "decode": 0.03}, "resident_mb": 830.0}

`inputs` holds samples float32 [window], bos float32 [D], latents float32 [1, C, h, w]; the picture is uint8 [H, W, 3].
What goes wrong is answered as {"why": one line}.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

FEATURES = "features"
STAGES = (FEATURES, "encode", "denoise", "decode")
SAMPLE_RATE = 16_000  # Hz
MEL_BINS, STACK, FRAME_STEP = 80, 2, 160  # of the reference's front end
BOS, SAMPLES, LATENTS = "bos", "samples", "latents"

PLACES = ("Exception from ", "Check '")  # how OpenVINO begins to say where it failed
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """Everything that a stack is set up for."""

    checkpoints: Path  # encoder/, unet/, vae/, scheduler/
    bundle: Path  # exported from them
    device: str  # "cpu", "cuda", ...
    threads: int  # at least 1


class Stack(Protocol):
    """One way to make pictures of the same weights."""

    packages: tuple[str, ...]
    notes: tuple[str, ...]  # what a reader must know to judge the figures
    decoded: float  # seconds of the last `denoise` that were decoding already, where both are one; else 0

    def load(self, job: Job) -> None:
        """Take the weights into memory."""

    def encode(self, samples: Array, bos: Array, watch: "Watch") -> Any:
        """Turn samples into a prompt; book "features" and "encode"."""

    def denoise(self, prompt: Any, latents: Array, steps: int) -> Any:
        """Run the whole schedule."""

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """Return the picture in the host's memory, uint8 [H, W, 3]."""

    def synchronise(self) -> None:
        """Wait until nothing is under way on the device."""


class Watch:
    """Seconds of work per stage, when the device has really done it."""

    def __init__(self, synchronise: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self.stages: dict[str, float] = {}
        self._synchronise = synchronise
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Begin the next stage now; what came since the last lap is not booked."""
        self._synchronise()
        self._since = self._clock()

    def lap(self, stage: str) -> None:
        """Book the time since the last lap on `stage`."""
        self._synchronise()
        now = self._clock()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self._since
        self._since = now

    def shift(self, stage: str, other: str, seconds: float) -> None:
        """Book seconds of one stage on another."""
        self.stages[stage] -= seconds
        self.stages[other] += seconds


def serve(make: Callable[[], Stack]) -> None:
    """Answer on standard output until standard input ends; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stack = make()
    for line in sys.stdin:
        answer_to(stack, json.loads(line), answers)


def answer_to(stack: Stack, order: dict[str, Any], answers: TextIO) -> None:
    """Do what an order says, and write one line."""
    try:
        found = _load(stack, order) if order["do"] == "load" else _paint(stack, order)
    except Exception as error:  # whatever a foreign stack raises is its answer
        found = {"why": first_line(error)}
    answers.write(json.dumps(found) + "\n")
    answers.flush()


def first_line(error: BaseException) -> str:
    """Return what went wrong in one line, without the places in their sources that some libraries put before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if not line.startswith(PLACES)), lines[0] if lines else "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _load(stack: Stack, order: dict[str, Any]) -> dict[str, Any]:
    since = time.perf_counter()
    stack.load(Job(Path(order["checkpoints"]), Path(order["bundle"]), order["device"], order["threads"]))
    stack.synchronise()
    seconds = time.perf_counter() - since
    versions = {name: found for name in stack.packages if (found := _version(name))}
    return {"seconds": seconds, "resident_mb": resident_mb(), "versions": versions, "notes": list(stack.notes)}


def _paint(stack: Stack, order: dict[str, Any]) -> dict[str, Any]:
    with np.load(order["inputs"]) as found:
        samples, bos, latents = found[SAMPLES], found[BOS], found[LATENTS]
    watch = Watch(stack.synchronise)
    prompt = stack.encode(samples, bos, watch)
    painted = stack.denoise(prompt, latents, order["steps"])
    watch.lap("denoise")
    picture = stack.decode(painted)
    watch.lap("decode")
    watch.shift("denoise", "decode", stack.decoded)
    if order.get("out"):
        np.save(order["out"], picture)
    return {"stages": watch.stages, "resident_mb": resident_mb()}


def resident_mb() -> float | None:
    """Return the memory that this process holds, MB; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1.024 / 1000 for line in lines if line.startswith("VmRSS:")), None)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
