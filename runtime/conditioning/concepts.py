"""Concepts: the names that a bundle has for sounds, and the one nearest to what is heard."""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.frame import Heard


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


def _units(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = tokens / np.maximum(np.linalg.norm(tokens, axis=-1, keepdims=True), 1e-12)
    return unit
