"""Composition of films as the page's screen composes them: pictures, light, colours, glow, trails, grain.

In the order of `server/page/screen/screen.js`. Master and flash limiter come after it, given as functions of light.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.colour import to_srgb
from clavilux.runtime.output.effects import NEUTRAL, bled, colour_matrix, glowing, grained, recolour, trailed
from clavilux.runtime.output.light_state import WINDOW_INNER, WINDOW_OUTER
from clavilux.runtime.output.pictures import Pacing
from clavilux.runtime.output.placing import draw_plate, place_picture
from clavilux.runtime.output.resampling import Floats
from clavilux.runtime.output.size import Plate, make_plate

VEIL = 0.7  # of a picture that is of nothing known, in full light
Limit = Callable[[Floats, float], Floats]  # light [H, W, 3] and its time in seconds to light that may be shown


class Screen:
    """A screen of `height` x `width` pixels. Times are seconds, and never go back."""

    def __init__(self, height: int, width: int, *, limit: Limit | None = None) -> None:
        self.height = height
        self.width = width
        self.pacing = Pacing()
        self._limit = limit
        self._plates: tuple[Plate, Plate] | None = None  # what was shown when the newest came, and the newest
        self._aspect = 1.0  # width / height of the newest
        self._past: Floats | None = None  # what was shown last, for trails
        self._drawn: float | None = None  # when

    def show(self, picture: NDArray[np.uint8], time: float, made_at: float | None = None) -> None:
        """Take a picture, uint8 [H, W, 3] sRGB, that comes at `time`; it grows over what is shown then."""
        shown = self.pacing.arrive(time, made_at)
        height, width, _ = picture.shape
        self._aspect = width / height
        place = place_picture(self.height, self.width, self._aspect, NEUTRAL, cover=False)
        plate = make_plate(picture, round(place.rows))
        self._plates = (self._shown_then(shown, plate), plate)

    def _shown_then(self, share: float, plate: Plate) -> Plate:
        """Return what `plate` grows from: what is shown, or itself where that is of another size."""
        if self._plates is None or self._plates[1].picture.shape != plate.picture.shape:
            return plate
        return _mixed(self._plates, share)

    def draw(
        self,
        time: float,
        values: Mapping[str, Any],
        *,
        light: Floats | None = None,
        field: float = 0.0,
        gain: float = 1.0,
    ) -> NDArray[np.uint8]:
        """Return what is seen at `time`, uint8 [height, width, 3] sRGB; black before the first picture.

        `values` are parameters by name, and those that are absent are neutral; `light`, float32 [height, width, 3] in
        linear light, is added to the picture as far as there is room for it, and veils it by as much as there is of the
        light's `field`, 0 to 1; `gain`, 0 to 1, is that of the master.
        """
        chosen = NEUTRAL | {name: float(values[name]) for name in NEUTRAL if name in values}
        passed = 0.0 if self._drawn is None else max(time - self._drawn, 0.0)
        self._drawn = time
        scene: Floats = self._scene(time, chosen)
        if light is not None:
            scene = np.float32(1 - VEIL * field) * scene
            scene = scene + np.maximum(np.float32(1) - scene, 0) * light
        finished = self._finish(bled(recolour(scene, colour_matrix(chosen))), chosen, time, passed)
        shown = finished if gain == 1 else np.float32(gain) * finished
        return to_srgb(self._limit(shown, time) if self._limit else shown)

    def _scene(self, time: float, values: Mapping[str, float]) -> Floats:
        if self._plates is None:
            return np.zeros((self.height, self.width, 3), np.float32)
        plate = _mixed(self._plates, self.pacing.share(time))
        place = place_picture(self.height, self.width, self._aspect, values, cover=False)
        return draw_plate(plate, place, values, time)

    def _finish(self, light: Floats, values: Mapping[str, float], time: float, passed: float) -> Floats:
        if values["glow"]:
            light = glowing(light, values["glow"])
        light = trailed(light, self._past, values["trails"], passed)
        self._past = light if values["trails"] else None
        return grained(light, values["grain"], time) if values["grain"] else light


def divide_light(light: Floats, field: float, rim: float) -> Floats:
    """Return light [H, W, 3] divided over the wall, as `light_state.light_mask` says, for all pixels at once."""
    height, width, _ = light.shape
    x = ((np.arange(width) + 0.5) - width / 2) * 2 / height
    y = ((np.arange(height) + 0.5) - height / 2) * 2 / height
    edge = np.clip((np.hypot(x, y[:, None]) - WINDOW_INNER) / (WINDOW_OUTER - WINDOW_INNER), 0, 1)
    mask = (field + rim * edge * edge * (3 - 2 * edge)) / max(field + rim, 1e-6)
    divided: Floats = light * mask[..., None].astype(np.float32)
    return divided


def _mixed(plates: tuple[Plate, Plate], share: float) -> Plate:
    before, newest = plates
    return newest if share >= 1 else before.mixed(newest, share)
