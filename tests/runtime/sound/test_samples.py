"""The door: what is sound becomes float32 [n, channels], what is not is named."""

import numpy as np
import pytest

from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.samples import MAX_CHANNELS, as_sound
from tests.runtime.sound.sounds import noise


@pytest.mark.parametrize(("kind", "full"), [(np.int16, 2**15), (np.int32, 2**31)])
def test_integer_samples_are_scaled_to_one(kind: type, full: int) -> None:
    np.testing.assert_array_equal(as_sound(np.array([-full, full // 2], kind), 16_000), [[-1.0], [0.5]])


def test_a_list_is_sound_too() -> None:
    np.testing.assert_allclose(as_sound([0.5, -0.5], 16_000), [[0.5], [-0.5]])


def test_sound_is_copied() -> None:
    samples = noise(160)
    sound = as_sound(samples, 16_000)
    samples[:] = 0
    assert sound.any()


@pytest.mark.parametrize(
    ("samples", "rate", "complaint"),
    [
        (np.zeros(10, np.float32), 7_999, "the sample rate is 7999 Hz; expected a whole number, 8000 to 192000"),
        (np.zeros(10, np.float32), 192_001, "the sample rate is 192001 Hz"),
        (np.zeros(10, np.float32), 16_000.0, "the sample rate is 16000.0 Hz; expected a whole number"),
        (np.zeros(10, np.float32), "16000", "expected a whole number"),
        ([[0.0], [0.0, 0.0]], 16_000, "channels have different lengths"),
        (np.zeros((10, 0), np.float32), 16_000, r"the sound has shape \(10, 0\)"),
        (np.zeros((10, MAX_CHANNELS + 1), np.float32), 16_000, "expected .* 1 to 32 channels"),
        (np.zeros((1, 10, 1), np.float32), 16_000, "the sound has shape"),
        (np.zeros(10, np.uint8), 16_000, "the sound has type uint8"),
        (np.full(10, np.nan), 16_000, "not finite"),
        (np.full(10, 1e15), 16_000, "the sound reaches 1e.15; expected -1 to 1, and at most 64"),
    ],
)
def test_unusable_sound_is_named(samples: np.ndarray, rate: int, complaint: str) -> None:
    with pytest.raises(SoundError, match=complaint):
        as_sound(samples, rate)
