"""Light numbers: the light's settings as a bundle that paints light is told of them.

Its numbers (`clavilux.runtime.bundle.manifest`) follow the sound. The bundle's conditioning has a row for each, so that
a light is an embedding, which stands beside what the audio encoder says: things and light are mixed by adding.
"""

from collections.abc import Sequence
from math import cos, exp, pi, sin

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.light_state import MAX_SHEETS, LightSettings, LightState, loudness
from clavilux.runtime.pulse import Pulse

Numbers = NDArray[np.float32]
Embeddings = NDArray[np.float32]

STEPS = 256  # to each side of 0: a light that differs by less is the same, so that what is still is not painted anew
PALE = 0.25  # colour of what has no pitch, 0 to 1
COLOUR_TIME = 0.4  # s, for 63 % of the way between pale and coloured
AWAKE = 0.02  # loudness below which colour stays as it is
REST_EXTENT, REST_LIGHT = 0.3, 0.3  # what is left in silence, 0 to 1: a wall is never black
FULL = 0.78  # loudness of a light that is whole: music that is played, not only what clips
DULL, SHARP = 0.25, 0.85  # brightness of the least and the finest folds: where nearly all sounds lie
CROWDED, CROWD = 0.45, 0.5  # density of onsets of all sheets, and power: one form more is seen at once
BREATH = 0.05  # of the extent, of a whole breath of the beat


class LightNumbers:
    """State: the light's settings, and how coloured it is."""

    def __init__(self) -> None:
        self._light = LightState()
        self._pulse = Pulse()
        self._colour = 1.0

    def advance(self, pulses: Sequence[Pulse], seconds: float) -> Numbers:
        """Take the readings since the last call, `seconds` ago; return the numbers, float32 [9]."""
        self._pulse = pulses[-1] if pulses else self._pulse
        onset = max((pulse.onset for pulse in pulses), default=0.0)
        settings = self._light.advance(self._pulse, seconds, onset=onset)
        if loudness(self._pulse) > AWAKE:
            aim = PALE + (1 - PALE) * self._pulse.pitch_confidence
            self._colour += (aim - self._colour) * (1 - exp(-max(0.0, seconds) / COLOUR_TIME))
        return numbers_of(settings, self._colour)


def numbers_of(settings: LightSettings, colour: float = 1.0) -> Numbers:
    """Return settings in the order of LIGHT_NUMBERS, float32 [9]; `colour` is 0, pale, to 1."""
    turn, density = 2 * pi * settings.hue, (settings.sheets - 1) / (MAX_SHEETS - 1)
    shares = (
        settings.place,
        (settings.fineness - DULL) / (SHARP - DULL),
        settings.turbulence,
        max(0.0, density / CROWDED) ** CROWD,
        settings.symmetry,
        REST_EXTENT + (1 - REST_EXTENT) * min(1.0, settings.extent / FULL) + BREATH * settings.breath,
        REST_LIGHT + (1 - REST_LIGHT) * min(1.0, settings.light / FULL),
    )
    found = np.array([colour * cos(turn), colour * sin(turn), *(2 * share - 1 for share in shares)])
    return (np.round(STEPS * found.clip(-1, 1)) / STEPS).astype(np.float32)


def lit(prompt: Embeddings, numbers: Numbers, rows: Embeddings) -> Embeddings:
    """Return prompt embeds, float32 [1, tokens, width], in a light; `rows` are the bundle's, float32 [9, width].

    BOS, which comes first, stays as it is.
    """
    result = prompt.copy()
    result[:, 1:] += numbers @ rows
    return result
