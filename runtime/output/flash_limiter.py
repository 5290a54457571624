"""Flash limiter: shows a picture as far as it does not flash more often than eyes can bear (WCAG 2.2, 2.3.1).

It stands after everything else and adds no delay. What changes its luminance too often is shown as a mixture of the
last shown picture and the one that is about to be shown, in linear light, with a share for every pixel; what becomes
saturated red too often is shown less saturated. Budgets of flashes say how much of both a cell of the field may have
(`flash_budget`, `flash_cells`); windows and the whole field, which see a strobe that moves, look at what the cells have
left of it, so that a strobe in a corner does not hold the rest back. What does not flash is untouched. Harding and
Harding (2010) and ITU-R BT.1702 tell why; `screen/limiter.js` is its twin in WebGL 2.
"""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.flash_budget import LONG_AGO, Budget, Cells, RedBudget
from clavilux.runtime.output.flash_cells import (
    TILES,
    WINDOWS,
    Enlargement,
    Plane,
    Values,
    calm,
    grid,
    means,
    measure,
    spread,
    tiled,
)
from clavilux.runtime.output.flash_cells import windows as windows_of

Picture = NDArray[np.float32]  # linear light, [H, W, 3], 0 to 1

WHOLE = 0.999  # share of a change from which a picture counts as shown as it is
URGENT_REST = 5.0  # s; so seldom may a performer's blackout take one turn more than the budget has


class FlashLimiter:
    """Limits one sequence of pictures for one size. Not for several threads at once."""

    def __init__(self, height: int, width: int) -> None:
        """Begin with a black screen of `height` x `width` pixels."""
        rows, columns = grid(height, width)
        near, far = rows * columns, WINDOWS * WINDOWS + 1
        self._near, self._near_red = Budget(near), RedBudget(near)
        self._far, self._far_red = Budget(far), RedBudget(far)
        self._time: float | None = None
        self._pass = Urgency()
        self._fit(np.zeros((height, width, 3), np.float32))

    def resize(self, height: int, width: int) -> None:
        """Work at this size from now on; what was shown and counted is taken along."""
        if (height, width) == self._shown.shape[:2]:
            return
        rows, columns = (_nearest(*sides) for sides in zip(self._cells, grid(height, width), strict=True))
        cells = (rows[:, None] * self._cells[1] + columns).ravel()
        self._near.take(cells)
        self._near_red.take(cells)
        above, left = (_nearest(*sides) for sides in zip(self._shown.shape[:2], (height, width), strict=True))
        self._fit(self._shown[above][:, left])

    def _fit(self, shown: Picture) -> None:
        """Take `shown` for what is on the screen, and divide its field into cells."""
        self._cells = grid(*shown.shape[:2])
        self._shown = shown
        self._values = measure(shown, *self._cells)
        self._enlarge = Enlargement(self._cells, shown.shape[:2])
        self._from_tiles = Enlargement((TILES, TILES), self._cells)

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
        share, colour = self._shares(values, seconds)
        if self._pass.advance(urgent, seconds):
            share = np.ones_like(share)
        if not enabled or min(share.min(), colour.min()) >= 1:
            self._shown, self._values = wanted, values
        else:
            self._shown = self._mixed(wanted, share, colour)
            self._values = measure(self._shown, *self._cells)
        return self._shown

    def _mixed(self, wanted: Picture, share: Plane, colour: Plane) -> Picture:
        wanted -= self._shown
        wanted *= self._enlarge(share)[..., None]
        wanted += self._shown
        if colour.min() < 1:
            calm(wanted, 1 - self._enlarge(colour))
        return wanted

    def _shares(self, wanted: Values, seconds: float) -> tuple[Plane, Plane]:
        """Return how much each cell, [rows, columns], may show of its change, and of the saturation of its reds."""
        shown = self._values
        light = self._near.advance(shown.luminance.ravel(), wanted.luminance.ravel(), seconds)
        red = self._near_red.advance(shown.red.ravel(), wanted.red.ravel(), seconds)
        near = self._spread(np.minimum(light, red.change))
        saturation, mixed = self._spread(red.saturation), self._spread(red.mixed)
        left = shown.luminance + near * (wanted.luminance - shown.luminance)
        far = self._far.advance(_windows(shown.luminance), _windows(left), seconds)
        left = wanted.red * np.where(near < WHOLE, mixed, saturation)
        far_red = self._far_red.advance(_windows(shown.red), _windows(left), seconds)
        share = np.minimum(near, self._tiled(np.minimum(far, far_red.change)))
        saturation = np.minimum(saturation, self._tiled(far_red.saturation))
        mixed = np.minimum(mixed, self._tiled(far_red.mixed))
        return share, np.where(share < WHOLE, mixed, saturation)

    def _spread(self, shares: Cells) -> Plane:
        return spread(shares.reshape(self._cells))

    def _tiled(self, shares: Cells) -> Plane:
        return self._from_tiles(tiled(shares)) if shares.min() < 1 else np.ones(self._cells, np.float32)


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


def _nearest(before: int, now: int) -> NDArray[np.intp]:
    """Return for each of `now` equal parts of a length which of the `before` it had lies in its middle."""
    return (2 * np.arange(now) + 1) * before // (2 * now)


def _windows(cells: NDArray[np.float32]) -> Cells:
    return windows_of(means(cells, TILES, TILES))
