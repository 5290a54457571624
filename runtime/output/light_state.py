"""Light settings over time: a state machine that turns readings of the pulse into slowly gliding settings of the light.

Each setting has a time constant of its own, so that the light is alive at once and never nervous. There is no clock and
no chance in it: the same readings and seconds give the same settings, and `server/page/screen/light_state.js` gives the
same numbers. In silence it dims to a faint glow and rests.
"""

from dataclasses import dataclass
from math import ceil, cos, exp, floor, hypot, pi

from clavilux.runtime.pulse import SILENCE_DB, Pulse

# How long each setting takes for 63 % of its way, in seconds.
AMOUNT_TIME = 0.1
HUE_TIME = 0.45  # at full confidence
PLACE_TIME = 0.3  # at full confidence
FINENESS_TIME = 0.35
TURBULENCE_TIME = 0.5
SHEETS_TIME = 1.2
SYMMETRY_TIME = 1.2
QUICK_RISE, QUICK_FALL = 0.025, 0.14
SLOW_RISE, SLOW_FALL = 0.18, 1.8
BREATH_TIME = 0.06
RIPPLE_TIME = 0.035  # from one ring of the sheet to the next; eight of them reach its edge in 0.3 s
RIPPLE_KEPT = 0.85  # of a ripple, from one ring to the next

RINGS = 8  # of a sheet, that a push passes one after the other
PUSH = 2.4  # how much one onset of strength 1 gives to the first ring, so that its ripple rises to about 1
MAX_STEP = 0.01  # s; longer ones are cut, so that any display rate sees about the same
MAX_PAUSE = 1.0  # s; a page that slept does not catch up

QUIETEST_DB, LOUDEST_DB = -60.0, -6.0  # dBFS, where loudness is 0 and where it is 1
FIXED_SHARE = 0.65  # of loudness that is in dBFS; the rest is in the automatic range
QUICK_LIGHT = 0.12  # share of the light that follows at once; the rest must not flicker
QUICK_EXTENT = 0.28
MAX_SHEETS = 4
REST_FLOW, LOUD_FLOW, PUSH_FLOW = 0.05, 0.35, 2.2  # radians per second of a wave of speed 1
AWAKE = 0.05  # loudness from which on settings follow at full pace

RIM = 0.45  # of the light that stays round a known picture
WINDOW_INNER, WINDOW_OUTER = 0.45, 1.35  # half heights from the middle: where the rim begins and where it is whole


@dataclass(frozen=True)
class LightSettings:
    """One moment of the light, ready to be drawn."""

    amount: float = 1.0  # factor of the finished light, 0 to 1
    hue: float = 0.6  # turns, 0 to 1
    place: float = 0.45  # height on the wall: 0 near the foot, 1 near the top
    fineness: float = 0.4  # of the folds, 0 to 1
    turbulence: float = 0.1  # 0 to 1
    sheets: float = 1.9  # how many, 1 to 4; a part of one is one that fades in
    symmetry: float = 0.0  # 0 none, 0.5 threefold, 1 sixfold
    extent: float = 0.6  # size of the figure, 0 to 1
    light: float = 0.6  # 0 a faint glow, 1 full
    breath: float = 0.0  # of the beat, -1 to 1
    ripple: tuple[float, ...] = (0.0,) * RINGS  # push in each ring of the sheets, from the middle to the edge
    time: float = 0.0  # radians that a fold of speed 1 has moved


