"""Clavilux and its peers on the same weights, steps and machine, taking turns; only ratios are told.

One picture is one whole pass in every stack: features and encoding of the window, all steps, decoding to 8 bits in the
host's memory. (Playing live, Clavilux encodes a few times a second only; here it does so for every picture, as the
others do.) The sound, the BOS embedding and the noise are the same, so the pictures must be, and their PSNR is told.
The ratio that is told first leaves the features out: there Clavilux only adds the newest hop, and the others, whose
extractor knows no stream, begin anew; of small models that alone would decide.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from clavilux.benchmarks.measurements.alternate import Ratio, alternate, ratio
from clavilux.benchmarks.measurements.in_process import LOUDNESS, Setting
from clavilux.benchmarks.measurements.percentiles import Summary, WarmUp, summary, warm_up
from clavilux.benchmarks.peers.optimum_onnx import LAYOUT
from clavilux.benchmarks.peers.process import OURS, PEERS, Contender, Loaded, Painted, Peer, PeerError
from clavilux.benchmarks.peers.wanted import SharedWeights
from clavilux.benchmarks.peers.worker import BOS, LATENTS, SAMPLES, STAGES, Job
from clavilux.export.options import Progress
from clavilux.runtime.bundle.bundle import Bundle

EQUAL_DB = 40.0  # PSNR: the mean error is 2.5 of 255 levels
MAX_DB = 120.0  # what identical pictures score: infinity has no place in JSON
LEVELS = 255.0
WARM_UP_SECONDS = 20.0  # at most, for each stack and setting; a compiled stack's first picture is told apart


@dataclass(frozen=True)
class Compared:
    """One peer at one setting."""

    setting: Setting
    peer: str  # title
    picture: Summary  # whole pass
    ours: Summary
    ratio: Ratio  # peer over Clavilux without features: above 1 Clavilux is faster
    whole: Ratio  # of whole passes, features included
    stages: dict[str, Ratio]
    stage_ms: dict[str, float]  # medians of the peer
    our_stage_ms: dict[str, float]
    psnr_db: float  # between the two pictures
    first_picture_s: float  # with whatever compiles then
    warm_up: WarmUp

    @property
    def equal(self) -> bool:
        """Whether both painted the same picture."""
        return self.psnr_db >= EQUAL_DB


@dataclass(frozen=True)
class Comparison:
    """All peers at all settings."""

    compared: tuple[Compared, ...]
    loaded: dict[str, Loaded]  # by title
    resident_mb: dict[str, float | None]  # by title, at the end
    failed: dict[str, str]  # by title: where it stopped, and what would help


@dataclass(frozen=True)
class Experiment:
    """Contenders and settings of a comparison, and how often each has its turn."""

    weights: SharedWeights
    peers: tuple[str, ...]  # names
    pythons: Mapping[str, Path]  # interpreters, by name
    python: Path  # for the others
    settings: tuple[Setting, ...]
    rounds: int
    device: str
    threads: int
    work: Path


def compare(experiment: Experiment, progress: Progress) -> Comparison:
    """Run the comparison. Raises PeerError when Clavilux itself fails; a peer that fails is named, and left out."""
    experiment.work.mkdir(parents=True, exist_ok=True)
    bundle = Bundle.open(experiment.weights.bundle)
    job = Job(experiment.weights.checkpoints, experiment.weights.bundle, experiment.device, experiment.threads)
    failed: dict[str, str] = {}
    loaded: dict[str, Loaded] = {}
    compared: list[Compared] = []
    resident: dict[str, float | None] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(Peer(OURS, experiment.python, experiment.work))
        loaded[OURS.title] = ours.load(job)
        running: dict[str, Peer] = {}
        for contender in (PEERS[name] for name in experiment.peers):
            progress(f"loading {contender.title}")
            try:
                _require_layout(contender, experiment.weights.bundle)
                peer = stack.enter_context(
                    Peer(contender, experiment.pythons.get(contender.name, experiment.python), experiment.work)
                )
                loaded[contender.title] = peer.load(job)
                running[contender.name] = peer
            except PeerError as error:
                failed[contender.title] = _advice(contender, experiment, error)
        for setting in experiment.settings:
            inputs = write_inputs(bundle, setting, experiment.work)
            for name in list(running):
                progress(f"{running[name].contender.title}, {setting}")
            round_of = _Round(setting, inputs, experiment, {OURS.name: ours, **running})
            found, stopped = round_of.run()
            compared += found
            resident |= round_of.resident
            failed |= {f"{PEERS[name].title}, {setting}": why for name, why in stopped.items()}
    return Comparison(tuple(compared), loaded, resident, failed)


def write_inputs(bundle: Bundle, setting: Setting, folder: Path) -> Path:
    """Write what every stack begins with, seeded, and return the file."""
    factor = bundle.picture.height // bundle.latents.height
    shape = (1, bundle.latents.channels, setting.height // factor, setting.width // factor)
    random = np.random.default_rng(0)
    path = folder / f"inputs-{setting.width}x{setting.height}.npz"
    arrays: dict[str, Any] = {
        SAMPLES: random.normal(0, LOUDNESS, bundle.audio.window_samples).astype(np.float32),
        BOS: np.asarray(bundle.conditioning.bos, np.float32),
        LATENTS: random.standard_normal(shape, np.float32),
    }
    np.savez(path, **arrays)
    return path


def psnr(one: Path, other: Path) -> float:
    """Return the peak signal-to-noise ratio of two pictures on disk, dB; 0 for pictures of different sizes."""
    first, second = (np.load(path, allow_pickle=False).astype(np.float64) for path in (one, other))
    if first.shape != second.shape:
        return 0.0
    error = float(np.mean((first - second) ** 2))
    return MAX_DB if error == 0 else round(min(MAX_DB, 10 * float(np.log10(LEVELS**2 / error))), 1)


def judge(
    setting: Setting, title: str, painted: Sequence[Painted], ours: Sequence[Painted], rest: tuple[float, float, WarmUp]
) -> Compared:
    """Sum up one peer's rounds beside Clavilux's of the same rounds; `rest` is PSNR, first picture, warm-up."""
    psnr_db, first, warmed = rest
    stages = {name: [[one.stages[name] for one in part] for part in (painted, ours)] for name in STAGES}
    return Compared(
        setting=setting,
        peer=title,
        picture=summary([one.seconds for one in painted]),
        ours=summary([one.seconds for one in ours]),
        ratio=ratio([one.models for one in painted], [one.models for one in ours]),
        whole=ratio([one.seconds for one in painted], [one.seconds for one in ours]),
        stages={name: ratio(*times) for name, times in stages.items()},
        stage_ms={name: round(1000 * median(times[0]), 3) for name, times in stages.items()},
        our_stage_ms={name: round(1000 * median(times[1]), 3) for name, times in stages.items()},
        psnr_db=psnr_db,
        first_picture_s=round(first, 3),
        warm_up=warmed,
    )


class _Round:
    """Everyone who is still running, at one setting."""

    def __init__(self, setting: Setting, inputs: Path, experiment: Experiment, peers: dict[str, Peer]) -> None:
        self.resident: dict[str, float | None] = {}
        self._setting = setting
        self._inputs = inputs
        self._experiment = experiment
        self._peers = peers
        self._first: dict[str, float] = {}
        self._warmed: dict[str, WarmUp] = {}
        self._painted: dict[str, list[Painted]] = {name: [] for name in peers}

    def run(self) -> tuple[list[Compared], dict[str, str]]:
        """Warm up, take turns, judge. Raises PeerError when Clavilux fails."""
        stopped: dict[str, str] = {}
        for name in list(self._peers):
            try:
                self._warm(name)
            except PeerError as error:
                if name == OURS.name:
                    raise
                stopped[name] = str(error)
                del self._peers[name]
        alternate({name: self._turn(name, stopped) for name in self._peers}, self._experiment.rounds)
        for name in stopped:
            self._peers.pop(name, None)
        ours = self._painted[OURS.name]
        found = [self._judged(name, ours) for name in self._peers if name != OURS.name]
        self.resident = {
            peer.contender.title: self._painted[name][-1].resident_mb for name, peer in self._peers.items()
        }
        return found, stopped

    def _warm(self, name: str) -> None:
        peer, steps = self._peers[name], self._setting.steps
        self._first[name] = peer.paint(self._inputs, steps, self._out(name)).seconds
        self._warmed[name] = warm_up(lambda: peer.paint(self._inputs, steps), WARM_UP_SECONDS)

    def _turn(self, name: str, stopped: dict[str, str]) -> Callable[[], float]:
        def paint() -> float:
            if name in stopped:
                return 0.0
            try:
                painted = self._peers[name].paint(self._inputs, self._setting.steps)
            except PeerError as error:
                if name == OURS.name:
                    raise
                stopped[name] = str(error)
                return 0.0
            self._painted[name].append(painted)
            return painted.seconds

        return paint

    def _judged(self, name: str, ours: Sequence[Painted]) -> Compared:
        closeness = psnr(self._out(OURS.name), self._out(name))
        rest = (closeness, self._first[name], self._warmed[name])
        return judge(self._setting, PEERS[name].title, self._painted[name], ours, rest)

    def _out(self, name: str) -> Path:
        setting = self._setting
        return self._experiment.work / f"{name}-{setting.width}x{setting.height}-{setting.steps}.npy"


def _require_layout(contender: Contender, bundle: Path) -> None:
    if contender.needs_layout and not (bundle / LAYOUT).is_dir():
        raise PeerError(f"the bundle has no {LAYOUT}/; export it again with --layout {LAYOUT}")


def _advice(contender: Contender, experiment: Experiment, error: PeerError) -> str:
    """Return why a peer is left out, and how to make its environment where none was named."""
    if contender.recipe and contender.name not in experiment.pythons:
        return f"no environment of its own; {contender.recipe}; then --peer-python {contender.name}=PEER/bin/python"
    return str(error)
