"""Prompt embeds over time: they glide from sound to sound, hold in a pause and drift to idle in silence."""

import math

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]

PARALLEL = 0.9995  # cosine from which the arc is as good as straight, and sin(angle) too small to divide by
FASTER = 3.0  # times as fast, a glide that has set out late
NEAR = 1e-3  # of a token's length: what is nearer to its target paints lumia at most one level of 255 away from it
MADE_UP = (1 - 1 / FASTER) * -math.log(NEAR)  # of a glide, in which a late one has arrived, however late it was


def slerp(start: Embeddings, end: Embeddings, share: float) -> Embeddings:
    """Go `share` (0 to 1) of the way from `start` to `end`, each float32 [tokens, width], token by token.

    Directions turn on the arc between them (Shoemake 1985, "Animating rotation with quaternion curves", section 3.3),
    norms change linearly. A token that is the same, opposite or zero in both goes straight: BOS always is the same, and
    dividing by the sine of its angle would give NaN.
    """
    lengths = [np.linalg.norm(side, axis=-1, keepdims=True) for side in (start, end)]
    tiny = np.finfo(np.float32).tiny
    units = [side / np.maximum(length, tiny) for side, length in zip((start, end), lengths, strict=True)]
    cosine = np.sum(units[0] * units[1], axis=-1, keepdims=True)
    guarded = (np.abs(cosine) > PARALLEL) | (lengths[0] <= tiny) | (lengths[1] <= tiny)
    angle = np.arccos(np.where(guarded, 0, cosine))
    arc = (np.sin((1 - share) * angle) * units[0] + np.sin(share * angle) * units[1]) / np.sin(angle)
    length = lengths[0] + (lengths[1] - lengths[0]) * np.float32(share)
    return np.where(guarded, start + (end - start) * np.float32(share), arc * length).astype(np.float32)


def is_near(embeddings: Embeddings, target: Embeddings) -> bool:
    """Whether every token, float32 [tokens, width], is within `NEAR` of that of `target`, relative to its length."""
    away, lengths = (np.linalg.norm(side, axis=-1) for side in (embeddings - target, target))
    return bool((away <= NEAR * lengths).all())


class Conditioner:
    """Prompt embeds over time: BOS in front, then tokens on their way from what was heard to what is heard."""

    def __init__(self, bos: Embeddings, idle: Embeddings) -> None:
        """`bos` is float32 [width]; `idle` float32 [tokens, width], BOS first."""
        self._bos = bos
        self._idle = idle
        self._target = idle
        self._current = idle
        self._resting = True
        self._late = 0.0  # s that the glide has not made up for yet

    def set_target(self, tokens: Embeddings, *, late: float | None = None) -> None:
        """Glide towards `tokens`, float32 [tokens - 1, width], from now on.

        Something new should have set out `late` seconds ago: it hurries until it is where it would be then. None: it is
        what has been on its way before.
        """
        self._target = np.concatenate([self._bos[None], tokens])
        self._resting = False
        if late is not None:
            self._late = late

    def return_to_idle(self, *, resting: bool = True) -> None:
        """Go to the idle embedding from now on: `resting` drifts, and what sounds without a name glides."""
        self._target = self._idle
        self._resting = resting
        self._late = 0.0

    def advance(self, seconds: float, glide: float, drift: float) -> Embeddings:
        """Move on by `seconds`; return prompt embeds, float32 [1, tokens, width].

        `glide` and `drift` are time constants in seconds: after one of them 63 % of the way is done, at any frame rate;
        0 jumps. Where a glide set out late, that time is made up for. Such a way has no end, so the last of it, which
        nobody would see, is one step: then the embeddings stand still, and pictures need not be painted.
        """
        constant = max(0.0, drift if self._resting else glide)
        late = min(self._late, MADE_UP * constant)
        made_up = min(late, (FASTER - 1) * seconds)
        self._late = late - made_up
        seconds += made_up
        share = 1.0 if constant <= 0 else 1 - math.exp(-seconds / constant)
        reached = slerp(self._current, self._target, share)
        there = is_near(reached, self._target) or not np.isfinite(reached).all()  # lengths beyond float32
        self._current = self._target if there else reached
        return self._current[None]
