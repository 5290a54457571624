"""Concepts: the names that a bundle has for sounds, and the one nearest to what is heard, if not something else is."""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.frame import Heard

Embeddings = NDArray[np.float32]


class ConceptIndex:
    """Index of the bundle's named concepts, and of sounds that are none of them."""

    def __init__(
        self, names: tuple[str, ...], embeddings: Embeddings | None, unknown: Embeddings | None = None
    ) -> None:
        """`embeddings` are float32 [concepts, tokens, width], one for each name; None when there are no names.

        `unknown`, float32 [n, tokens, width], is what the encoder makes of sounds that have no name.
        """
        self._names = names
        known = [] if embeddings is None else [embeddings]
        self._units = _units(np.concatenate(known + ([] if unknown is None else [unknown]))) if known else None

    @property
    def has_names(self) -> bool:
        """Whether there is anything to name a sound after."""
        return self._units is not None

    def nearest(self, tokens: Embeddings) -> Heard | None:
        """Return the concept with the highest cosine to `tokens`, float32 [tokens, width], averaged over tokens.

        None without names, and where a sound that has none is nearer.
        """
        if self._units is None:
            return None
        similarities = self._units @ _units(tokens).ravel() / len(tokens)
        best = int(np.argmax(similarities))
        return Heard(self._names[best], float(similarities[best])) if best < len(self._names) else None


def _units(tokens: Embeddings) -> Embeddings:
    """Return tokens of length 1; of several sounds, [n, tokens, width], in a row each, [n, tokens * width]."""
    unit: Embeddings = tokens / np.maximum(np.linalg.norm(tokens, axis=-1, keepdims=True), 1e-12)
    return unit if unit.ndim == 2 else unit.reshape(len(unit), -1)
