"""sRGB there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.output.colour import decode, encode, to_linear, to_srgb

EVERY_BYTE = np.arange(256, dtype=np.uint8)


def test_every_byte_comes_back_as_itself():
    assert np.array_equal(to_srgb(to_linear(EVERY_BYTE)), EVERY_BYTE)


@pytest.mark.parametrize(("encoded", "linear"), [(0.0, 0.0), (0.04045, 0.0031308), (0.5, 0.214041), (1.0, 1.0)])
def test_known_values_are_those_of_the_standard(encoded: float, linear: float):
    assert decode(np.array(encoded)) == pytest.approx(linear, abs=1e-6)
    assert encode(np.array(linear)) == pytest.approx(encoded, abs=1e-5)


def test_bytes_and_encoded_floats_are_the_same_light():
    assert np.allclose(to_linear(EVERY_BYTE), to_linear(EVERY_BYTE / 255), atol=1e-7)
    assert to_linear(EVERY_BYTE).dtype == to_linear(EVERY_BYTE / 255).dtype == np.float32


@given(st.floats(0, 1, width=32))
def test_bytes_are_off_by_little_more_than_rounding(value: float):
    exact = float(encode(np.array(value))) * 255
    assert abs(int(to_srgb(np.array([value], np.float32))[0]) - exact) <= 0.53


def test_light_beyond_the_screen_is_clipped():
    assert to_srgb(np.array([-1.0, 2.0, 1e6], np.float32)).tolist() == [0, 255, 255]


def test_the_picture_that_was_given_stays_as_it_was():
    given_light = np.full((2, 3, 3), 0.5, np.float32)
    to_srgb(given_light)
    assert np.all(given_light == 0.5)
