"""Times of a picture on an NVIDIA card, in the models and outside of them, and whether promises are kept.

    python -m clavilux.benchmarks.studies.gpu_frame_path                                    # the default bundle on CUDA
    python -m clavilux.benchmarks.studies.gpu_frame_path --device tensorrt --bundle sd-turbo-512  # one's own, 512x512
    python -m clavilux.benchmarks.studies.gpu_frame_path --architecture sd-turbo    # seeded random weights; takes torch

The promises of `clavilux.runtime.diffusion.device_pipeline`: the same pictures as through the host, one wait per
picture, nothing allocated while it plays. The goals, for an H100 at 512x512 and one step: 200 pictures per second, 2 ms
outside the models. Time in the models is the card's own, between events on its stream; a hop of the encoder counts
whole. ONNX Runtime tells Python nothing of its arenas, so that what is allocated is what the driver says the card has
less of.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.percentiles import Summary, summary
from clavilux.benchmarks.peers.wanted import Wanted
from clavilux.benchmarks.peers.weights import make
from clavilux.export.options import Progress
from clavilux.runtime.clock import Timer
from clavilux.runtime.diffusion.device_pipeline import DevicePipeline
from clavilux.runtime.diffusion.frame_maker import latent_shape
from clavilux.runtime.diffusion.host_pipeline import HostPipeline
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.pipeline import PictureRequest
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from clavilux.runtime.placement.devices import check_device
from clavilux.runtime.sound.format import SAMPLE_RATE

GOAL_RATE = 200.0  # pictures per second
GOAL_OUTSIDE = 2.0  # ms of the median picture
FEEDBACK = 0.3  # so that the last latents come back too
SETTLED = 20  # pictures, and
SETTLED_HOPS = 3  # before anything is measured: buffers have their places, CUDA graphs are captured
COMPARED = 4  # pictures that are painted in both ways
LOUDNESS = 0.1
MIB = 2**20
EXIT_USAGE = 2


@dataclass(frozen=True)
class FramePath:
    """Figures of one bundle on the card."""

    bundle: str
    provider: str
    size: tuple[int, int]  # height, width
    steps: int
    pictures: int
    hops: int  # windows of sound that were encoded meanwhile
    rate: float  # pictures per second, hops included
    picture: Summary  # ms from asking to having it
    models: Summary
    outside: Summary
    waits: float  # of the host, per picture; the encoder's are not among them
    sizes: int  # that buffers were made for meanwhile
    pinned_mib: float  # allocated meanwhile
    card_mib: float  # that the card has less free than before
    differs: int  # levels of 255, at most, between a picture and the same one through the host

    @property
    def verdicts(self) -> dict[str, bool]:
        """Which goals and promises held."""
        return {
            f"{GOAL_RATE:.0f} pictures per second": self.rate >= GOAL_RATE,
            f"at most {GOAL_OUTSIDE:g} ms outside the models": self.outside.p50 <= GOAL_OUTSIDE,
            "one wait per picture": self.waits == 1,
            "nothing allocated while it plays": not (self.sizes or self.pinned_mib or self.card_mib > 0),
            "the host's pictures": self.differs <= 1,
        }


def measure(instrument: Instrument, name: str, seconds: float, clock: Timer = time.perf_counter) -> FramePath:
    """Play for so many seconds, as fast as it goes. Raises BenchError when pictures are not painted on the card."""
    pipeline = instrument.pipeline
    if not isinstance(pipeline, DevicePipeline):
        raise BenchError(f"{name}: its latents go through the host; the log above says why")
    player = _Player(instrument, pipeline, clock)
    player.settle()
    stream, hops = pipeline.stream, instrument.hops
    before = stream.waits - player.encoder_waits, pipeline.canvases, stream.pinned_bytes, stream.free_bytes()
    player.times.clear()
    since = clock()
    while clock() - since < seconds or not player.times:
        player.play()
    took, pictures = clock() - since, len(player.times)
    after = stream.waits - player.encoder_waits, pipeline.canvases, stream.pinned_bytes, stream.free_bytes()
    return FramePath(
        bundle=name,
        provider=instrument.models.provider,
        size=(player.shape[0], player.shape[1]),
        steps=player.parameters.steps,
        pictures=pictures,
        hops=instrument.hops - hops,
        rate=round(pictures / took, 1),
        picture=summary([whole for whole, _ in player.times]),
        models=summary([models for _, models in player.times]),
        outside=summary([whole - models for whole, models in player.times]),
        waits=round((after[0] - before[0]) / pictures, 3),
        sizes=after[1] - before[1],
        pinned_mib=round((after[2] - before[2]) / MIB, 3),
        card_mib=round((before[3] - after[3]) / MIB, 3),
        differs=difference(instrument, pipeline),
    )


class _Player:
    """Plays sound and takes pictures without a pause, and notes what each one took."""

    def __init__(self, instrument: Instrument, pipeline: DevicePipeline, clock: Timer) -> None:
        values = {"noise": "walk", "feedback": FEEDBACK}
        self.parameters = instrument.defaults.merge(values, instrument.ranges)
        self.times: list[tuple[float, float]] = []  # s: of the whole picture, in models
        self.encoder_waits = 0
        self.shape: tuple[int, ...] = ()  # of the last picture
        self._instrument = instrument
        self._pipeline = pipeline
        self._clock = clock
        self._now = 0.0  # s of the sound
        self._random = np.random.default_rng(0)

    def settle(self) -> None:
        """Fill the encoder's window, whose graph has another shape until then, and play until all has its place."""
        self._hear(self._instrument.bundle.audio.window_samples)
        while len(self.times) < SETTLED or self._instrument.hops < SETTLED_HOPS:
            self.play()

    def play(self) -> None:
        """Give it the sound of one picture's time, and take the picture."""
        hops = self._instrument.hops
        since = self._clock()
        self._hear(round(SAMPLE_RATE / GOAL_RATE))
        frame = self._instrument.step(self._now, self.parameters)
        took = self._clock() - since
        encoded = self._instrument.hops > hops and frame.stages["encode"] > 0
        self.encoder_waits += encoded and getattr(self._instrument.models.encoder.session, "stream", None) is not None
        self.times.append((took, self._pipeline.in_models + (frame.stages["encode"] if encoded else 0.0)))
        self.shape = frame.pixels.shape

    def _hear(self, samples: int) -> None:
        sound = self._random.normal(0, LOUDNESS, samples).astype(np.float32)
        self._instrument.hear(sound, SAMPLE_RATE, self._now)
        self._now += samples / SAMPLE_RATE


