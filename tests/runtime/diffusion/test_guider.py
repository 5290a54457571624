"""The guider: whose strength it takes, and what a pass without guidance looks like."""

import numpy as np
import pytest

from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.diffusion.guider import Guider, guider_for, unguided
from clavilux.runtime.diffusion.schedule import Guidance

NEGATIVE = np.ones((3, 5), np.float32)


def test_a_bundle_without_guidance_has_no_guider() -> None:
    assert guider_for(GuidanceSpec("none", 1.0, 1.0), NEGATIVE) is None


@pytest.mark.parametrize("kind", ["classic", "once", "self"])
def test_a_bundle_with_guidance_has_one_of_its_kind(kind: str) -> None:
    guider = guider_for(GuidanceSpec(kind, 2.0, 0.5), NEGATIVE)
    assert guider is not None
    assert (guider.spec.kind, guider.negative.shape) == (kind, (1, 3, 5))


@pytest.mark.parametrize(("scale", "expected"), [(None, 2.0), (0.0, 0.0), (3.5, 3.5)])
def test_the_strength_is_the_one_asked_for_or_the_bundle_s_own(scale: float | None, expected: float) -> None:
    assert Guider(GuidanceSpec("classic", 2.0, 0.5), NEGATIVE).guidance(scale) == Guidance(expected, 0.5)


def test_an_unguided_pass_keeps_the_step_and_takes_its_x0_as_it_is() -> None:
    row = np.arange(1, 10, dtype=np.float32)
    np.testing.assert_array_equal(unguided(row), [1, 2, 3, 4, 5, 6, 1, 0, 0])
