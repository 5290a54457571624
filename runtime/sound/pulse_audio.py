"""Inputs of PulseAudio, or of PipeWire, which speaks its protocol: sources, and monitors of what is played.

PortAudio's ALSA sees one of them, "pulse", which goes where the server leads it: here each has its name, its own
channels, and a stream that the server may not move to another source when its own is unplugged.
"""

import ctypes
import logging

import numpy as np

from clavilux.runtime.clock import Clock
from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound import libpulse
from clavilux.runtime.sound.inputs import Input, one_line, quoted
from clavilux.runtime.sound.libpulse import Connection
from clavilux.runtime.sound.sound_card import BLOCK_SECONDS, Hear

API = "PulseAudio"
SAMPLE_BYTES = 4
MICROSECONDS = 1e6  # per second

log = logging.getLogger("clavilux.soundcard")


class PulseAudio:
    """The sound server, through its client library."""

    def __init__(self, clock: Clock) -> None:
        """`clock` is what capture times are told in."""
        self._clock = clock
        self._maps: dict[str, libpulse.ChannelMap] = {}  # of sources by name, at the last look

    def inputs(self) -> list[Input]:
        """Return the sources that are there now. Raises DeviceError where no sound server answers."""
        connection = Connection()
        try:
            return self._sources(connection)
        finally:
            connection.close()

    def open(self, source: Input, channels: int, hear: Hear) -> "PulseStream":
        """Open a source with all its channels. Raises DeviceError."""
        return PulseStream(source, self._maps[str(source.device)], hear, self._clock)

    def _sources(self, connection: Connection) -> list[Input]:
        library, context = connection.library, connection.context
        found: list[Input] = []
        default: list[bytes | None] = []

        def take_server(_context: int, info: "ctypes._Pointer[libpulse.ServerInfo]", _data: int) -> None:
            default.append(info.contents.default_source_name if info else None)

        def take_source(_context: int, info: "ctypes._Pointer[libpulse.SourceInfo]", end: int, _data: int) -> None:
            if not end:
                found.append(self._source(info.contents, default[0]))

        callbacks = libpulse.TAKE_SERVER(take_server), libpulse.TAKE_SOURCE(take_source)  # kept while they may run
        connection.ask(lambda: library.pa_context_get_server_info(context, callbacks[0], None))
        connection.ask(lambda: library.pa_context_get_source_info_list(context, callbacks[1], None))
        return found

    def _source(self, info: libpulse.SourceInfo, default: bytes | None) -> Input:
        name = info.name.decode(errors="replace")
        self._maps[name] = libpulse.ChannelMap.from_buffer_copy(info.channel_map)
        return Input(
            name,
            info.sample_spec.channels,
            info.sample_spec.rate,
            info.name == default,
            API,
            device=name,
            label=one_line(info.description.decode(errors="replace")),
            is_loopback=info.monitor_of_sink != libpulse.NOBODY,
        )


class PulseStream:
    """A source that is open, and the connection that it has for itself."""

    def __init__(self, source: Input, places: libpulse.ChannelMap, hear: Hear, clock: Clock) -> None:
        """Open it. Raises DeviceError."""
        self.overflows = 0  # how often sound was lost on its way here
        self._source = source
        self._hear = hear
        self._clock = clock
        self._take_sound = libpulse.TAKE_SOUND(self._take)  # kept as long as the library may call it
        self._connection = connection = Connection()
        self._library = library = connection.library
        spec = libpulse.SampleSpec(libpulse.FLOAT32, source.rate, source.channels)
        fragment = round(source.rate * BLOCK_SECONDS) * SAMPLE_BYTES * source.channels
        sizes = libpulse.BufferAttributes(*[libpulse.NOBODY] * 4, fragment)
        self._stream: int | None = None
        try:
            with connection.locked():
                self._stream = library.pa_stream_new(connection.context, b"sound", spec, places)
                connection.check(self._stream)
                library.pa_stream_set_read_callback(self._stream, self._take_sound, None)
                name = str(source.device).encode()
                flags = libpulse.STREAM_FLAGS
                connection.check(library.pa_stream_connect_record(self._stream, name, sizes, flags))
            connection.wait(self._state, libpulse.STREAM_READY, libpulse.STREAM_OVER)
        except DeviceError as error:
            self.close()
            raise DeviceError(f"input {quoted(source.words)} cannot be opened ({error}); is it still there?") from error

    @property
    def active(self) -> bool:
        """Whether the server keeps it open."""
        with self._connection.locked():
            return self._state() == libpulse.STREAM_READY

    def close(self) -> None:
        """Stop capturing; no callback runs after this returns."""
        if self._stream is not None:
            with self._connection.locked():
                self._library.pa_stream_set_read_callback(self._stream, libpulse.TAKE_SOUND(), None)
                self._library.pa_stream_disconnect(self._stream)
                self._library.pa_stream_unref(self._stream)
        self._connection.close()

    def _state(self) -> int:
        return int(self._library.pa_stream_get_state(self._stream))

    def _take(self, stream: int, _ready: int, _data: int) -> None:
        """Hear what the library has; on its thread."""
        age = self._age(stream)
        parts: list[bytes] = []
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        while self._library.pa_stream_peek(stream, data, size) == 0 and size.value:
            if data.value is None:  # a hole, where the server had to drop sound
                self.overflows += 1
                parts.append(bytes(size.value))  # silence, so that what follows keeps its time
            else:
                parts.append(ctypes.string_at(data, size.value))
            self._library.pa_stream_drop(stream)
        block = np.frombuffer(b"".join(parts), np.float32).reshape(-1, self._source.channels)
        if len(block):
            rate = self._source.rate
            self._hear(block, rate, self._clock.now() - max(age, len(block) / rate))

    def _age(self, stream: int) -> float:
        """Return how long ago the first sample that waits was captured, in seconds; 0 where nobody knows."""
        latency, is_ahead = ctypes.c_uint64(), ctypes.c_int()
        unknown = self._library.pa_stream_get_latency(stream, latency, is_ahead) < 0
        # A monitor may give sound before it is played.
        return 0.0 if unknown or is_ahead.value else latency.value / MICROSECONDS
