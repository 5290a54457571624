"""The sound system of this machine: what every sound library here offers, as one."""

import logging

from clavilux.runtime.clock import Clock, MonotonicClock
from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound import pulse_audio
from clavilux.runtime.sound.inputs import Input
from clavilux.runtime.sound.port_audio import PortAudio
from clavilux.runtime.sound.pulse_audio import PulseAudio
from clavilux.runtime.sound.sound_card import Backend, Hear, Stream

log = logging.getLogger("clavilux.soundcard")


class SoundSystem:
    """PulseAudio where its server answers, and PortAudio; a Backend as each of them is."""

    def __init__(self, clock: Clock | None = None) -> None:
        """`clock` is what capture times are told in; None: the machine's monotonic clock."""
        clock = clock or MonotonicClock()
        self._pulse: Backend = PulseAudio(clock)
        self._port: Backend = PortAudio(clock)

    def inputs(self) -> list[Input]:
        """Return the inputs that are there now. Raises DeviceError where PortAudio fails and there are no others."""
        try:
            named = self._pulse.inputs()
        except DeviceError as error:  # as on most machines, which have no such server
            log.debug("no PulseAudio: %s", error)
            named = []
        try:
            others = self._port.inputs()
        except DeviceError as error:
            if not named:
                raise
            log.warning("%s", error)
            others = []
        # A PortAudio with a PulseAudio of its own would say the same again, in other names.
        return named + [source for source in others if not named or source.api != pulse_audio.API]

    def open(self, source: Input, channels: int, hear: Hear) -> Stream:
        """Open an input with `channels` or more. Raises DeviceError."""
        library = self._pulse if isinstance(source.device, str) else self._port
        return library.open(source, channels, hear)
