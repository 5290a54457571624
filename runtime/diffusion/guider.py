"""Guider: the negative that a guided denoiser is led away from, and the coefficients that say how far."""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.graphs import NEXT_FROM_NOISE
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.diffusion.schedule import Guidance

UNGUIDED = (1.0, 0.0, 0.0)  # the guidance columns of a pass whose x0 is taken as it is


class Guider:
    """Guidance of one kind of GUIDANCES but `none`, with the negative prompt."""

    def __init__(self, spec: GuidanceSpec, negative: NDArray[np.float32]) -> None:
        """`negative` are the negative prompt's embeddings, float32 [tokens, width], BOS first."""
        self.spec = spec
        self.negative = negative[None]

    def guidance(self, scale: float | None) -> Guidance:
        """Return the guidance of this strength, or of the bundle's own."""
        return Guidance(self.spec.scale if scale is None else scale, self.spec.delta)


def guider_for(spec: GuidanceSpec, negative: NDArray[np.float32]) -> Guider | None:
    """Return the guider of a bundle's guidance, as `Guider` takes it; None where the bundle has none."""
    return None if spec.kind == "none" else Guider(spec, negative)


def unguided(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a step's coefficients, float32 [9], for a pass whose x0 is taken as it is."""
    return np.concatenate([row[: NEXT_FROM_NOISE + 1], np.array(UNGUIDED, np.float32)])
