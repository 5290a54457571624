"""Input monitor: meters of a source's channels, and warnings to who sets its level."""

from clavilux.runtime.frame import ChannelLevel
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.meters import ChannelMeters
from clavilux.runtime.sound.samples import Samples

FAINT = -45.0  # dBFS; where nothing is louder for a while, a gain is missing
FORGOTTEN = 3.0  # dB a second that the loudest sound of late comes down
SETTLED = 1.0  # s of sound after which it can be judged
KEPT = 5.0  # s of silence that the judgement outlasts


class InputMonitor:
    """State: meters of the present source, and how loud it has been of late."""

    def __init__(self) -> None:
        self._meters: ChannelMeters | None = None
        self._loudest = SILENCE_DB  # dBFS
        self._sounded = 0.0  # s
        self._quiet = 0.0  # s

    def push(self, sound: Samples, rate: int) -> None:
        """Take checked sound, float32 [n, channels] at `rate` Hz; where one of both differs it is another source."""
        meters = self._meters
        if meters is None or (meters.rate, meters.channels) != (rate, sound.shape[1]):
            meters = self._meters = ChannelMeters(rate, sound.shape[1])
        meters.push(sound)

    def note(self, level: float, seconds: float, *, sounds: bool) -> None:
        """Take the level of a hop of so many seconds, dBFS, and whether the gate took it for sound."""
        self._loudest = max(level, self._loudest - FORGOTTEN * seconds) if sounds else self._loudest
        self._sounded += seconds if sounds else 0.0
        self._quiet = 0.0 if sounds else self._quiet + seconds
        if self._quiet > KEPT:
            self._sounded, self._loudest = 0.0, SILENCE_DB

    @property
    def channels(self) -> tuple[ChannelLevel, ...]:
        """Meters of the source's channels; none before any sound."""
        return () if self._meters is None else self._meters.read()

    def warnings(self, channels: tuple[ChannelLevel, ...]) -> tuple[str, ...]:
        """Return which of `clavilux.runtime.frame.WARNINGS` hold; `channels` are the meters, read just now."""
        clipped = any(channel.clipped for channel in channels)
        faint = self._sounded >= SETTLED and self._loudest < FAINT
        return (("clipped",) if clipped else ()) + (("faint",) if faint else ())
