"""Synthesised takes of every kind: what the data builder asks for.

A kind is the name of a concept and a function that draws a body, a caller or a machine from wide ranges and lets it
sound. Nothing is held out: what is measured with are recordings.
"""

import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import LabelledClip, Origin, tidy
from clavilux.training.lumia.data.synthesis import birds, contacts, elements, machines, mammals, ringing
from clavilux.training.lumia.data.synthesis.blocks import Kind, afar

KINDS: dict[str, Kind] = {
    **mammals.KINDS,
    **birds.KINDS,
    **elements.KINDS,
    **ringing.KINDS,
    **machines.KINDS,
    **contacts.KINDS,
}
TAKES = 40  # of each kind
SECONDS = 2.5  # longest take


def take(kind: str, number: int, seed: int) -> LabelledClip:
    """Return one take: [n] at SAMPLE_RATE, at most SECONDS long, from a near or far place."""
    dice = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    sound = afar(dice, KINDS[kind](dice)).astype(np.float32)
    origin = Origin(f"synthesis/{kind}", "synthesised", "Apache-2.0")
    return LabelledClip(tidy(sound, SAMPLE_RATE, SECONDS), kind, origin)


def takes(count: int = TAKES) -> list[tuple[str, int]]:
    """Return the kind and number of every take, `count` of each kind, the kinds one after the other."""
    return [(kind, number) for kind in KINDS for number in range(count)]


def synthesised(chosen: Iterable[tuple[str, int]], seed: int) -> Iterator[LabelledClip]:
    """Yield the takes of these kinds and numbers."""
    for kind, number in chosen:
        yield take(kind, number, seed)
