"""Budget of flashes: how far each cell of the field may follow its picture without flashing too often.

A flash is a pair of opposing changes (WCAG 2.2, success criterion 2.3.1, "general flash and red flash thresholds"); here
each change of the pair is a *turn*. A cell may turn ALLOWED times in any WINDOW, that is one flash and a half: below the
three of WCAG, and below the two a second that broadcasters bear for long (ITU-R BT.1702, the rule of EA's IRIS against
extended flashing: four turns a second for four seconds out of five). A cell that has used them up may go on in the
direction that it has, and back by less than a turn. A cell that wanted more stays under *strain* until its picture has
calmed down: meanwhile it follows slowly, so that a strobe becomes its own mean instead of stuttering.

A pure state machine over cells, without a clock: `screen/limiter.js` does the same on the graphics processor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float32]  # [n], one number a cell

ALLOWED = 3  # turns in a window
WINDOW = 1.04  # s; more than the second of the rule by a frame at 25 a second
CALM = 0.5  # s without a turn of the picture until its strain is over
SLOWNESS = 0.8  # s, time constant of a cell under full strain: 4 Hz, black and white, is left with 8 %
MARGIN = np.float32(0.01)  # by which a bright cell stays above the darkness of a turn: a level of 8 bits there
LONG_AGO = 60.0  # s, older than anything that counts


@dataclass(frozen=True)
class Rule:
    """What counts as a turn, in the unit of the cells' values."""

    turn: float  # change between two extremes; a little less than the rule has, for pictures are rounded to 8 bits
    ripple: float  # change that a cell keeps that may not turn
    dark: float  # a turn is one only if its darker side is below this
    freezes: bool = False  # a cell that may not turn stands still, and under strain too: see RED


GENERAL = Rule(turn=0.095, ripple=0.08, dark=0.8)
"""Of relative luminance, 0 to 1: 10 % of the largest, the darker side below 0.80."""

RED = Rule(turn=0.05, ripple=0.04, dark=2.0, freezes=True)
"""Of saturated red, R - G - B where R / (R + G + B) >= 0.8: PEAT's and IRIS's 20 of 320. Two colours of which one is
such a red and which are further apart than 0.2 in u'v' (WCAG 2.2) differ by more, unless they are almost black. The
value does not follow a mixture smoothly, but falls to 0 where the ratio does below 0.8: a mixture that goes slowly past
that would turn with every ripple. So such cells stand still."""


class Turns:
    """Extremes of a value in each cell, and the direction since the last turn."""

    def __init__(self, rule: Rule, count: int) -> None:
        self._rule = rule
        self.extreme = np.zeros(count, np.float32)  # the furthest since the last turn
        self.rising = np.zeros(count, bool)  # the screen is black at first, and what comes rises

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


class Budget:
    """Turns that each cell has shown lately, and how much of its next change it may show."""

    def __init__(self, rule: Rule, count: int) -> None:
        """Begin with `count` black cells that have never turned."""
        self._rule = rule
        self._shown = Turns(rule, count)
        self._wanted = Turns(rule, count)
        self._ages = np.full((ALLOWED, count), LONG_AGO, np.float32)  # s since the last turns, newest first
        self._strain = np.zeros(count, np.float32)  # 1: just wanted a turn too many; 0: calm

    def advance(self, shown: Cells, wanted: Cells, seconds: float) -> Cells:
        """Return the share of the change from `shown` to `wanted` that each cell may show now, 0 to 1.

        `shown` are the values [n] of what has been on the screen for `seconds`, `wanted` those of the next picture.
        """
        self._remember(self._shown.advance(shown), seconds)
        asks = self._wanted.advance(wanted)
        low, high = self._bounds(shown)
        outside = (wanted < low) | (wanted > high)
        self._strain = np.maximum(self._strain - np.float32(seconds / CALM), 0)
        self._strain = np.where(asks & (outside | (self._strain > 0)), np.float32(1), self._strain)
        return np.minimum(self._within(shown, wanted, low, high), self._pace(seconds))

    def _remember(self, turned: NDArray[np.bool_], seconds: float) -> None:
        self._ages = np.minimum(self._ages + np.float32(seconds), np.float32(LONG_AGO))
        newest = np.full_like(self._ages[:1], seconds)
        self._ages = np.where(turned, np.concatenate([newest, self._ages[:-1]]), self._ages)

    def _bounds(self, shown: Cells) -> tuple[Cells, Cells]:
        """Return the lowest and the highest value that each cell may show; what it shows is always between."""
        rule, extreme = self._rule, self._shown.extreme
        spent = self._ages[-1] < WINDOW
        far = np.float32(LONG_AGO)
        low = np.where(
            spent & self._shown.rising, np.minimum(extreme - np.float32(rule.ripple), rule.dark + MARGIN), -far
        )
        high = np.where(spent & ~self._shown.rising, extreme + np.float32(rule.ripple), far)
        return np.minimum(low, shown), np.maximum(high, shown)

    def _within(self, shown: Cells, wanted: Cells, low: Cells, high: Cells) -> Cells:
        outside = (wanted < low) | (wanted > high)
        if self._rule.freezes:
            return np.where(outside, np.float32(0), np.float32(1))
        change = np.where(outside, wanted - shown, np.float32(1))
        return np.where(outside, (np.clip(wanted, low, high) - shown) / change, np.float32(1))

    def _pace(self, seconds: float) -> Cells:
        if self._rule.freezes:
            return np.where(self._strain > 0, np.float32(0), np.float32(1))
        strain = np.maximum(self._strain, np.float32(1e-3))
        return np.where(self._strain > 0, 1 - np.exp(np.float32(-seconds / SLOWNESS) / strain), np.float32(1))