class LightState:
    """Light that follows the pulse. Feed it the newest reading once for each picture."""

    def __init__(self) -> None:
        self._index = -1
        self._amount = self._quick = self._slow = self._breath = 0.0
        self._hue, self._place, self._fineness = 0.6, 0.4, 0.3
        self._turbulence = self._symmetry = self._sheets = 0.0
        self._push = 0.0
        self._ripple = [0.0] * RINGS
        self._time = 0.0

    def advance(
        self, pulse: Pulse, seconds: float, *, amount: float = 1.0, onset: float | None = None
    ) -> LightSettings:
        """Return the settings `seconds` after the last ones, at most a second of which count.

        `amount` (0 to 1) scales the light. `onset` is the strongest onset since the last call; where it is None, that
        of `pulse` counts, once.
        """
        if onset is None:
            onset = pulse.onset if pulse.index != self._index else 0.0
        self._index = pulse.index
        self._push += PUSH * _unit(onset)
        seconds = min(max(seconds, 0.0), MAX_PAUSE)
        steps = max(1, ceil(seconds / MAX_STEP))
        for _ in range(steps):
            self._step(pulse, seconds / steps, _unit(amount))
        return self._settings()

    def _step(self, pulse: Pulse, seconds: float, amount: float) -> None:
        heard = loudness(pulse)
        self._amount += (amount - self._amount) * _share(seconds, AMOUNT_TIME)
        self._quick += (heard - self._quick) * _share(seconds, QUICK_RISE if heard > self._quick else QUICK_FALL)
        self._slow += (heard - self._slow) * _share(seconds, SLOW_RISE if heard > self._slow else SLOW_FALL)
        self._follow(pulse, seconds * min(heard / AWAKE, 1.0))
        breath = _unit(pulse.beat_confidence) * cos(2 * pi * pulse.beat_phase) * min(heard / AWAKE, 1.0)
        self._breath += (breath - self._breath) * _share(seconds, BREATH_TIME)
        before, share = self._push, _share(seconds, RIPPLE_TIME)
        self._push -= self._push * share
        for ring in range(RINGS):
            now = self._ripple[ring]
            self._ripple[ring] = now + (before - now) * share
            before = RIPPLE_KEPT * now
        self._time += seconds * (REST_FLOW + LOUD_FLOW * self._quick + PUSH_FLOW * min(self._ripple[0], 1.0))

    def _follow(self, pulse: Pulse, seconds: float) -> None:
        """Let colour and form go their way; in silence they stay where they are."""
        sure = seconds * _unit(pulse.pitch_confidence)
        self._hue = _turn(self._hue + _shortest(pulse.pitch_class - self._hue) * _share(sure, HUE_TIME))
        self._place += (_unit(pulse.pitch_height) - self._place) * _share(sure, PLACE_TIME)
        self._fineness += (_unit(pulse.brightness) - self._fineness) * _share(seconds, FINENESS_TIME)
        self._turbulence += (_unit(pulse.noisiness) - self._turbulence) * _share(seconds, TURBULENCE_TIME)
        self._sheets += (_unit(pulse.density) - self._sheets) * _share(seconds, SHEETS_TIME)
        self._symmetry += (_unit(pulse.harmonicity) - self._symmetry) * _share(seconds, SYMMETRY_TIME)

    def _settings(self) -> LightSettings:
        return LightSettings(
            amount=self._amount,
            hue=self._hue,
            place=self._place,
            fineness=self._fineness,
            turbulence=self._turbulence,
            sheets=1 + (MAX_SHEETS - 1) * self._sheets,
            symmetry=self._symmetry,
            extent=self._slow + QUICK_EXTENT * (self._quick - self._slow),
            light=self._slow + QUICK_LIGHT * (self._quick - self._slow),
            breath=self._breath,
            ripple=tuple(self._ripple),
            time=self._time,
        )


def loudness(pulse: Pulse) -> float:
    """Return how loud a reading is, 0 to 1: mostly in dBFS, so that a piano 12 dB quieter is another picture."""
    fixed = _unit((max(pulse.level_db, SILENCE_DB) - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB))
    return fixed * (FIXED_SHARE + (1 - FIXED_SHARE) * _unit(pulse.level))


def light_amount(light: float, known: float) -> tuple[float, float]:
    """Return `(field, rim)`: how much light fills the wall, and how much stays round a picture.

    `light` is the parameter, `known` the smoothed confidence that a known thing is heard, both 0 to 1. Their sum is the
    `amount` for `LightState.advance`, and `light_mask` divides it over the wall.
    """
    light, known = _unit(light), _unit(known)
    known = known * known * (3 - 2 * known)
    return light * (1 - known), light * known * RIM


def light_mask(x: float, y: float, field: float, rim: float) -> float:
    """Return the factor of the light at `(x, y)`, half heights from the middle of the wall, 0 to 1.

    A soft, round window keeps the middle for a known picture, surrounded by the rim's light.
    """
    edge = _unit((hypot(x, y) - WINDOW_INNER) / (WINDOW_OUTER - WINDOW_INNER))
    window = edge * edge * (3 - 2 * edge)
    return (field + rim * window) / (field + rim) if field + rim > 0 else 0.0


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _share(seconds: float, time: float) -> float:
    """Return the part of its way that something of this time constant goes in `seconds`."""
    return 1 - exp(-seconds / time)


def _turn(value: float) -> float:
    return value - floor(value)


def _shortest(turns: float) -> float:
    """Return the same turn the short way round, -0.5 to 0.5."""
    return turns - floor(turns + 0.5)
