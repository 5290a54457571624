"""Features equal the reference's extractor, and windows are what a fresh ring buffer holds."""

import numpy as np
import pytest
import torch
from transformers import SeamlessM4TFeatureExtractor

from clavilux.training import features
from clavilux.training.features import MEL_BINS, PADDED_FRAMES, SILENCE, WINDOW_FRAMES, WINDOW_SAMPLES, log_mel


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("samples", [WINDOW_SAMPLES, 20_000])
def test_stacked_features_equal_the_extractor(samples):
    sound = noise(samples)
    extractor = SeamlessM4TFeatureExtractor()
    options = {"padding": "max_length", "max_length": PADDED_FRAMES, "truncation": True, "return_tensors": "pt"}
    expected = extractor(sound, sampling_rate=16_000, **options)["input_features"]
    found = features.stacked(torch.from_numpy(log_mel(sound))[None])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_a_window_has_the_shape_that_the_encoder_expects():
    assert log_mel(noise(WINDOW_SAMPLES)).shape == (WINDOW_FRAMES, MEL_BINS)


def test_too_little_sound_gives_no_frames():
    assert log_mel(noise(100)).shape == (0, MEL_BINS)


def test_digital_silence_has_its_own_constant_value():
    np.testing.assert_allclose(log_mel(np.zeros(1000, np.float32)), SILENCE, rtol=1e-5)


def test_normalised_bins_have_mean_zero_and_variance_one():
    frames = features.normalised(torch.randn(3, 50, MEL_BINS) * 4 + 7)
    torch.testing.assert_close(frames.mean(dim=1), torch.zeros(3, MEL_BINS), atol=1e-5, rtol=0)
    torch.testing.assert_close(frames.var(dim=1), torch.ones(3, MEL_BINS), atol=1e-4, rtol=0)


def test_normalised_silence_is_zero():
    assert not features.normalised(torch.full((1, 20, MEL_BINS), SILENCE)).any()


def test_gain_does_not_change_normalised_features():
    loud, soft = (torch.from_numpy(log_mel(gain * noise(8000)))[None] for gain in (1.0, 0.1))
    torch.testing.assert_close(features.normalised(loud), features.normalised(soft), atol=1e-3, rtol=0)


def test_stacking_pads_with_zeros_at_the_end():
    stacked = features.stacked(torch.randn(1, WINDOW_FRAMES, MEL_BINS))
    assert stacked.shape == (1, PADDED_FRAMES // 2, 2 * MEL_BINS)
    assert not stacked[0, WINDOW_FRAMES // 2 :].any()


def test_stacking_puts_two_frames_side_by_side():
    frames = torch.randn(1, 10, MEL_BINS)
    clean = features.normalised(frames)
    torch.testing.assert_close(features.stacked(frames, 10)[0, 3], torch.cat([clean[0, 6], clean[0, 7]]))


def test_a_window_begins_with_digital_silence_when_the_sound_is_short():
    window = features.windows(noise(8000), [0])[0]
    np.testing.assert_allclose(window[:100], SILENCE, rtol=1e-5)
    assert window[-40:].min() > 0


def test_a_later_window_shows_the_sound_earlier():
    at_once, later = features.windows(noise(8000), [0, 1600])
    torch.testing.assert_close(later[:-20], at_once[10:-10], atol=1e-4, rtol=0)


def test_a_window_may_end_before_the_sound_begins_or_long_after_it():
    for window in features.windows(noise(800), [-1600, 4 * WINDOW_SAMPLES]):
        np.testing.assert_allclose(window, SILENCE, rtol=1e-5)


def test_windows_of_a_long_sound_hold_its_end():
    sound = noise(3 * WINDOW_SAMPLES)
    window = features.windows(sound, [0])[0]
    torch.testing.assert_close(window, torch.from_numpy(log_mel(sound[-WINDOW_SAMPLES:])))
