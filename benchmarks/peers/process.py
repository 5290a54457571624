"""A peer as seen from here: a process with an interpreter of its own, spoken to in JSON lines.

    with Peer(PEERS["torch"], Path("optimum/bin/python"), folder) as peer:
        peer.load(job)
        peer.paint(inputs, steps=1)

A foreign interpreter sees two or three files of `benchmarks/`, copied into a folder of their own, and nothing else of
Clavilux. Whatever goes wrong there is a PeerError in one line; what it wrote to standard error lies beside the results.
"""

import json
import os
import queue
import shutil
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.peers.worker import FEATURES, Job

HERE = Path(__file__).parent
PATIENCE = 1800.0  # s, for one answer: torch.compile takes minutes
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
MAX_REASON = 160  # characters of a reason


class PeerError(BenchError):
    """A peer cannot do what it was asked for; the others go on."""


@dataclass(frozen=True)
class Contender:
    """One stack that can be compared."""

    name: str
    title: str  # for tables and plots
    module: str
    files: tuple[str, ...] = ()  # of `benchmarks/` that it stands on; (): all of Clavilux, as it is installed
    words: tuple[str, ...] = ()
    needs_layout: bool = False  # the bundle's folder `diffusers`
    recipe: str = ""  # how to make its environment; "": the present one will do


OURS = Contender("clavilux", "Clavilux", "clavilux.benchmarks.peers.ours")
SHARED = ("worker.py", "pytorch.py")
OWN = "python -m venv PEER && PEER/bin/pip install"
OLDER = "'huggingface_hub<0.26' 'transformers<4.40' 'accelerate<0.30' 'numpy<2'"  # what diffusers 0.24 goes with
PEERS = {
    peer.name: peer
    for peer in (
        Contender("torch", "PyTorch eager", "clavilux.benchmarks.peers.pytorch", SHARED),
        Contender("torch-compile", "PyTorch compiled", "clavilux.benchmarks.peers.pytorch", SHARED, ("--compile",)),
        Contender(
            "optimum",
            "optimum, ONNX Runtime",
            "clavilux.benchmarks.peers.optimum_onnx",
            (*SHARED, "optimum_onnx.py"),
            needs_layout=True,
            recipe=f"{OWN} 'clavilux[optimum]' torch pillow",
        ),
        Contender(
            "openvino",
            "optimum-intel, OpenVINO",
            "clavilux.benchmarks.peers.optimum_intel",
            (*SHARED, "optimum_onnx.py", "optimum_intel.py"),
            needs_layout=True,
            recipe=f"{OWN} 'optimum-intel[openvino]' diffusers torch pillow",
        ),
        Contender(
            "streamdiffusion",
            "StreamDiffusion",
            "clavilux.benchmarks.peers.stream_diffusion",
            (*SHARED, "stream_diffusion.py"),
            recipe=f"{OWN} streamdiffusion torch {OLDER}",
        ),
    )
}


@dataclass(frozen=True)
class Loaded:
    """Answer of a peer that is ready."""

    seconds: float
    resident_mb: float | None
    versions: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Painted:
    """Times of one picture there."""

    stages: dict[str, float]  # seconds
    resident_mb: float | None

    @property
    def seconds(self) -> float:
        """From the sound to the picture."""
        return sum(self.stages.values())

    @property
    def models(self) -> float:
        """The same without the features."""
        return self.seconds - self.stages.get(FEATURES, 0.0)


class Peer:
    """A running worker; a context manager that ends it."""

    def __init__(self, contender: Contender, python: Path, folder: Path, *, patience: float = PATIENCE) -> None:
        """`folder` is where its copies and what it says are kept."""
        self.contender = contender
        self._patience = patience
        self._log = folder / f"{contender.name}.log"
        command = [str(python), "-u", "-m", contender.module, *contender.words]
        environment = {**{k: v for k, v in os.environ.items() if k not in THREADS}, **QUIET}
        if contender.files:
            environment["PYTHONPATH"] = str(_copied(contender, folder))
        try:
            with self._log.open("w") as log:
                self._process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment,
                    cwd=folder,
                )
        except OSError as error:
            raise PeerError(
                f"{python} does not start ({error.strerror}); expected a python, see --peer-python"
            ) from error
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, name=f"peer-{contender.name}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(BrokenPipeError):  # an order that was not taken any more
                    pipe.close()

    def load(self, job: Job) -> Loaded:
        """Let it take the weights. Raises PeerError."""
        places = {"checkpoints": str(job.checkpoints.resolve()), "bundle": str(job.bundle.resolve())}
        found = self._ask({"do": "load", **places, "device": job.device, "threads": job.threads})
        return Loaded(found["seconds"], found["resident_mb"], found["versions"], tuple(found["notes"]))

    def paint(self, inputs: Path, steps: int, out: Path | None = None) -> Painted:
        """Let it make one picture, kept in the file `out`. Raises PeerError."""
        order = {
            "do": "paint",
            "inputs": str(inputs.resolve()),
            "steps": steps,
            "out": str(out.resolve()) if out else None,
        }
        found = self._ask(order)
        return Painted(found["stages"], found["resident_mb"])

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        stdin = self._process.stdin
        try:
            if stdin:
                stdin.write(json.dumps(order) + "\n")
                stdin.flush()
            line = self._lines.get(timeout=self._patience)
        except (OSError, queue.Empty) as error:
            self._process.kill()  # an answer that comes late would be taken for the next one
            raise PeerError(self._why("no answer")) from error
        if not line:
            raise PeerError(self._why("it ended"))
        found: dict[str, Any] = json.loads(line)
        if "why" in found:
            raise PeerError(str(found["why"])[:MAX_REASON])
        return found

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def _why(self, what: str) -> str:
        """Return the last line that it wrote before it fell silent."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{what}: {lines[-1].strip()[:MAX_REASON]}" if lines else what


def _copied(contender: Contender, folder: Path) -> Path:
    """Return a folder that holds the worker's files as a package, and nothing else."""
    place = folder.resolve() / f"{contender.name}-files"  # the worker runs elsewhere
    package = place.joinpath(*__name__.split(".")[:-1])
    package.mkdir(parents=True, exist_ok=True)
    for parent in (package, *package.relative_to(place).parents):
        (place / parent / "__init__.py").touch()
    (place / "__init__.py").unlink()
    for name in contender.files:
        shutil.copyfile(HERE / name, package / name)
    return place
