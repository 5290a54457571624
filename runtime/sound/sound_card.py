"""A sound card's input, kept open: timed, and found again after a pulled cable, never another in its place.

`Backend` is the interface to a sound library; PortAudio and PulseAudio stand behind it, and a fake in the tests.
"""

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock
from clavilux.runtime.errors import DeviceError, SoundError
from clavilux.runtime.sound.inputs import Chosen, Input, checked, find_again, find_input, listed

BLOCK_SECONDS = 0.02  # of sound per callback
SILENT_SECONDS = 1.0  # without a callback, after which the card counts as lost,
START_SECONDS = 4.0  # and before the first one: a headset on the air takes its time
LOOPBACK_SECONDS = 0.2  # without a callback, after which a loopback is silent; before the listener says that it stalls
MOST_SILENCE = 1.0  # s, heard at once
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)  # between attempts to find a lost card; the last one repeats

log = logging.getLogger("clavilux.soundcard")

Hear = Callable[[NDArray[np.float32], int, float], None]
"""Takes samples [n, channels], the rate in Hz, and when the first one was captured, in seconds of the clock."""


class Stream(Protocol):
    """An input that is open."""

    overflows: int  # how often the library lost sound

    @property
    def active(self) -> bool:
        """Whether the library says that it still captures."""

    def close(self) -> None:
        """Stop capturing; no callback runs after this returns."""


class Backend(Protocol):
    """Sound library, as far as it is asked."""

    def inputs(self) -> list[Input]:
        """Return the inputs that are there now. Raises DeviceError when the library cannot say."""

    def open(self, source: Input, channels: int, hear: Hear) -> Stream:
        """Open an input with `channels` or more; `hear` is called on a thread of the library. Raises DeviceError."""


class SoundCard:
    """Keeps one input flowing into `hear`: opens it, notices when it falls silent, and opens it again.

    What is wanted is looked up once, at the start; afterwards the input is known by its host API and name.
    """

    def __init__(self, backend: Backend, wanted: str, hear: Hear, clock: Clock) -> None:
        self.wanted = wanted
        self.losses = 0  # how often the input went away
        self.refused = 0  # blocks that were not heard, because they hold no sound
        self._backend = backend
        self._hear = hear
        self._clock = clock
        self._stopping = threading.Event()
        self._alive = threading.Event()  # set by every callback
        self._begun = False  # whether the open stream has given any sound
        self._until = 0.0  # when what was heard of it ends, or it was opened, s of the clock
        self._chosen: Chosen | None = None
        self._stream: Stream | None = None
        self._overflows = 0  # of streams that are closed
        self._counting = threading.Lock()  # held while a stream's overflows become those of closed ones
        self._watcher = threading.Thread(target=self._watch, name="clavilux-soundcard", daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether the input is gone and is being looked for, or is back and has not sounded yet."""
        if self._chosen is None or self._stopping.is_set():
            return False
        return self._stream is None or (self.losses > 0 and not self._begun)

    @property
    def overflows(self) -> int:
        """How often sound was lost because it was not taken in time."""
        with self._counting:
            stream = self._stream
            return self._overflows + (0 if stream is None else stream.overflows)

    def start(self) -> Chosen:
        """Open the input and keep it open; return it. Raises DeviceError when it is not there to begin with."""
        chosen = find_input(listed(self._backend.inputs()), self.wanted)
        self._open(chosen)
        self._watcher.start()
        return chosen

    def stop(self) -> None:
        """Close the input for good."""
        self._stopping.set()
        self._alive.set()
        if self._watcher.ident is not None:
            self._watcher.join()
        self._close()

    def _open(self, chosen: Chosen) -> None:
        columns = chosen.columns

        def take(block: NDArray[np.float32], rate: int, captured_at: float) -> None:
            self._alive.set()
            self._begun = True
            self._until = captured_at + len(block) / rate
            try:
                self._hear(block[:, columns], rate, captured_at)
            except SoundError as error:  # samples that are none; the library's thread must not end for it
                self._refuse(str(error))

        self._begun = False
        self._until = self._clock.now()
        self._stream = self._backend.open(chosen.source, chosen.channels, take)
        self._chosen = chosen

    def _refuse(self, reason: str) -> None:
        """Count a block that is not heard, and tell of the first one."""
        self.refused += 1
        if self.refused == 1:
            log.warning("input %s: %s", self._words, reason)

    def _close(self) -> None:
        stream = self._stream
        if stream is None:
            return
        stream.close()
        with self._counting:
            self._overflows += stream.overflows
            self._stream = None

    def _watch(self) -> None:
        told = False
        while not self._stopping.is_set():
            self._alive.clear()
            came = self._alive.wait(self._patience)
            if not came and not self._stopping.is_set():
                self._miss()
            if self.overflows and not told:
                told = True
                log.warning("input %s: sound was lost, for this machine is too busy to take it all", self._words)
            self._stopping.wait(BLOCK_SECONDS)

    def _miss(self) -> None:
        """Take it that nothing came for a while: a loopback where nothing plays, or an input that is gone."""
        chosen = self._chosen
        if chosen is None:
            return
        if chosen.source.is_loopback and self._stream is not None and self._stream.active:
            self._hear_silence(chosen)
            return
        self.losses += 1
        log.warning("input %s is gone; looking for it", self._words)
        self._close()
        self._reopen(chosen)

    def _hear_silence(self, chosen: Chosen) -> None:
        """Hear as much silence as has passed since the last sound."""
        now, rate = self._clock.now(), chosen.source.rate
        count = round(min(now - self._until, MOST_SILENCE) * rate)  # more where the whole machine slept
        if count > 0:  # else sound came after all
            self._until, self._begun = now, True
            self._hear(np.zeros((count, chosen.heard), np.float32), rate, now - count / rate)

    def _reopen(self, lost: Chosen) -> None:
        told = ""
        for attempt in itertools.count():
            if self._stopping.wait(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]):
                return
            try:
                source = find_again(listed(self._backend.inputs()), lost.source)
                self._open(checked(replace(lost, source=source)))
            except DeviceError as error:
                if attempt and str(error) != told:  # not at once, when a card that comes back is half there
                    told = str(error)
                    log.warning("%s", told)
            else:
                log.warning("input %s is back", self._words)
                return

    @property
    def _patience(self) -> float:
        """Time in seconds that nothing may come for."""
        if self._chosen is not None and self._chosen.source.is_loopback:
            return LOOPBACK_SECONDS
        return SILENT_SECONDS if self._begun else START_SECONDS

    @property
    def _words(self) -> str:
        return self.wanted if self._chosen is None else self._chosen.source.words
