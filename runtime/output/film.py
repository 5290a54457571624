"""Film of a screen: frames of an instrument become what a room sees on a projector, one picture for each frame.

Pictures with their ground, light, effects, master and flash limiter, in the order of the page's screen. Every frame
brings a picture of its own, so that nothing is interpolated; readings of the pulse and moved parameters come with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.frame import Frame
from clavilux.runtime.output.flash_limiter import FlashLimiter
from clavilux.runtime.output.light import draw_light
from clavilux.runtime.output.light_state import LightState, light_amount
from clavilux.runtime.output.master import Master
from clavilux.runtime.output.resampling import Floats, enlarge_linearly
from clavilux.runtime.output.screen import Screen, divide_light
from clavilux.runtime.pulse import Pulse

LIGHT_ROWS = 270  # pixels at most; the light is soft, so that more would not be seen
BEFORE = 1.0  # s; a picture that came so long ago is shown in full


def filmed(frames: Iterable[Frame], film: "Film") -> Iterator[Frame]:
    """Yield `frames` as the screen of a film shows them, in their order."""
    for frame in frames:
        yield replace(frame, pixels=film.draw(frame))


class Film:
    """Makes the pictures of one film. Frames come in order."""

    def __init__(self, height: int, width: int) -> None:
        """Make pictures of `height` x `width` pixels."""
        self._size = height, width
        self._limiter = FlashLimiter(height, width)
        self._enabled = True
        self._dark = False
        self._screen = Screen(height, width, limit=self._limit)
        self._master = Master()
        self._light = LightState()
        self._pulse = Pulse()
        self._picture: NDArray[np.uint8] | None = None
        self._time: float | None = None

    def draw(self, frame: Frame) -> NDArray[np.uint8]:
        """Return what the room sees of a frame, uint8 [height, width, 3] sRGB."""
        seconds = 0.0 if self._time is None else frame.time - self._time
        self._time = frame.time
        values = frame.values
        self._enabled = bool(values["flash_limit"])
        self._dark = bool(values["blackout"] or values["panic"])
        if not self._dark and frame.pixels is not self._picture:
            self._picture = frame.pixels
            self._screen.show(frame.pixels, frame.time - BEFORE)
        asked = {name: values[name] for name in ("master", "fade", "blackout", "panic")}
        gain = self._master.advance(seconds, **asked)
        field, rim = light_amount(float(values["light"]), frame.known)
        light = self._light_of(frame, seconds, field, rim)
        return self._screen.draw(frame.time, values, light=light, field=field, gain=gain)

    def _light_of(self, frame: Frame, seconds: float, field: float, rim: float) -> Floats | None:
        """Return the light round the picture and in its place, [height, width, 3]; None where there is none."""
        self._pulse = frame.pulses[-1] if frame.pulses else self._pulse
        onset = max((pulse.onset for pulse in frame.pulses), default=0.0)
        settings = self._light.advance(self._pulse, seconds, amount=field + rim, onset=onset)
        if not frame.values["light"]:
            return None
        height, width = self._size
        rows = min(height, LIGHT_ROWS)
        drawn = draw_light(settings, rows, round(width * rows / height))
        return divide_light(enlarge_linearly(drawn, height, width), field, rim)

    def _limit(self, light: Floats, time: float) -> Floats:
        return self._limiter.limit(light, time, enabled=self._enabled, urgent=self._dark)
