"""How well sounds lie on their captions: the reference's three figures, retrieval both ways, and norms.

Retrieval compares by the cosine's mean over positions. Every distinct caption is one candidate, however many clips have
it; a retrieved item with the same caption is right. Ties count against the encoder, so that one which gives the same
tokens for every sound scores nothing; tokens that are no numbers are like nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RANKS = (1, 5, 10)
MIN_NORM = 1e-12
ROUND = 512  # clips compared at once

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Alignment:
    """Figures of one test set."""

    clips: int
    captions: int  # distinct
    cosine: float  # mean over clips and positions, -1 to 1
    squared_error: float  # mean over all numbers
    distance: float  # Euclidean, of one token, mean over clips and positions
    audio_to_text: tuple[float, ...]  # share of clips whose caption is among the first 1, 5, 10
    text_to_audio: tuple[float, ...]  # share of captions that have a clip among the first 1, 5, 10
    audio_norms: tuple[float, ...]  # mean norm at each position
    text_norms: tuple[float, ...]

    @property
    def norm_ratio(self) -> float:
        """Return the mean norm of audio tokens, divided by that of their text tokens."""
        return float(np.mean(self.audio_norms) / max(float(np.mean(self.text_norms)), MIN_NORM))

    def scalars(self) -> dict[str, float]:
        """Return what a log takes, by name."""
        found = {
            "cosine": self.cosine,
            "squared_error": self.squared_error,
            "distance": self.distance,
            "audio_norm": float(np.mean(self.audio_norms)),
            "text_norm": float(np.mean(self.text_norms)),
            "norm_ratio": self.norm_ratio,
        }
        for name, shares in (("audio_to_text", self.audio_to_text), ("text_to_audio", self.text_to_audio)):
            found |= {f"{name}_r{rank}": share for rank, share in zip(RANKS, shares, strict=True)}
        return found


def alignment(tokens: FloatArray, table: FloatArray, rows: NDArray[np.int64]) -> Alignment:
    """Measure tokens [n, N, D] of clips against the table [K, N, D] of distinct captions; clip i has caption rows[i].

    Raises ValueError when there is no clip, or a caption that no clip has.
    """
    if not len(tokens) or set(rows.tolist()) != set(range(len(table))):
        raise ValueError(f"{len(tokens)} clips name {len(set(rows.tolist()))} of {len(table)} captions; expected all")
    likeness = similarities(tokens, table)
    own = np.asarray([_compared(one, table[row]) for one, row in zip(tokens, rows, strict=True)])
    text_norms = np.linalg.norm(table, axis=-1)[rows].mean(axis=0)
    return Alignment(
        clips=len(tokens),
        captions=len(table),
        cosine=float(own[:, 0].mean()),
        squared_error=float(own[:, 1].mean()),
        distance=float(own[:, 2].mean()),
        audio_to_text=shares(text_ranks(likeness, rows)),
        text_to_audio=shares(audio_ranks(likeness, rows)),
        audio_norms=tuple(np.linalg.norm(tokens, axis=-1).mean(axis=0).tolist()),
        text_norms=tuple(text_norms.tolist()),
    )


def _compared(tokens: FloatArray, text: FloatArray) -> tuple[float, float, float]:
    """Return mean cosine, mean squared error and mean distance of tokens and text [N, D]."""
    difference = tokens - text
    cosines = (unit(tokens) * unit(text)).sum(axis=-1)
    return float(cosines.mean()), float(np.square(difference).mean()), float(np.linalg.norm(difference, axis=-1).mean())


def unit(tokens: FloatArray) -> FloatArray:
    """Return tokens with norm 1; a token without any stays 0."""
    scaled: FloatArray = tokens / np.maximum(np.linalg.norm(tokens, axis=-1, keepdims=True), MIN_NORM)
    return scaled


def similarities(tokens: FloatArray, table: FloatArray) -> FloatArray:
    """Return the mean cosine over positions, [n, K], of tokens [n, N, D] and captions [K, N, D]."""
    places = tokens.shape[1]
    flat = unit(table).reshape(len(table), -1).T
    parts = [tokens[start : start + ROUND] for start in range(0, len(tokens), ROUND)]
    found = np.concatenate([unit(part).reshape(len(part), -1) @ flat / places for part in parts])
    return np.where(np.isnan(found), np.float32(-np.inf), found)  # NaN is not above anything, and would rank first


def text_ranks(likeness: FloatArray, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each clip's rank of its own caption among all captions, 1 the best, of similarities [n, K]."""
    own = np.take_along_axis(likeness, rows[:, None], axis=1)
    return np.asarray((likeness >= own).sum(axis=1), np.int64)


def audio_ranks(likeness: FloatArray, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each caption's rank of the best of its own clips among the clips of others, 1 the best."""
    mine = rows[:, None] == np.arange(likeness.shape[1])[None, :]
    best = np.where(mine, likeness, -np.inf).max(axis=0)
    return np.asarray(1 + (~mine & (likeness >= best)).sum(axis=0), np.int64)


def shares(ranks: NDArray[np.int64]) -> tuple[float, ...]:
    """Return the share of ranks within each of RANKS."""
    return tuple(float((ranks <= rank).mean()) for rank in RANKS)


def rows_of(keys: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int64]]:
    """Return the distinct keys, sorted, and for each clip the place of its key among them."""
    distinct, rows = np.unique(keys, return_inverse=True)
    return distinct.tolist(), rows.astype(np.int64)
