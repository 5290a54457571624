"""Budget of flashes: how far each cell of the field may follow its picture without flashing too often.

A flash is a pair of opposing changes (WCAG 2.2, success criterion 2.3.1, "general flash and red flash thresholds");
here each change of the pair is a *turn*. A cell may turn ALLOWED times in any WINDOW, one flash and a half: below the
three of WCAG, and below the two a second that broadcasters bear for long (ITU-R BT.1702, the rule of EA's IRIS against
extended flashing: four turns a second for four seconds out of five).

`Budget` is of luminance. A cell that has used its turns up may go on in the direction that it has, and back by less
than a turn. A cell that wanted more stays under *strain* until its picture has calmed down: meanwhile it follows
slowly, so that a strobe becomes its own mean instead of stuttering.

`RedBudget` is of saturated red, whose value does not follow a mixture of two pictures smoothly, but falls to 0 where
the ratio falls below the rule's 0.8. So such a cell cannot be held halfway: it loses saturation, until it is no such
red any more. That is a turn, too, which a cell always has left: it may become red only if there is room for the way
back.

Pure state machines over cells, without a clock: `screen/limiter.js` does the same on the graphics processor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float32]  # [n], one number a cell

ALLOWED = 3  # turns in a window
WINDOW = 1.04  # s; more than the second of the rule by a frame at 25 a second
CALM = 0.5  # s without a turn of the picture until its strain is over
SLOWNESS = 0.8  # s, time constant of a cell under full strain: 4 Hz, black and white, is left with 8 %
RIPPLE = np.float32(0.08)  # of luminance; change that a cell keeps that may not turn
MARGIN = np.float32(0.01)  # by which a bright cell stays above the darkness of a turn: a level of 8 bits there
RED_WINDOW = 0.94  # s, in which a cell that becomes red has turned once at most: a pulse of red a second may be seen
RED_RIPPLE = np.float32(0.04)  # as RIPPLE, of saturated red
RETURN = 0.5  # s in which a cell gets all of its saturation back
LONG_AGO = 60.0  # s, older than anything that counts


@dataclass(frozen=True)
class Rule:
    """Measure of a turn, in the unit of the cells' values."""

    turn: float  # change between two extremes; a little less than the rule has, for pictures are rounded to 8 bits
    dark: float  # a turn is one only if its darker side is below this


GENERAL = Rule(turn=0.095, dark=0.8)
"""Of relative luminance, 0 to 1: 10 % of the largest, the darker side below 0.80."""

RED = Rule(turn=0.05, dark=2.0)
"""Of saturated red, R - G - B where R / (R + G + B) >= 0.8: PEAT's and IRIS's 20 of 320. Two colours of which one is
such a red and which are further apart than 0.2 in u'v' (WCAG 2.2) differ by more, unless they are almost black."""


class Turns:
    """Extremes of a value in each cell, and the direction since the last turn."""

    def __init__(self, rule: Rule, count: int) -> None:
        self._rule = rule
        self.extreme = np.zeros(count, np.float32)  # the furthest since the last turn
        self.rising = np.zeros(count, bool)  # the screen is black at first, and what comes rises

    def take(self, cells: NDArray[np.intp]) -> None:
        """Go on with `cells` of those that there are, [n]."""
        self.extreme, self.rising = self.extreme[cells], self.rising[cells]

    def advance(self, value: Cells) -> NDArray[np.bool_]:
        """Take the next `value` of every cell; return which of them turned."""
        rule = self._rule
        falls = self.rising & (value <= self.extreme - rule.turn) & (value < rule.dark)
        rises = ~self.rising & (value >= self.extreme + rule.turn)
        turned = falls | rises
        self.rising ^= turned
        furthest = np.where(self.rising, np.maximum(self.extreme, value), np.minimum(self.extreme, value))
        self.extreme = np.where(turned, value, furthest)
        return turned


