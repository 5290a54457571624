"""Seeded sounds and cuts that the runtime's tests share."""

import numpy as np
from hypothesis import strategies as st


def noise(samples: int, *, channels: int = 0, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Return white noise, float32 [samples] or [samples, channels]."""
    shape = (samples, channels) if channels else (samples,)
    return np.random.default_rng(seed).normal(0, level, shape).astype(np.float32)


def cuts(length: int, most: int = 8) -> st.SearchStrategy[list[int]]:
    """Return places to cut a sound of `length` samples at, in order."""
    return st.lists(st.integers(0, length), max_size=most).map(sorted)
