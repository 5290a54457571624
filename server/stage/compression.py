"""Compresses pictures once per frame, encoding and quality, however many viewers want them, never on the event loop.

`compress` is pure. `Compressor` assumes one event loop and owns a small pool of threads (Pillow releases the GIL).
"""

import asyncio
import io
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clavilux.runtime.frame import Frame
from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.protocol.words import PictureEncoding
from clavilux.server.stage.limited_frames import LimitedFrames

WORKERS = 2  # threads: a second encoding or quality does not wait for the first
QUALITIES = (30, 60, 85, 90, 95)  # that pictures are made in: as many as viewers wish would take all the time
KEPT_PICTURES = 48  # compressed pictures remembered, two frames in all layouts; the oldest goes first
WEBP_METHOD = 0  # Pillow's fastest; slower ones cost tens of milliseconds for a few percent
RAW = PictureFormat(PictureEncoding.RGB)  # its quality means nothing


@dataclass(frozen=True)
class CompressedPicture:
    """A compressed picture, and what it took."""

    body: bytes
    seconds: float


def served(wanted: PictureFormat) -> PictureFormat:
    """Return the layout that pictures are made in for who wants this one: with the nearest of `QUALITIES`."""
    nearest = min(QUALITIES, key=lambda quality: abs(quality - wanted.quality))
    return PictureFormat(wanted.encoding, nearest)


def compress(pixels: NDArray[np.uint8], layout: PictureFormat) -> bytes:
    """Return [H, W, 3] uint8 RGB as JPEG, as WebP, or as it is, row by row."""
    if layout.encoding == PictureEncoding.RGB:
        return pixels.tobytes()
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if layout.encoding == PictureEncoding.WEBP:
        image.save(out, "WEBP", quality=layout.quality, method=WEBP_METHOD)
    else:
        image.save(out, "JPEG", quality=layout.quality)
    return out.getvalue()


@dataclass(frozen=True)
class Flashes:
    """Limit of flashes in a picture: for clients that do not limit them themselves."""

    limited: bool  # whether a limiter is asked at all
    enabled: bool = True  # whether the performer has left it on
    urgent: bool = False  # whether a performer wants black


UNLIMITED = Flashes(limited=False)


def flashes_of(frame: Frame) -> Flashes:
    """Return how flashes are limited in a frame for those who do not do it themselves.

    By the parameters that it was made with: those of now may be newer than its picture, and want a black that comes.
    """
    wanted = frame.values
    urgent = bool(wanted.get("blackout") or wanted.get("panic"))
    return Flashes(limited=True, enabled=bool(wanted.get("flash_limit", True)), urgent=urgent)


_Key = tuple[int, PictureFormat, bool]  # sequence, encoding and quality, and whether flashes are limited


class Compressor:
    """Compresses frames, and keeps the pictures of the last ones for all viewers of a stage."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pictures")
        self._kept: OrderedDict[_Key, asyncio.Task[CompressedPicture]] = OrderedDict()
        self._limited = LimitedFrames()
        self.made = 0  # pictures compressed so far

    async def get(self, frame: Frame, layout: PictureFormat, flashes: Flashes = UNLIMITED) -> CompressedPicture:
        """Return the picture of `frame` in `layout`, compressing it when nobody has asked for it yet.

        `flashes` says whether they are limited in it (WCAG 2.3.1). Raises whatever compressing raises, to everyone who
        waits for this picture; who asks later has it tried again.
        """
        key = (frame.sequence, RAW if layout.encoding == PictureEncoding.RGB else layout, flashes.limited)
        task = self._kept.get(key)
        if task is None:
            task = asyncio.create_task(self._compress(frame, layout, flashes))
            task.add_done_callback(lambda done: self._forget_failed(key, done))
            self._kept[key] = task
            if len(self._kept) > KEPT_PICTURES:
                self._kept.popitem(last=False)
        if task.done():
            return task.result()
        # One viewer that leaves must not cancel the picture that others wait for.
        return await asyncio.shield(task)

    def _forget_failed(self, key: _Key, done: "asyncio.Task[CompressedPicture]") -> None:
        """Keep no failure: whoever waits has it already, and nobody may be left to."""
        if (done.cancelled() or done.exception() is not None) and self._kept.get(key) is done:
            del self._kept[key]

    async def _compress(self, frame: Frame, layout: PictureFormat, flashes: Flashes) -> CompressedPicture:
        self.made += 1
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, frame, layout, flashes)

    def _timed(self, frame: Frame, layout: PictureFormat, flashes: Flashes) -> CompressedPicture:
        started = time.perf_counter()
        pixels = frame.pixels
        if flashes.limited:
            pixels = self._limited.pixels(frame, enabled=flashes.enabled, urgent=flashes.urgent)
        body = compress(pixels, layout)
        return CompressedPicture(body, time.perf_counter() - started)

    async def close(self) -> None:
        """Wait for what is being compressed, whether it succeeds or not, then end the threads."""
        await asyncio.gather(*self._kept.values(), return_exceptions=True)
        self._kept.clear()
        self._pool.shutdown()
