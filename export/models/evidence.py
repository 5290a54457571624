"""Evidence of an exported bundle: how near sounds that have no name come to its concepts, and what is nearer than that.

Encoders differ in how alike all sounds are to them. Half of the seeded sounds without a name come less near than
`similarity`, and all but one in twenty less near than `held_similarity`; where its times lie is the same for all.
"""

import numpy as np

from clavilux.export.models.conditioning import Embedding, EmbedSound
from clavilux.export.models.usual_sounds import usual_sounds
from clavilux.runtime.conditioning.concepts import ConceptIndex

SOUNDS = 40  # of each a window
SHORT, HELD = 0.5, 0.95  # shares of them that come less near
LEAST = 0.1  # of similarity, which an encoder that tells nothing apart has to give


def measured_evidence(concepts: Embedding, encode: EmbedSound, window_samples: int) -> tuple[float, float]:
    """Return `similarity` and `held_similarity` for concepts float32 [n, tokens, width], both 0 to 1."""
    index = ConceptIndex(tuple(map(str, range(len(concepts)))), concepts)
    nearest = [index.nearest(encode(sound)) for sound in usual_sounds(window_samples, SOUNDS)]
    found = [one.similarity for one in nearest if one is not None]
    short, held = (float(np.clip(np.quantile(found, share), LEAST, 1.0)) for share in (SHORT, HELD))
    return round(short, 3), round(held, 3)
