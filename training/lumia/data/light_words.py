"""Words for light: what the text encoder of the default bundle makes of "warm", "high", "soft" and their like.

Each word sets some of the light's numbers (`clavilux.runtime.bundle.manifest`), -1 to 1; a colour sets the hue, in
turns from C, and how much colour there is. Several words together set what each of them sets; none of them is a word
for a concept.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS


@dataclass(frozen=True)
class LightWord:
    """One word, or several that mean the same."""

    words: tuple[str, ...]
    hue: float | None = None  # turns; None: it says nothing of colour
    colour: float = 1.0  # 0 pale, 1 coloured, for words of colour
    shares: dict[str, float] = field(default_factory=dict)  # number: -1 to 1

    @property
    def about(self) -> frozenset[str]:
        """Names of the numbers it sets; two words that set the same do not stand together."""
        return frozenset({*self.shares, *(LIGHT_NUMBERS[:2] if self.hue is not None else ())})


def _shares(words: str, **shares: float) -> LightWord:
    return LightWord(tuple(words.split()), shares=shares)


def _colour(words: str, hue: float, colour: float = 1.0) -> LightWord:
    return LightWord(tuple(words.split()), hue, colour)


LIGHT_WORDS: tuple[LightWord, ...] = (
    _colour("red crimson", 0.0),
    _colour("amber warm", 0.1),
    _colour("golden yellow", 0.24),
    _colour("green emerald", 0.40),
    _colour("turquoise cyan", 0.54),
    _colour("blue cold", 0.66),
    _colour("violet purple", 0.80),
    _colour("pink magenta", 0.92),
    _colour("white pale silver colourless", 0.6, 0.0),
    _shares("low deep", place=-0.8),
    _shares("high", place=0.8),
    _shares("soft blurred veiled", fineness=-0.8),
    _shares("sharp fine crisp", fineness=0.8),
    _shares("calm smooth", turbulence=-0.9),
    _shares("rough turbulent noisy", turbulence=0.8),
    _shares("single lonely", sheets=-0.9),
    _shares("many crowded", sheets=0.9),
    _shares("flowing free", symmetry=-0.9),
    _shares("symmetric radiant", symmetry=0.9),
    _shares("narrow thin", extent=-0.7),
    _shares("wide vast", extent=0.8),
    _shares("dark dim", light=-0.8),
    _shares("bright brilliant", light=0.8),
    _shares("slow gentle", fineness=-0.6, sheets=-0.6),
    _shares("fast quick", fineness=0.6, sheets=0.7),
    _shares("loud", extent=0.8, light=0.8),
    _shares("quiet faint", extent=-0.7, light=-0.6),
)


def numbers_of_words(words: tuple[LightWord, ...]) -> Tensor:
    """Return the numbers [9] that words set; what none of them sets is 0, its middle."""
    numbers = dict.fromkeys(LIGHT_NUMBERS, 0.0)
    for word in words:
        numbers |= word.shares
        if word.hue is not None:
            cosine, sine = (word.colour * of(2 * math.pi * word.hue) for of in (math.cos, math.sin))
            numbers |= {LIGHT_NUMBERS[0]: cosine, LIGHT_NUMBERS[1]: sine}
    return torch.tensor([numbers[name] for name in LIGHT_NUMBERS])
