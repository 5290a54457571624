"""libpulse, the client library of PulseAudio and PipeWire, as far as it is asked: a connection, its sources, a stream.

A few structs and functions of its stable interface (pulse/introspect.h, pulse/stream.h), through ctypes. Everything is
asked with the lock of the connection's mainloop held; callbacks come from a thread of the library, which holds it, too.
"""

import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any

from clavilux.runtime.errors import DeviceError

LIBRARY = "libpulse.so.0"
MAX_CHANNELS = 32
NOBODY = 2**32 - 1  # index of what is not there
FLOAT32 = 5 if sys.byteorder == "little" else 6
NO_AUTOSPAWN = 1  # flag of a connection: a server that does not run is not started
STREAM_FLAGS = 0x2 | 0x8 | 0x200 | 0x2000  # interpolate timing, update it, don't move, adjust latency
CONTEXT_READY, CONTEXT_OVER = 4, (5, 6)
STREAM_READY, STREAM_OVER = 2, (3, 4)
OPERATION_DONE, OPERATION_OVER = 1, (2,)
PATIENCE = 3.0  # s, for an answer
POLL = 0.002  # s, between two looks at whether it is there


class SampleSpec(ctypes.Structure):
    """Format of samples."""

    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class ChannelMap(ctypes.Structure):
    """Places of channels, such as front left."""

    _fields_ = (("channels", c_uint8), ("map", c_int * MAX_CHANNELS))


class Volume(ctypes.Structure):
    """Volumes of channels."""

    _fields_ = (("channels", c_uint8), ("values", c_uint32 * MAX_CHANNELS))


class BufferAttributes(ctypes.Structure):
    """Sizes of a stream's buffers in bytes; `NOBODY` leaves one to the server."""

    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class SourceInfo(ctypes.Structure):
    """Source, the first of its fields."""

    _fields_ = (
        ("name", c_char_p),
        ("index", c_uint32),
        ("description", c_char_p),
        ("sample_spec", SampleSpec),
        ("channel_map", ChannelMap),
        ("owner_module", c_uint32),
        ("volume", Volume),
        ("mute", c_int),
        ("monitor_of_sink", c_uint32),
    )


class ServerInfo(ctypes.Structure):
    """Server, the first of its fields."""

    _fields_ = (
        ("user_name", c_char_p),
        ("host_name", c_char_p),
        ("server_version", c_char_p),
        ("server_name", c_char_p),
        ("sample_spec", SampleSpec),
        ("default_sink_name", c_char_p),
        ("default_source_name", c_char_p),
    )


TAKE_SOURCE = ctypes.CFUNCTYPE(None, c_void_p, POINTER(SourceInfo), c_int, c_void_p)
TAKE_SERVER = ctypes.CFUNCTYPE(None, c_void_p, POINTER(ServerInfo), c_void_p)
TAKE_SOUND = ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_void_p)
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "pa_threaded_mainloop_new": (c_void_p, ()),
    "pa_threaded_mainloop_start": (c_int, (c_void_p,)),
    "pa_threaded_mainloop_stop": (None, (c_void_p,)),
    "pa_threaded_mainloop_free": (None, (c_void_p,)),
    "pa_threaded_mainloop_lock": (None, (c_void_p,)),
    "pa_threaded_mainloop_unlock": (None, (c_void_p,)),
    "pa_threaded_mainloop_get_api": (c_void_p, (c_void_p,)),
    "pa_context_new": (c_void_p, (c_void_p, c_char_p)),
    "pa_context_connect": (c_int, (c_void_p, c_char_p, c_int, c_void_p)),
    "pa_context_disconnect": (None, (c_void_p,)),
    "pa_context_unref": (None, (c_void_p,)),
    "pa_context_errno": (c_int, (c_void_p,)),
    "pa_context_get_state": (c_int, (c_void_p,)),
    "pa_context_get_source_info_list": (c_void_p, (c_void_p, TAKE_SOURCE, c_void_p)),
    "pa_context_get_server_info": (c_void_p, (c_void_p, TAKE_SERVER, c_void_p)),
    "pa_operation_get_state": (c_int, (c_void_p,)),
    "pa_operation_cancel": (None, (c_void_p,)),
    "pa_operation_unref": (None, (c_void_p,)),
    "pa_strerror": (c_char_p, (c_int,)),
    "pa_stream_new": (c_void_p, (c_void_p, c_char_p, POINTER(SampleSpec), POINTER(ChannelMap))),
    "pa_stream_connect_record": (c_int, (c_void_p, c_char_p, POINTER(BufferAttributes), c_int)),
    "pa_stream_disconnect": (c_int, (c_void_p,)),
    "pa_stream_unref": (None, (c_void_p,)),
    "pa_stream_get_state": (c_int, (c_void_p,)),
    "pa_stream_set_read_callback": (None, (c_void_p, TAKE_SOUND, c_void_p)),
    "pa_stream_peek": (c_int, (c_void_p, POINTER(c_void_p), POINTER(c_size_t))),
    "pa_stream_drop": (c_int, (c_void_p,)),
    "pa_stream_get_latency": (c_int, (c_void_p, POINTER(c_uint64), POINTER(c_int))),
}


