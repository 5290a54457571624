"""Requests of pictures, and the latents of the last one that come back."""

from dataclasses import replace

import numpy as np

from clavilux.runtime.diffusion.motion import Motion, warp
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.pipeline import PictureRequest
from tests.runtime.diffusion.test_device_pipeline import SHAPE, WIDE, asked


def test_what_is_asked_for_has_plain_defaults() -> None:
    plain = PictureRequest(asked().prompt, asked().noise, SHAPE)
    assert (plain.steps, plain.feedback, plain.scale, plain.motion) == (1, 0.0, None, None)


def test_the_last_latents_come_back_as_far_as_was_asked() -> None:
    last = np.ones(SHAPE, np.float32)
    feedback = replace(asked(), feedback=0.3).feedback_of(last)
    assert feedback
    assert (feedback.latents is last, feedback.amount) == (True, 0.3)


def test_the_last_latents_come_back_moved() -> None:
    motion, last = Motion(zoom=1.2), draw(SHAPE, 1, 1)
    feedback = replace(asked(), feedback=0.3, motion=motion).feedback_of(last)
    assert feedback
    np.testing.assert_array_equal(feedback.latents, warp(last, motion))


def test_without_feedback_nothing_is_moved() -> None:
    still = replace(asked(), feedback=0.0, motion=Motion(zoom=1.2))
    assert still.moving is None
    last = draw(SHAPE, 1, 1)
    feedback = still.feedback_of(last)
    assert feedback
    assert feedback.latents is last


def test_before_the_first_picture_nothing_comes_back() -> None:
    assert replace(asked(), feedback=0.3).feedback_of(None) is None


def test_latents_of_another_size_do_not_come_back() -> None:
    assert replace(asked(), feedback=0.3).feedback_of(np.ones(WIDE, np.float32)) is None
