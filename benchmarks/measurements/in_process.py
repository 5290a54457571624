"""Stage times in this process: the instrument hears one hop of sound and makes one picture, again and again.

Every pass runs every stage, so that they share caches as they do live; JPEG as the server makes it comes last. On a
GPU a stage ends when its result is in the host's memory, so nothing is still under way when its time is taken.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from clavilux.benchmarks.measurements.percentiles import Summary, WarmUp, summary, warm_up
from clavilux.runtime.clock import Timer
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.playing.pacing import HopPacer
from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE, STEP_SECONDS
from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.stage.compression import compress

WORK = ("features", "encode", "condition", "denoise", "decode", "compress")  # the stages, in order
PER_HOP = ("features", "encode")  # the others are done per picture
LOUDNESS = 0.1  # deviation of the noise that is heard: -20 dBFS, which no gate keeps out
SHARE_OF_WARM_UP = 0.5  # of the measuring time, at most
MIN_PICTURES = 3  # pictures measured, however long they take


@dataclass(frozen=True)
class Setting:
    """One size and one number of steps."""

    height: int
    width: int
    steps: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.steps} step{'s' if self.steps > 1 else ''}"


@dataclass(frozen=True)
class StageTimes:
    """Times of one setting."""

    setting: Setting
    stages: dict[str, Summary]
    picture: Summary  # condition, denoise, decode and compress together
    frames_per_second: float  # that one picture after the other would give, with the hops between them
    warm_up: WarmUp


def noise() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Yield seeded noise without end, a second at a time."""
    random = np.random.default_rng(0)
    while True:
        yield random.normal(0, LOUDNESS, SAMPLE_RATE).astype(np.float32)


def measure(
    instrument: Instrument, setting: Setting, parameters: Parameters, seconds: float, clock: Timer = time.perf_counter
) -> StageTimes:
    """Play with `parameters` in this setting for `seconds`, after a warm-up.

    Raises ParameterError when the bundle cannot have this setting.
    """
    sizes = {"height": setting.height, "width": setting.width} if "height" in instrument.ranges else {}
    parameters = parameters.merge({"steps": setting.steps, **sizes}, instrument.ranges)
    play = _player(instrument, parameters, clock)
    warmed = warm_up(play, seconds * SHARE_OF_WARM_UP, clock)
    taken: list[dict[str, float]] = []
    began = clock()
    while len(taken) < MIN_PICTURES or clock() - began < seconds:
        taken.append(play())
    return summed_up(setting, taken, _live_hop(instrument, parameters, taken), warmed)


def summed_up(setting: Setting, taken: list[dict[str, float]], hop: float, warmed: WarmUp) -> StageTimes:
    """Sum up passes, each with the seconds of every stage; `hop` is how much sound the encoder waits for, seconds.

    The instrument looks at the sound once per hop, and at most once per picture.
    """
    stages = {name: summary([one[name] for one in taken]) for name in WORK}
    pictures = [sum(one[name] for name in WORK if name not in PER_HOP) for one in taken]
    hops = [sum(one[name] for name in PER_HOP) for one in taken]
    picture, per_hop = float(np.median(pictures)), float(np.median(hops))
    rate = max((1 - per_hop / hop) / picture, 1 / (picture + per_hop))
    return StageTimes(setting, stages, summary(pictures), round(rate, 2), warmed)


def _asked_hop(parameters: Parameters) -> int:
    """Return the hop that the parameters ask for, in samples; 0 is what fits."""
    return round(parameters.hop / STEP_SECONDS) * FRAME_STEP


def _live_hop(instrument: Instrument, parameters: Parameters, taken: list[dict[str, float]]) -> float:
    """Return the seconds between two hops, as the engine would pace them after these passes."""
    pacer = HopPacer(instrument.bundle.audio.hop_samples)
    for one in taken:
        pacer.note(sum(one[name] for name in PER_HOP))
    return (_asked_hop(parameters) or pacer.hop_samples) / SAMPLE_RATE


def _player(instrument: Instrument, parameters: Parameters, clock: Timer) -> Callable[[], dict[str, float]]:
    """Return what hears one more hop, makes its picture, and returns the seconds of every stage."""
    hop = _asked_hop(parameters) or instrument.bundle.audio.hop_samples
    sound, layout, passed = noise(), PictureFormat(), 0

    def play() -> dict[str, float]:
        nonlocal passed
        instrument.hear(np.resize(next(sound), hop), SAMPLE_RATE, captured_at=passed / SAMPLE_RATE)
        passed += hop
        frame = instrument.step(passed / SAMPLE_RATE, parameters)
        since = clock()
        compress(frame.pixels, layout)
        return {**frame.stages, "compress": clock() - since}

    return play
