"""Flash limiter: shows a picture as far as it does not flash more often than eyes can bear (WCAG 2.2, 2.3.1).

It stands after everything else and adds no delay: what is shown is a mixture of the last shown picture and the one that
is about to be shown, in linear light, with a share for every pixel. Budgets of flashes say what share a cell of the
field may have (`flash_budget`, `flash_cells`); windows and the whole field, which see a strobe that moves, look at what
the cells have left of it, so that a strobe in a corner does not hold the rest back. What does not flash has share 1 and
is untouched. Harding and Harding (2010) and ITU-R BT.1702 tell why; `screen/limiter.js` is its twin in WebGL 2.
"""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.flash_budget import GENERAL, LONG_AGO, RED, Budget, Cells
from clavilux.runtime.output.flash_cells import TILES, WINDOWS, Enlargement, Values, grid, means, measure, spread, tiled
from clavilux.runtime.output.flash_cells import windows as windows_of

Picture = NDArray[np.float32]  # linear light, [H, W, 3], 0 to 1

URGENT_REST = 5.0  # s; so seldom may a performer's blackout take one turn more than the budget has


class FlashLimiter:
    """Limits one sequence of pictures for one size. Not for several threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Begin with a black screen of `height` x `width` pixels."""
        self._cells = grid(height, width)
        self._shown: Picture = np.zeros((height, width, 3), np.float32)
        self._values = measure(self._shown, *self._cells)
        self._near = [Budget(rule, self._cells[0] * self._cells[1]) for rule in (GENERAL, RED)]
        self._far = [Budget(rule, WINDOWS * WINDOWS + 1) for rule in (GENERAL, RED)]
        self._enlarge = Enlargement(self._cells, (height, width))
        self._from_tiles = Enlargement((TILES, TILES), self._cells)
        self._time: float | None = None
        self._pass = Urgency()

    def limit(self, picture: Picture, time: float, *, enabled: bool = True, urgent: bool = False) -> Picture:
        """Return what may be shown of `picture` at `time` seconds, linear float32 [H, W, 3]; do not write into it.

        Times may come as they like, but never fall. `urgent` is True while a performer wants black: its beginning is
        shown at once, also just after flashes, but not again within URGENT_REST. Not `enabled`, everything is shown,
        and counted.
        """
        seconds = LONG_AGO if self._time is None else max(time - self._time, 0.0)
        self._time = time
        wanted = np.clip(picture, 0, 1)
        values = measure(wanted, *self._cells)
        shares = self._shares(values, seconds)
        if self._pass.advance(urgent, seconds) or not enabled or shares.min() >= 1:
            self._shown, self._values = wanted, values
        else:
            wanted -= self._shown
            wanted *= self._enlarge(shares)[..., None]
            wanted += self._shown
            self._shown, self._values = wanted, measure(wanted, *self._cells)
        return self._shown

    def _shares(self, values: Values, seconds: float) -> Cells:
        """Return the share of each cell, [rows, columns]."""
        pairs = list(zip((self._values.luminance, self._values.red), (values.luminance, values.red), strict=True))
        cells = [one.advance(s.ravel(), w.ravel(), seconds) for one, (s, w) in zip(self._near, pairs, strict=True)]
        near = spread(np.minimum(*cells).reshape(self._cells))
        wide = [
            one.advance(_windows(shown), _windows(shown + near * (wanted - shown)), seconds)
            for one, (shown, wanted) in zip(self._far, pairs, strict=True)
        ]
        return np.minimum(near, self._from_tiles(tiled(np.minimum(*wide))))


class Urgency:
    """Passes for a performer's blackout."""

    def __init__(self) -> None:
        self._since = LONG_AGO  # s since the last pass
        self._was = False

    def advance(self, urgent: bool, seconds: float) -> bool:
        """Return whether the picture passes as it is."""
        self._since += seconds
        begins = urgent and not self._was and self._since >= URGENT_REST
        self._was = urgent
        if begins:
            self._since = 0.0
        return begins


def _windows(cells: NDArray[np.float32]) -> Cells:
    return windows_of(means(cells, TILES, TILES))
