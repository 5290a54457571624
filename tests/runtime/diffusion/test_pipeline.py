"""Requests of pictures, and the latents of the last one that come back."""

from dataclasses import replace

import numpy as np

from clavilux.runtime.diffusion.pipeline import PictureRequest
from tests.runtime.diffusion.test_device_pipeline import SHAPE, WIDE, asked


def test_what_is_asked_for_has_plain_defaults() -> None:
    plain = PictureRequest(asked().prompt, asked().noise, SHAPE)
    assert (plain.steps, plain.feedback, plain.scale) == (1, 0.0, None)


def test_the_last_latents_come_back_as_far_as_was_asked() -> None:
    last = np.ones(SHAPE, np.float32)
    feedback = replace(asked(), feedback=0.3).feedback_of(last)
    assert feedback
    assert (feedback.latents is last, feedback.amount) == (True, 0.3)


def test_before_the_first_picture_nothing_comes_back() -> None:
    assert replace(asked(), feedback=0.3).feedback_of(None) is None


def test_latents_of_another_size_do_not_come_back() -> None:
    assert replace(asked(), feedback=0.3).feedback_of(np.ones(WIDE, np.float32)) is None
