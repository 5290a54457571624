"""Concepts: the names that a bundle has for sounds, the one nearest to what is heard, and how sure that is."""

import math

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.frame import Heard

SIMILAR = (0.7, 0.9)  # cosine similarity up to which nothing is known, and from which all is
PERSISTENT = 0.1  # s that a name has to stay before it counts
RISE, FALL = 0.15, 0.6  # time constants of the confidence, s


class ConceptIndex:
    """Index of the bundle's named concepts, for saying in words what is heard."""

    def __init__(self, names: tuple[str, ...], embeddings: NDArray[np.float32] | None) -> None:
        """`embeddings` are float32 [concepts, tokens, width], one for each name; None when there are no names."""
        self._names = names
        self._units = None if embeddings is None else _units(embeddings)

    def nearest(self, tokens: NDArray[np.float32]) -> Heard | None:
        """Return the concept with the highest cosine to `tokens`, float32 [tokens, width], averaged over tokens."""
        if self._units is None:
            return None
        similarities = np.einsum("knd,nd->k", self._units, _units(tokens)) / len(tokens)
        best = int(np.argmax(similarities))
        return Heard(self._names[best], float(similarities[best]))


class Confidence:
    """Confidence that what is heard is the thing it is named after: similar enough, and for long enough."""

    def __init__(self) -> None:
        self.known = 0.0  # 0 to 1
        self._name: str | None = None
        self._lasted = 0.0  # s since the name came

    def advance(self, heard: Heard | None, seconds: float) -> None:
        """Take what a hop of so many seconds heard; None is nothing, or nothing that is known."""
        name = None if heard is None else heard.name
        self._lasted = self._lasted + seconds if name == self._name else 0.0
        self._name = name
        low, high = SIMILAR
        similar = 0.0 if heard is None else min(1.0, max(0.0, (heard.similarity - low) / (high - low)))
        aim = similar if self._lasted >= PERSISTENT else min(similar, self.known)
        constant = RISE if aim > self.known else FALL
        self.known += (1 - math.exp(-seconds / constant)) * (aim - self.known)


def _units(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = tokens / np.maximum(np.linalg.norm(tokens, axis=-1, keepdims=True), 1e-12)
    return unit
