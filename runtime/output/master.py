"""Master: brightness of everything, from its fader, the fade, blackout and panic, as one factor of linear light.

A fade is even to the eye: the lightness goes in a straight line, and light is its power of 2.4, near enough to CIE 1976
L* (whose straight foot would only show where nothing is seen) and what sRGB screens do to a grey. The fader is linear
light itself, 0 to 1, and glides, so that a slider of a hundred steps is none. `screen/master.js` has the same numbers.
"""

import math

GLIDE = 0.08  # s, in which the fader's level follows its hand by 63 %
GAMMA = 2.4  # lightness to linear light


class Master:
    """Pure: it knows the time that passes, and no clock. It begins where it is asked to be."""

    def __init__(self) -> None:
        self._level: float | None = None  # of the fader, gliding; linear light
        self._open = 1.0  # 0 black, 1 open; lightness

    def advance(
        self, seconds: float, *, master: float = 1.0, fade: float = 0.0, blackout: bool = False, panic: bool = False
    ) -> float:
        """Let `seconds` pass; return the factor of linear light, 0 to 1.

        `master` is the fader, linear light from 0 to 1; `fade` the seconds from open to black and back, 0 for at once.
        A fade that turns round half-way goes back as fast as it came; panic waits for none.
        """
        seconds = max(seconds, 0.0)
        if self._level is None:
            self._level, self._open = master, 0.0 if blackout or panic else 1.0
        self._level += (master - self._level) * (1 - math.exp(-seconds / GLIDE))
        step = seconds / fade if fade > 0 else 1.0
        if panic:
            self._open = 0.0
        else:
            self._open = max(self._open - step, 0.0) if blackout else min(self._open + step, 1.0)
        return float(self._level * self._open**GAMMA)
