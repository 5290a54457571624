"""Flash limiter for viewers who do not limit flashes themselves: each frame once, in order, on any thread.

The page limits what it shows; whoever takes pictures over a plain websocket gets them from here. A limiter looks at
every picture against the last one, so there is one for all such viewers, and it is asked for each frame once, however
many viewers and encodings want it. Frames may be asked for by several threads: one works, and the others
wait for it.
"""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.frame import Frame
from clavilux.runtime.output.colour import to_linear, to_srgb
from clavilux.runtime.output.flash_limiter import FlashLimiter

KEPT = 8  # frames remembered; more than are compressed at once


class LimitedFrames:
    """Frames as they may be shown to eyes (WCAG 2.3.1), for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limiter: FlashLimiter | None = None
        self._last = -1  # sequence of the newest frame that was limited
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def pixels(self, frame: Frame, *, enabled: bool = True, urgent: bool = False) -> NDArray[np.uint8]:
        """Return the pixels of `frame`, uint8 RGB [H, W, 3], without what would flash too often.

        A frame that comes after a newer one, which a stage drops anyway, gets what was shown last. `enabled`, `urgent`
        are the limiter's (`FlashLimiter.limit`); the first to ask for a frame decides.
        """
        with self._lock:
            kept = self._kept.get(frame.sequence)
            if kept is not None:
                return kept
            if frame.sequence < self._last and self._kept:
                return next(reversed(self._kept.values()))
            return self._keep(frame, self._limit(frame, enabled, urgent))

    def _limit(self, frame: Frame, enabled: bool, urgent: bool) -> NDArray[np.uint8]:
        height, width, _ = frame.pixels.shape
        if self._limiter is None:
            self._limiter = FlashLimiter(height, width)
        self._limiter.resize(height, width)
        wanted = to_linear(frame.pixels)
        shown = self._limiter.limit(wanted, frame.time, enabled=enabled, urgent=urgent)
        if np.array_equal(shown, wanted):
            return frame.pixels
        return to_srgb(shown)

    def _keep(self, frame: Frame, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._last = frame.sequence
        self._kept[frame.sequence] = pixels
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return pixels
