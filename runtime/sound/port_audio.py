"""Inputs of PortAudio, through sounddevice: all host APIs of Windows, macOS and Linux.

Its builds with WASAPI's loopback offer what the system plays as inputs "… [Loopback]"; those that sounddevice brings
along for Windows do not.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock, MonotonicClock
from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound.inputs import Input, one_line, quoted
from clavilux.runtime.sound.sound_card import BLOCK_SECONDS, Hear

SHORT = {"JACK Audio Connection Kit": "JACK"}
HARDWARE = re.compile(r" \(hw:\d+,\d+\)$")  # of ALSA: numbers of card and device, which plugging changes
LOOPBACK = "[Loopback]"
WHOLE = frozenset({"WASAPI"})  # host APIs that open an input with all its channels only


class PortAudio:
    """The sound library."""

    def __init__(self, clock: Clock | None = None) -> None:
        """`clock` is what capture times are told in; None: the machine's monotonic clock."""
        self._clock: Clock = clock or MonotonicClock()

    def inputs(self) -> list[Input]:
        """Return the inputs that are there now; the list of devices is read anew. Raises DeviceError."""
        sounddevice = _sounddevice()
        try:
            if sounddevice._initialized:  # it is not where the last attempt failed
                sounddevice._terminate()
            sounddevice._initialize()
            devices, apis = sounddevice.query_devices(), sounddevice.query_hostapis()
        except sounddevice.PortAudioError as error:
            raise DeviceError(f"the sound system does not answer ({one_line(str(error))}); is it running?") from error
        return [
            described(number, device, apis[device["hostapi"]])
            for number, device in enumerate(devices)
            if device["max_input_channels"] > 0
        ]

    def open(self, source: Input, channels: int, hear: Hear) -> "PortAudioStream":
        """Open an input at its own rate, with `channels` or more. Raises DeviceError."""
        return PortAudioStream(source, source.channels if source.api in WHOLE else channels, hear, self._clock)


class PortAudioStream:
    """An input that is open."""

    def __init__(self, source: Input, channels: int, hear: Hear, clock: Clock) -> None:
        """Open it. Raises DeviceError."""
        self.overflows = 0  # times that the library lost sound because it was not taken
        self._rate = source.rate
        self._hear = hear
        self._clock = clock
        sounddevice = _sounddevice()
        try:
            self._stream = sounddevice.InputStream(
                device=source.device,
                samplerate=source.rate,
                channels=channels,
                blocksize=round(source.rate * BLOCK_SECONDS),
                callback=self._take,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:  # ValueError: no such device any more
            reason = one_line(str(error))
            raise DeviceError(
                f"input {quoted(source.words)} cannot be opened ({reason}); does another program use it?"
            ) from error

    @property
    def active(self) -> bool:
        """Whether the library says that it runs."""
        return bool(self._stream.active)

    def close(self) -> None:
        """Stop capturing; no callback runs after this returns."""
        self._stream.close()

    def _take(self, block: NDArray[np.float32], _frames: int, when: Any, status: Any) -> None:
        self.overflows += bool(status.input_overflow)
        is_timed = when.inputBufferAdcTime > 0
        age = when.currentTime - when.inputBufferAdcTime if is_timed else len(block) / self._rate
        self._hear(block, self._rate, self._clock.now() - max(age, 0.0))


def described(number: int, device: dict[str, Any], api: dict[str, Any]) -> Input:
    """Return PortAudio's device, in sounddevice's words, as an input."""
    name, short = one_line(device["name"]), api["name"].removeprefix("Windows ")
    is_alsa = short == "ALSA"
    return Input(
        HARDWARE.sub("", name) if is_alsa else name,
        device["max_input_channels"],
        int(device["default_samplerate"]),
        number == api["default_input_device"],
        SHORT.get(short, short),
        device=number,
        label=name,
        converts=is_alsa and not HARDWARE.search(name),
        is_loopback=name.endswith(LOOPBACK),
    )


def _sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"PortAudio is missing ({error}); on Debian or Ubuntu: apt-get install libportaudio2"
        ) from error
    except Exception as error:  # its own, of a class that cannot be named: it begins as it is imported
        raise DeviceError(f"the sound system does not answer ({one_line(str(error))}); is it running?") from error
    return sounddevice
