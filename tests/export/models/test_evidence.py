"""Evidence of an exported bundle: measured on sounds without a name, for encoders of any temper."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clavilux.export.models.evidence import LEAST, measured_evidence

WINDOW = 8000
CONCEPTS = np.eye(4, 64, dtype=np.float32)[:, None]  # [4, 1, 64]


def test_half_of_the_sounds_without_a_name_are_less_near_and_nearly_all_less_than_for_held_ones() -> None:
    dice = np.random.default_rng(0)

    def encode(_sound: NDArray[np.float32]) -> NDArray[np.float32]:
        return dice.standard_normal((1, 64)).astype(np.float32)

    short, held = measured_evidence(CONCEPTS, encode, WINDOW)
    assert LEAST <= short < held < 0.5


def test_an_encoder_to_which_all_sounds_are_alike_asks_for_more() -> None:
    def encode(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        return (CONCEPTS[0] + 0.1 * np.resize(sound, 64)).astype(np.float32)

    short, held = measured_evidence(CONCEPTS, encode, WINDOW)
    assert 0.9 < short <= held <= 1.0


def test_the_same_encoder_gives_the_same_evidence() -> None:
    def encode(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.resize(sound, (1, 64)).astype(np.float32)

    first = measured_evidence(CONCEPTS, encode, WINDOW)
    assert measured_evidence(CONCEPTS, encode, WINDOW) == pytest.approx(first)
