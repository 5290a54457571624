"""Noise in the colour of a light: what stays of it, at which scale its forms lie, and how far it mirrors itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.noise_spectrum import COARSEST, OCTAVES, SIDEWAYS, coloured, middle

UNIT = st.floats(-1, 1, width=32)


def light(fineness: float = 0.0, turbulence: float = -1.0, symmetry: float = -1.0) -> np.ndarray:
    numbers = np.zeros(len(LIGHT_NUMBERS), np.float32)
    numbers[LIGHT_NUMBERS.index("fineness")] = fineness
    numbers[LIGHT_NUMBERS.index("turbulence")] = turbulence
    numbers[LIGHT_NUMBERS.index("symmetry")] = symmetry
    return numbers


def likeness(noise: np.ndarray, channel: int) -> float:
    """Return the correlation of a channel [N, C, h, w] with its mirror image, left to right."""
    own = noise[:, channel] - noise[:, channel].mean((-2, -1), keepdims=True)
    return float((own * own[..., ::-1]).sum() / np.square(own).sum())


def power(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return waves to the height and the mean power of each, without the mean."""
    height, width = noise.shape[-2:]
    waves = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * height)
    found = np.square(np.abs(np.fft.fft2(noise))).reshape(-1, height, width).mean(0)
    return waves[waves > 0], found[waves > 0]


def octaves(noise: np.ndarray) -> float:
    """Return the mean of the power over octaves above one wave to the height."""
    waves, found = power(noise)
    return float(np.average(np.log2(waves), weights=found))


def outside(noise: np.ndarray, fineness: float) -> float:
    """Return the share of the power that is an octave and more from the middle of the band."""
    waves, found = power(noise)
    far = np.abs(np.log2(waves / middle(fineness))) > 1
    return float(found[far].sum() / found.sum())


@given(UNIT, UNIT, UNIT, st.sampled_from([(16, 16), (16, 28), (7, 9), (32, 17), (1, 1), (2, 3)]))
def test_every_value_keeps_its_spread_and_every_channel_its_mean(fineness, turbulence, symmetry, size):
    white = draw((1, 64, *size), 3, 0)
    found = coloured(white, light(fineness, turbulence, symmetry))
    assert (found.shape, found.dtype) == (white.shape, np.float32)
    assert np.allclose(found.mean((2, 3)), white.mean((2, 3)), atol=1e-5)
    spread = np.square(found).mean((0, 1))
    assert abs(spread.mean() - 1) < 6 / np.sqrt(64 * min(size[0] * size[1], 12))


@pytest.mark.parametrize("size", [(16, 16), (16, 28), (32, 32), (24, 15)])
def test_the_same_light_lies_at_the_same_scale_in_every_size(size):
    found = [octaves(coloured(draw((1, 96, *size), 1, 0), light(one))) for one in (-0.6, 0.0, 0.6)]
    expected = [np.log2(middle((one + 1) / 2)) for one in (-0.6, 0.0, 0.6)]
    assert np.allclose(found, expected, atol=0.45)  # there are more fine waves than coarse ones in the same band
    assert found == sorted(found)


def test_the_band_goes_from_the_coarsest_to_so_many_octaves_above():
    assert (middle(0.0), middle(1.0)) == (COARSEST, COARSEST * 2**OCTAVES)
    assert np.allclose(middle(np.array([0.0, 0.5])), [COARSEST, COARSEST * 2 ** (OCTAVES / 2)])


@pytest.mark.parametrize("fineness", [0.2, 0.8])
def test_turbulent_light_has_all_scales_at_once(fineness):
    white = draw((1, 96, 16, 16), 1, 0)
    shares = [outside(coloured(white, light(2 * fineness - 1, one)), fineness) for one in (-1.0, 0.0, 1.0)]
    assert 2 * shares[0] < shares[1] < shares[2] - 0.05


def test_the_more_symmetric_the_light_the_more_its_noise_is_its_own_mirror_image():
    white = draw((8, 12, 16, 16), 1, 0)
    for channel in range(12):
        sign = -1 if channel in SIDEWAYS else 1
        found = [sign * likeness(coloured(white, light(0.3, 0.0, one)), channel) for one in (-1.0, -0.6, 0.0, 1.0)]
        assert abs(found[0]) < 0.25
        assert found == sorted(found)
        assert found[-1] > 0.999


def test_only_fineness_turbulence_and_symmetry_change_noise():
    white, other = draw((1, 4, 16, 16), 1, 0), light()
    for name in set(LIGHT_NUMBERS) - {"fineness", "turbulence", "symmetry"}:
        other[LIGHT_NUMBERS.index(name)] = 0.7
    assert np.array_equal(coloured(white, other), coloured(white, light()))


def test_lights_that_differ_little_give_noise_that_differs_little():
    white = draw((1, 12, 16, 16), 1, 0)
    near = coloured(white, light(0.1, 0.2)) - coloured(white, light(0.1 + 2 / 256, 0.2 + 2 / 256, -1 + 2 / 256))
    assert 0 < np.abs(near).max() < 0.1
