"""From a sound to the picture it shaped: a real server in a process of its own, and a real client on its websocket.

The client plays paced sound as a browser does (blocks of 10 ms, stamped when their first sample was captured), decodes
every picture, and calls it shown then. `--browser` of `clavilux bench` does the same in Chromium, whose own
acknowledgements are taken. Server and client share the machine, as on a performer's laptop.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.measurements.energy import read_counters, spent
from clavilux.benchmarks.measurements.machine import card_mb, resident_mb
from clavilux.benchmarks.measurements.percentiles import MS, Summary, summary
from clavilux.benchmarks.measurements.rhythm import Pacing, pacing
from clavilux.benchmarks.measurements.serving import Server
from clavilux.runtime.sound.sound_file import read_clip
from clavilux.server.client.connect import SoundFormat, connect
from clavilux.server.client.frame import ReceivedFrame
from clavilux.server.client.stage import ClientStage

RATE = 48_000  # Hz, as browsers capture
BLOCK = 480  # samples: 10 ms
WARM_UP = 2.0  # s after the first picture that shows sound
LOUDNESS = 0.1  # deviation of the noise that is played when no sound is named
MICROSECONDS = 1e6
WATERFALL = (
    "queue",
    "features",
    "encode",
    "condition",
    "denoise",
    "decode",
    "compress",
    "hand over",
    "send",
    "present",
)
"""Where the time of a sound goes. `queue`: captured, packed, and waiting for the engine. `hand over`: from the engine's
thread to the socket. `send`: on the socket. `present`: decoded by the client."""


@dataclass(frozen=True)
class Seen:
    """One picture that the client has shown; server time, seconds."""

    sequence: int
    heard_until: float
    made_at: float
    sent_at: float
    received_at: float
    shown_at: float
    stages: dict[str, float]


@dataclass(frozen=True)
class Shown:
    """Figures of a run through the socket."""

    heard_to_shown: Summary  # of every picture, as the server's own status counts it
    first_shown: Summary  # of the first picture that a piece of sound shaped
    waterfall: dict[str, float]  # ms, medians over those first pictures
    pacing: Pacing
    skipped: int  # pictures the engine made and this client was too slow for
    resident_mb: float | None  # of the server
    peak_mb: float | None
    card_mb: float | None
    energy_j: dict[str, float]  # by counter; {} where the machine does not tell
    seconds: float


def measure(server: Server, seconds: float, sound: Path | None = None) -> Shown:
    """Play and watch for `seconds`. Raises Disconnected, ProtocolError or SoundError."""
    samples = load(sound)
    before, began = read_counters(), time.perf_counter()
    seen = asyncio.run(_play_and_watch(server.socket, samples, seconds))
    energy, took = spent(before, read_counters()), time.perf_counter() - began
    process = server.process_id
    memory = (resident_mb(process), resident_mb(process, peak=True), card_mb(process))
    return digest(seen, memory, energy, took)


def load(sound: Path | None) -> NDArray[np.float32]:
    """Return what is played again and again, float32 [n] at RATE: a clip, or a second of seeded noise."""
    if sound is None:
        return np.random.default_rng(0).normal(0, LOUDNESS, RATE).astype(np.float32)
    import soxr

    clip = read_clip(sound)
    mono = np.asarray(clip.samples, np.float32).reshape(len(clip.samples), -1).mean(axis=1)
    resampled: NDArray[np.float32] = soxr.resample(mono, clip.rate, RATE)
    return resampled


def digest(
    seen: Sequence[Seen],
    memory: tuple[float | None, float | None, float | None] = (None, None, None),
    energy: dict[str, float] | None = None,
    seconds: float = 0.0,
) -> Shown:
    """Sum up the pictures of a run; `memory` is resident, at most, and on the card, MB."""
    first = [one for before, one in pairwise(seen) if one.heard_until != before.heard_until]
    parts = [waterfall(one) for one in first]
    resident, peak, card = memory
    return Shown(
        heard_to_shown=summary([one.shown_at - one.heard_until for one in seen]),
        first_shown=summary([one.shown_at - one.heard_until for one in first]),
        waterfall={name: round(MS * median(part[name] for part in parts), 3) if parts else 0.0 for name in WATERFALL},
        pacing=pacing([one.shown_at for one in seen]),
        skipped=(seen[-1].sequence - seen[0].sequence + 1 - len(seen)) if seen else 0,
        resident_mb=resident,
        peak_mb=peak,
        card_mb=card,
        energy_j={name: round(joules, 2) for name, joules in (energy or {}).items()},
        seconds=round(seconds, 2),
    )


def waterfall(one: Seen) -> dict[str, float]:
    """Return the seconds from a sound to its picture, part by part; together they are heard to shown."""
    work = {name: one.stages.get(name, 0.0) for name in WATERFALL[1:7]}
    queue = max(0.0, one.made_at - one.heard_until)
    over = max(0.0, one.sent_at - one.made_at - sum(work.values()))
    return {
        "queue": queue,
        **work,
        "hand over": over,
        "send": max(0.0, one.received_at - one.sent_at),
        "present": one.shown_at - one.received_at,
    }


async def _play_and_watch(url: str, samples: NDArray[np.float32], seconds: float) -> list[Seen]:
    async with connect(url, role="performer", sound=SoundFormat(rate=RATE)) as stage:
        playing = asyncio.create_task(play(stage, samples))
        try:
            return await _watch(stage, seconds)
        finally:
            playing.cancel()


async def play(stage: ClientStage, samples: NDArray[np.float32]) -> None:
    """Send blocks when their last sample would have been captured, for ever."""
    began, sent = time.monotonic(), 0
    while True:
        due = began + (sent + BLOCK) / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        block = samples.take(np.arange(sent, sent + BLOCK), mode="wrap")
        await stage.send(block, captured_at=due - BLOCK / RATE)
        sent += BLOCK


async def _watch(stage: ClientStage, seconds: float) -> list[Seen]:
    seen: list[Seen] = []
    begin: float | None = None
    async for frame in stage:
        _ = frame.pixels  # decoded: shown
        shown_at = stage.server_time() / MICROSECONDS
        if frame.heard_until is None:
            continue
        now = time.monotonic()
        begin = now + WARM_UP if begin is None else begin
        if now >= begin:
            seen.append(_seen(frame, shown_at))
        if now >= begin + seconds and len(seen) > 1:
            break
    return seen


def _seen(frame: ReceivedFrame, shown_at: float) -> Seen:
    packed = frame.packed
    times = (packed.heard_until, packed.made_at, packed.sent_at, frame.received_at)
    heard_until, made_at, sent_at, received_at = (value / MICROSECONDS for value in times)
    return Seen(frame.sequence, heard_until, made_at, sent_at, received_at, shown_at, frame.stages)
