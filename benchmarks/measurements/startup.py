"""From the command to the first picture: `clavilux serve` as a user starts it, several times over."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from clavilux.benchmarks.measurements.machine import resident_mb
from clavilux.benchmarks.measurements.serving import serving

STARTS = 3


@dataclass(frozen=True)
class StartUp:
    """Medians over some starts; files lie in the system's cache, as for anyone who starts it twice."""

    starts: int
    listening_s: float  # until it says its address
    first_picture_s: float  # until /readyz
    resident_mb: float | None  # of the server then


def measure(words: Sequence[str], starts: int = STARTS) -> StartUp:
    """Start and stop a server with these options. Raises BenchError."""
    listening, first, resident = [], [], []
    for _ in range(starts):
        with serving(words) as server:
            listening.append(server.listening_s)
            first.append(server.first_picture_s)
            resident.append(resident_mb(server.process_id))
    told = [one for one in resident if one is not None]
    return StartUp(starts, round(median(listening), 2), round(median(first), 2), median(told) if told else None)
