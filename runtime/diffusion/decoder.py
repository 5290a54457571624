"""Decoder: latents become a picture."""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.providers.session import Session


class Decoder:
    """A VAE's decoder, as `decoder.onnx` holds it; scaling, clamping and rounding happen inside the graph."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def decode(self, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Turn latents, float32 [1, C, h, w] on the UNet's scale, into a read-only RGB picture, uint8 [H, W, 3]."""
        (pictures,) = self.session.run({"latents": latents})
        picture: NDArray[np.uint8] = pictures[0].astype(np.uint8, copy=False)
        picture.flags.writeable = False
        return picture
