"""The semantic path's ear: a window of log-mel frames becomes the tokens that stand where CLIP's stood."""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.providers.session import Session


class AudioEncoder:
    """Wav2Vec2-BERT with its adapter, as `audio_encoder.onnx` holds it.

    Normalisation over the window, padding and the stacking of frame pairs happen inside the graph.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def encode(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn raw log-mel frames, float32 [frames, 80], into tokens, float32 [tokens, width]."""
        (tokens,) = self.session.run({"features": features[None]})
        result: NDArray[np.float32] = tokens[0].astype(np.float32, copy=False)
        return result
