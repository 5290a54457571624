"""A sound card's input, through PortAudio: found by name or index, timed, and found again after a pulled cable.

`Backend` is the interface to the library; PortAudio stands behind it, and a fake in the tests.
"""

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock, MonotonicClock
from clavilux.runtime.errors import DeviceError

BLOCK_SECONDS = 0.02  # of sound per callback
SILENT_SECONDS = 1.0  # without a callback, after which the card counts as lost
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)  # between attempts to find a lost card; the last one repeats

log = logging.getLogger("clavilux.soundcard")

Hear = Callable[[NDArray[np.float32], int, float], None]
"""Takes samples [n, channels], the rate in Hz, and when the first one was captured, in seconds of the clock."""


@dataclass(frozen=True)
class Input:
    """One input that the system offers."""

    index: int
    name: str
    channels: int
    rate: int  # Hz, its own default
    is_default: bool


class Stream(Protocol):
    """An input that is open."""

    def close(self) -> None:
        """Stop capturing; no callback runs after this returns."""


class Backend(Protocol):
    """Sound library, as far as it is asked."""

    def inputs(self) -> list[Input]:
        """Return the inputs that are there now. Raises DeviceError when the library cannot say."""

    def open(self, source: Input, hear: Hear) -> Stream:
        """Open an input; `hear` is called on a thread of the library. Raises DeviceError."""


class PortAudio:
    """The sound library itself, through sounddevice."""

    def __init__(self, clock: Clock | None = None) -> None:
        """`clock` is what capture times are told in; None: the machine's monotonic clock."""
        self._clock: Clock = clock or MonotonicClock()

    def inputs(self) -> list[Input]:
        """Return the inputs that are there now; the list of devices is read anew."""
        sounddevice = _sounddevice()
        try:
            sounddevice._terminate()
            sounddevice._initialize()
            devices, default = sounddevice.query_devices(), sounddevice.default.device[0]
        except sounddevice.PortAudioError as error:
            raise DeviceError(f"the sound system does not answer ({error}); is it running?") from error
        return [
            Input(
                index, device["name"], device["max_input_channels"], int(device["default_samplerate"]), index == default
            )
            for index, device in enumerate(devices)
            if device["max_input_channels"] > 0
        ]

    def open(self, source: Input, hear: Hear) -> Stream:
        """Open an input with at most two channels at its own rate."""
        sounddevice = _sounddevice()

        def callback(block: NDArray[np.float32], _frames: int, when: Any, _status: Any) -> None:
            age = (
                when.currentTime - when.inputBufferAdcTime if when.inputBufferAdcTime > 0 else len(block) / source.rate
            )
            hear(block, source.rate, self._clock.now() - max(age, 0.0))

        try:
            stream = sounddevice.InputStream(
                device=source.index,
                samplerate=source.rate,
                channels=min(2, source.channels),
                blocksize=round(source.rate * BLOCK_SECONDS),
                callback=callback,
            )
            stream.start()
        except sounddevice.PortAudioError as error:
            raise DeviceError(
                f"input {source.name!r} cannot be opened ({error}); is another program using it?"
            ) from error
        opened: Stream = stream
        return opened


def find_input(inputs: list[Input], wanted: str) -> Input:
    """Return the input with that index or name, or the only one whose name contains `wanted` in any case.

    Raises DeviceError that lists what there is.
    """
    there = "; ".join(f"{source.index} {source.name}" for source in inputs) or "none"
    if wanted.isdecimal():
        matches = [source for source in inputs if source.index == int(wanted)]
    else:
        exact = [source for source in inputs if source.name.lower() == wanted.lower()]
        matches = exact or [source for source in inputs if wanted.lower() in source.name.lower()]
    if len(matches) != 1:
        found = "no input" if not matches else f"{len(matches)} inputs"
        raise DeviceError(f"{found} match {wanted!r}; expected one of: {there}")
    return matches[0]


class SoundCard:
    """Keeps one input flowing into `hear`: opens it, notices when it falls silent, and opens it again."""

    def __init__(self, backend: Backend, wanted: str, hear: Hear) -> None:
        self.wanted = wanted
        self.losses = 0  # how often the input went away
        self._backend = backend
        self._hear = hear
        self._stopping = threading.Event()
        self._alive = threading.Event()  # set by every callback
        self._stream: Stream | None = None
        self._watcher = threading.Thread(target=self._watch, name="clavilux-soundcard", daemon=True)

    def start(self) -> Input:
        """Open the input and keep it open; return it. Raises DeviceError when it is not there to begin with."""
        source = self._open()
        self._watcher.start()
        return source

    def stop(self) -> None:
        """Close the input for good."""
        self._stopping.set()
        self._alive.set()
        if self._watcher.ident is not None:
            self._watcher.join()
        self._close()

    def _open(self) -> Input:
        source = find_input(self._backend.inputs(), self.wanted)
        self._stream = self._backend.open(source, self._take)
        return source

    def _take(self, block: NDArray[np.float32], rate: int, captured_at: float) -> None:
        self._alive.set()
        self._hear(block, rate, captured_at)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._alive.clear()
            if not self._alive.wait(SILENT_SECONDS) and not self._stopping.is_set():
                self.losses += 1
                log.warning("input %r is gone; looking for it", self.wanted)
                self._close()
                self._reopen()
            self._stopping.wait(BLOCK_SECONDS)

    def _reopen(self) -> None:
        for attempt in itertools.count():
            if self._stopping.wait(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]):
                return
            try:
                source = self._open()
            except DeviceError as error:
                log.info("%s", error)
            else:
                log.warning("input %s is back", source.name)
                return


def _sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"PortAudio is missing ({error}); on Debian or Ubuntu: apt-get install libportaudio2"
        ) from error
    return sounddevice