def difference(instrument: Instrument, pipeline: DevicePipeline) -> int:
    """Return by how many levels pictures of a sequence differ from those that go through the host, at most."""
    host = HostPipeline(instrument.models.denoiser, instrument.models.decoder)
    bundle, parameters = instrument.bundle, instrument.defaults
    shape, prompt = latent_shape(bundle, parameters), bundle.conditioning.idle[None]
    worst = 0
    for index in range(COMPARED):
        asked = PictureRequest(prompt, _noise(shape, index), shape, parameters.steps, FEEDBACK if index else 0.0)
        found, expected = (one.run(asked).astype(int) for one in (pipeline, host))
        worst = max(worst, int(np.abs(found - expected).max()))
    return worst


def _noise(shape: tuple[int, ...], index: int) -> Callable[[int], Any]:
    return lambda step: draw(shape, 0, index, step)


def table(path: FramePath) -> list[str]:
    """Return the lines of a table."""
    height, width = path.size
    head = f"{path.bundle}, {height}x{width}, {path.steps} steps, {path.provider}"
    times = {"picture": path.picture, "in the models": path.models, "outside": path.outside}
    rows = [f"  {name:14} {one.p50:9.3f} {one.p95:9.3f} {one.p99:9.3f}" for name, one in times.items()]
    counts = [
        f"  {path.rate:.1f} pictures per second ({path.pictures}, {path.hops} hops); {path.waits:g} waits for each",
        f"  allocated: {path.card_mib:g} MiB of the card, {path.pinned_mib:g} MiB pinned",
        f"  differs from the same pictures through the host by {path.differs} of 255",
    ]
    kept = [f"  {'kept  ' if held else 'MISSED'} {goal}" for goal, held in path.verdicts.items()]
    return [head, f"  {'ms':14} {'p50':>9} {'p95':>9} {'p99':>9}", *rows, *counts, *kept]


def bundles(given: Sequence[Path], architecture: str | None, work: Path, progress: Progress) -> list[Path]:
    """Return what is measured: the bundles given, one of random weights, or else the default one."""
    found = list(given)
    if architecture is not None:
        found.append(make(architecture, Wanted(), work, progress).bundle)
    return found or [DEFAULT_BUNDLE]


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print a table and a line of JSON for each bundle; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda (default), tensorrt or tensorrt-rtx")
    parser.add_argument("--bundle", type=Path, action="append", default=[], help="a bundle; may be given several times")
    parser.add_argument("--architecture", help="a bundle of seeded random weights, for example sd-turbo")
    parser.add_argument("--work", type=Path, default=Path("clavilux-bench"), help="where that bundle is kept")
    parser.add_argument("--seconds", type=float, default=5.0, help="of measuring each bundle (5)")
    asked = parser.parse_args(words)
    try:
        check_device(asked.device)
        host = machine.describe()
        for folder in bundles(asked.bundle, asked.architecture, asked.work, print):
            path = measure(open_instrument(folder, device=asked.device), folder.name, asked.seconds)
            print(*table(path), sep="\n")
            print(
                json.dumps(asdict(path) | {"verdicts": path.verdicts, "cards": host.cards, "versions": host.versions})
            )
    except ClaviluxError as error:
        print(f"nothing to measure: {error}")
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