@cache
def library() -> Any:
    """Return the library, its functions declared; None where there is none."""
    try:
        found = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


class Connection:
    """Connection to the sound server, with a mainloop in a thread of its own."""

    def __init__(self) -> None:
        """Connect. Raises DeviceError where no server answers."""
        self.library = library()
        if self.library is None:
            raise DeviceError(f"{LIBRARY} is missing")
        self._loop = self.library.pa_threaded_mainloop_new()
        if self._loop is None:
            raise DeviceError(f"{LIBRARY} cannot begin; is this machine out of memory?")
        self.context = self.library.pa_context_new(self.library.pa_threaded_mainloop_get_api(self._loop), b"Clavilux")
        if self.context is None:
            self.library.pa_threaded_mainloop_free(self._loop)
            raise DeviceError(f"{LIBRARY} makes no connection; is this machine out of memory?")
        try:
            if self.library.pa_threaded_mainloop_start(self._loop) < 0:
                raise DeviceError(f"{LIBRARY} cannot start its thread; does this machine run too many?")
            with self.locked():
                self.check(self.library.pa_context_connect(self.context, None, NO_AUTOSPAWN, None))
            self.wait(lambda: self.library.pa_context_get_state(self.context), CONTEXT_READY, CONTEXT_OVER)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the mainloop's lock while the block runs: no callback runs meanwhile."""
        self.library.pa_threaded_mainloop_lock(self._loop)
        try:
            yield
        finally:
            self.library.pa_threaded_mainloop_unlock(self._loop)

    def check(self, result: int | None) -> None:
        """Raise DeviceError in the library's words for what a function gives when it fails; with the lock held."""
        if result is None or result < 0:
            raise DeviceError(self._words(self.library.pa_context_errno(self.context) or -(result or 0)))

    def wait(self, state: Callable[[], int], ready: int, over: tuple[int, ...]) -> None:
        """Wait until `state` is `ready`. Raises DeviceError when it is one of `over`, or nothing comes of it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with self.locked():
                found = state()
                number = self.library.pa_context_errno(self.context)
            if found == ready:
                return
            if found in over:
                raise DeviceError(self._words(number))
            time.sleep(POLL)
        raise DeviceError(f"no answer in {PATIENCE:g} s")

    def ask(self, operation: Callable[[], int | None]) -> None:
        """Begin an operation, and wait until its callbacks have run. Raises DeviceError when nothing comes of it."""
        with self.locked():
            begun = operation()
        if begun is None:
            raise DeviceError("the question was refused")
        try:
            self.wait(lambda: self.library.pa_operation_get_state(begun), OPERATION_DONE, OPERATION_OVER)
        finally:
            with self.locked():
                self.library.pa_operation_cancel(begun)
                self.library.pa_operation_unref(begun)

    def _words(self, number: int) -> str:
        return str(self.library.pa_strerror(number).decode(errors="replace"))

    def close(self) -> None:
        """End the connection and its thread; no callback runs after this returns."""
        with self.locked():
            self.library.pa_context_disconnect(self.context)
            self.library.pa_context_unref(self.context)
        self.library.pa_threaded_mainloop_stop(self._loop)
        self.library.pa_threaded_mainloop_free(self._loop)
