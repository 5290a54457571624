"""Pictures in memory that two processes share: a few places, each written by the worker and read by the server.

Each place has a byte that says whose turn it is. The writer fills a place that is free and says where by a message; the
reader copies the picture out and frees the place. Where none is free a picture is left out, so neither side ever waits.
The memory loses its name as soon as both have it, so that it goes with them, however they end.
"""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.errors import ProviderError

PLACES = 4
HEADER = 64  # bytes before the first picture: a byte for each place, 1 while it is the reader's
CHANNELS = 3
LINUX = Path("/dev/shm")  # noqa: S108  (where Linux keeps such memory, which a container may have little of)


@dataclass(frozen=True)
class Place:
    """Place of a picture in shared memory."""

    block: int  # which memory, counted from 0; a new one comes with a picture that is too large for it
    number: int
    offset: int  # bytes
    height: int  # pixels
    width: int


def block_name(prefix: str, block: int) -> str:
    """Return the name that the system knows a memory by."""
    return f"{prefix}_{block}"


class PictureWriter:
    """The worker's side."""

    def __init__(self, prefix: str) -> None:
        self.left_out = 0  # pictures that no place was free for
        self._prefix = prefix
        self._block = -1
        self._memory: SharedMemory | None = None
        self._former: SharedMemory | None = None  # goes on Windows with its last handle; the reader may have none yet
        self._size = 0  # bytes of a place

    def put(self, pixels: NDArray[np.uint8]) -> Place | None:
        """Copy a picture, uint8 [H, W, 3], into a free place; None where there is none.

        Raises ProviderError when the system has no room for it.
        """
        memory = self._memory
        if memory is None or pixels.nbytes > self._size:
            memory = self._grow(pixels.nbytes)
        number = bytes(_turns(memory)).find(0)
        if number < 0:
            self.left_out += 1
            return None
        place = Place(self._block, number, HEADER + number * self._size, *pixels.shape[:2])
        _view(memory, place)[:] = pixels
        _turns(memory)[number] = 1
        return place

    def close(self) -> None:
        """Let go of the memory; the reader takes it away."""
        for memory in (self._memory, self._former):
            if memory is not None:
                memory.close()
        self._memory = self._former = None

    def _grow(self, size: int) -> SharedMemory:
        """Return new memory, with places of `size` bytes."""
        if self._former is not None:
            self._former.close()
        self._former, self._memory = self._memory, None
        whole = HEADER + PLACES * size
        if LINUX.is_dir() and whole > (free := shutil.disk_usage(LINUX).free):  # to write there would end the process
            raise ProviderError(
                f"shared memory has {free >> 20} MB left, pictures need {(whole >> 20) + 1}; "
                "give the container more (docker run --shm-size)"
            )
        self._block += 1
        self._size = size
        try:
            self._memory = SharedMemory(block_name(self._prefix, self._block), create=True, size=whole)
        except OSError as error:
            raise ProviderError(f"shared memory cannot be had ({error}); mount a tmpfs on {LINUX}") from error
        return self._memory


class PictureReader:
    """The server's side."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._block = -1
        self._memory: SharedMemory | None = None

    def take(self, place: Place) -> NDArray[np.uint8]:
        """Return a copy of the picture at `place`, uint8 [H, W, 3], read-only, and free the place.

        Raises ProviderError when its memory cannot be opened.
        """
        memory = self._memory
        if memory is None or place.block != self._block:
            try:
                memory = self._follow(place.block)
            except OSError as error:
                raise ProviderError(f"the pictures' shared memory cannot be opened ({error})") from error
        pixels = _view(memory, place).copy()
        _turns(memory)[place.number] = 0
        pixels.flags.writeable = False
        return pixels

    def close(self) -> None:
        """Let go of the memory, also of all that the writer has not told of any more."""
        # OSError: there is no more, or none can be opened. ValueError: the writer ended before it had given it a size.
        with suppress(OSError, ValueError):
            while True:
                self._follow(self._block + 1)
        self._let_go()

    def _follow(self, block: int) -> SharedMemory:
        self._let_go()
        self._block = block
        self._memory = SharedMemory(block_name(self._prefix, block))
        self._memory.unlink()
        return self._memory

    def _let_go(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None


def _turns(memory: SharedMemory) -> NDArray[np.uint8]:
    """Return whose turn each place is: 1 for the reader's."""
    return np.ndarray((PLACES,), np.uint8, memory.buf)


def _view(memory: SharedMemory, place: Place) -> NDArray[np.uint8]:
    return np.ndarray((place.height, place.width, CHANNELS), np.uint8, memory.buf, place.offset)