class _History:
    """Turns that each cell has shown lately, and those that its picture asks for."""

    def __init__(self, rule: Rule, count: int) -> None:
        """Begin with `count` black cells that have never turned."""
        self._shown = Turns(rule, count)
        self._wanted = Turns(rule, count)
        self._ages = np.full((ALLOWED, count), LONG_AGO, np.float32)  # s since the last turns, newest first
        self._strain = np.zeros(count, np.float32)  # 1: just wanted a turn too many; 0: calm

    def take(self, cells: NDArray[np.intp]) -> None:
        """Go on with `cells` of those that there are, [n]: the field has been divided anew."""
        self._shown.take(cells)
        self._wanted.take(cells)
        self._ages, self._strain = self._ages[:, cells], self._strain[cells]

    def _remember(self, shown: Cells, seconds: float) -> None:
        turned = self._shown.advance(shown)
        self._ages = np.minimum(self._ages + np.float32(seconds), np.float32(LONG_AGO))
        newest = np.full_like(self._ages[:1], seconds)
        self._ages = np.where(turned, np.concatenate([newest, self._ages[:-1]]), self._ages)

    def _tire(self, wanted: Cells, too_many: NDArray[np.bool_], seconds: float) -> None:
        asks = self._wanted.advance(wanted)
        self._strain = np.maximum(self._strain - np.float32(seconds / CALM), 0)
        self._strain = np.where(asks & (too_many | (self._strain > 0)), np.float32(1), self._strain)

    def _pace(self, seconds: float) -> Cells:
        """Return the share of any change that a cell may show: all of it, or under strain little."""
        strain = np.maximum(self._strain, np.float32(1e-3))
        return np.where(self._strain > 0, 1 - np.exp(np.float32(-seconds / SLOWNESS) / strain), np.float32(1))


class Budget(_History):
    """How much of the next change of its luminance each cell may show."""

    def __init__(self, count: int) -> None:
        """Begin with `count` black cells that have never turned."""
        super().__init__(GENERAL, count)

    def advance(self, shown: Cells, wanted: Cells, seconds: float) -> Cells:
        """Return the share of the change from `shown` to `wanted` that each cell may show now, 0 to 1.

        `shown` are the values [n] of what has been on the screen for `seconds`, `wanted` those of the next picture.
        """
        self._remember(shown, seconds)
        low, high = self._bounds(shown)
        outside = (wanted < low) | (wanted > high)
        self._tire(wanted, outside, seconds)
        change = np.where(outside, wanted - shown, np.float32(1))
        within = np.where(outside, (np.clip(wanted, low, high) - shown) / change, np.float32(1))
        return np.minimum(within, self._pace(seconds))

    def _bounds(self, shown: Cells) -> tuple[Cells, Cells]:
        """Return the lowest and the highest value that each cell may show; what it shows is always between."""
        rising, extreme = self._shown.rising, self._shown.extreme
        spent = self._ages[-1] < WINDOW
        far = np.float32(LONG_AGO)
        low = np.where(spent & rising, np.minimum(extreme - RIPPLE, np.float32(GENERAL.dark) + MARGIN), -far)
        high = np.where(spent & ~rising, extreme + RIPPLE, far)
        return np.minimum(low, shown), np.maximum(high, shown)


@dataclass(frozen=True)
class Reds:
    """Shares that cells may show, 0 to 1, [n] each."""

    change: Cells  # of any change
    saturation: Cells  # of what makes the next picture a saturated red, where that is shown as it is
    mixed: Cells  # and where it is mixed with what was shown, which may be redder than either


class RedBudget(_History):
    """How much of the saturation of its reds each cell may show."""

    def __init__(self, count: int) -> None:
        """Begin with `count` black cells that have never turned."""
        super().__init__(RED, count)
        self._kept = np.ones(count, np.float32)

    def take(self, cells: NDArray[np.intp]) -> None:
        """Go on with `cells` of those that there are, [n]: the field has been divided anew."""
        super().take(cells)
        self._kept = self._kept[cells]

    def advance(self, shown: Cells, wanted: Cells, seconds: float) -> Reds:
        """Return what each cell may show; arguments are as those of `Budget.advance`."""
        self._remember(shown, seconds)
        full = ~self._shown.rising & (self._ages[-2] < RED_WINDOW)
        turns = full & (wanted > self._shown.extreme + RED_RIPPLE)
        self._tire(wanted, turns, seconds)
        back = np.minimum(self._kept + np.float32(seconds / RETURN), np.float32(1))
        self._kept = np.where(turns | (self._strain > 0), np.float32(0), back)
        return Reds(self._pace(seconds), self._kept, np.where(full, np.float32(0), self._kept))
