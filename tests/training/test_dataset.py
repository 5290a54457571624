"""Training windows: the same for the same seed, of the right shape, and augmented within their limits."""

import numpy as np
import pytest
import torch

from training.clips import ClipBank
from training.dataset import Augmentation, Group, Windows, _formants, frames_of
from training.features import MEL_BINS, SILENCE, WINDOW_FRAMES

NAMES = ("low", "high")
STILL = Augmentation(
    speed=1.0,
    formants=1.0,
    least_visible=1.0,
    gain=(0.0, 0.0),
    clean=1.0,
    late=0.0,
    reverb=0.0,
    mask=0.0,
    idle=0.0,
)


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16_000)) / 16_000)).astype(np.float32)


def bank(labels: tuple[str, ...] = ("low", "high")) -> ClipBank:
    pitches = {"low": 200.0, "high": 3000.0, "": 900.0}
    return ClipBank([tone(pitches[label]) for label in labels], list(labels), [f"test/{label}" for label in labels])


def windows(options: Augmentation | None = None, clips: ClipBank | None = None, **settings: int) -> Windows:
    return Windows([Group(clips or bank(), 1.0)], NAMES, settings.pop("seed", 0), options=options, **settings)


def test_a_batch_has_windows_and_labels():
    frames, labels = windows().batch(5, 6)
    assert frames.shape == (6, WINDOW_FRAMES, MEL_BINS)
    assert labels.shape == (6,)


def test_the_same_seed_and_step_give_the_same_batch():
    first, second = windows().batch(7, 4), windows().batch(7, 4)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_batch_does_not_depend_on_the_batches_before():
    data = windows()
    data.batch(0, 4)
    assert torch.equal(data.batch(7, 4)[0], windows().batch(7, 4)[0])


def test_another_step_or_seed_gives_another_batch():
    frames = windows().batch(7, 4)[0]
    assert not torch.equal(windows().batch(8, 4)[0], frames)
    assert not torch.equal(windows(seed=1).batch(7, 4)[0], frames)


def test_windows_are_finite_and_never_below_digital_silence():
    data = windows()
    for step in range(5):
        frames, _ = data.batch(step, 16)
        assert torch.isfinite(frames).all()
        assert frames.min() >= SILENCE


def test_labels_name_what_sounds():
    frames, labels = windows(STILL).batch(1, 16)
    brightest = frames.amax(dim=1).argmax(dim=1)
    assert torch.equal(brightest > MEL_BINS // 2, labels == NAMES.index("high"))


def test_clips_without_a_label_mean_idle():
    _, labels = windows(STILL, bank(("low", ""))).batch(1, 32)
    assert set(labels.tolist()) == {0, len(NAMES)}


def test_labels_are_drawn_evenly_whatever_the_number_of_their_clips():
    _, labels = windows(STILL, bank(("low",) * 9 + ("high",))).batch(1, 400)
    assert (labels == 1).float().mean() == pytest.approx(0.5, abs=0.1)


def test_groups_are_drawn_in_their_proportion():
    groups = [Group(bank(("low",)), 3.0), Group(bank(("high",)), 1.0)]
    _, labels = Windows(groups, NAMES, 0, options=STILL).batch(1, 400)
    assert (labels == 0).float().mean() == pytest.approx(0.75, abs=0.1)


def test_a_still_window_holds_the_clip_as_it_is():
    clip = torch.from_numpy(frames_of(tone(200.0)))
    frames, _ = windows(STILL, bank(("low",))).batch(3, 1)
    assert frames.max() == pytest.approx(float(clip.max()), abs=0.1)
    assert (frames[0].amax(dim=1) > 0).sum() == pytest.approx(len(clip), abs=2)


def test_idle_windows_hold_no_sound_but_noise():
    options = Augmentation(idle=1.0, clean=1.0, mask=0.0, gain=(0.0, 0.0))
    frames, labels = windows(options).batch(1, 8)
    assert set(labels.tolist()) == {len(NAMES)}
    torch.testing.assert_close(frames, torch.full_like(frames, SILENCE), atol=1.0, rtol=0)


def test_noise_fills_a_window_that_is_not_clean():
    options = Augmentation(clean=0.0, late=0.0, mask=0.0, signal_to_noise=(10.0, 10.0))
    frames, _ = windows(options).batch(1, 8)
    assert (frames.amax(dim=2) > SILENCE).all()


def test_late_noise_leaves_silence_before_it():
    options = Augmentation(clean=0.0, late=1.0, mask=0.0, idle=1.0)
    frames, _ = windows(options).batch(1, 16)
    assert (frames[:, 0].amax(dim=1) < SILENCE + 2).float().mean() > 0.8


def test_less_noise_is_mixed_in_when_the_ratio_is_higher():
    quiet, loud = (
        windows(Augmentation(clean=0.0, late=0.0, mask=0.0, reverb=0.0, signal_to_noise=(ratio, ratio))).batch(1, 8)[0]
        for ratio in (50.0, 0.0)
    )
    assert quiet.mean() < loud.mean()


def test_a_room_adds_a_tail_and_nothing_before():
    dry, wet = (
        windows(Augmentation(**{**vars(STILL), "reverb": share}), bank(("low",))).batch(3, 8)[0] for share in (0.0, 1.0)
    )
    assert (wet >= dry - 1e-4).all()
    assert (wet - dry).amax() > 1


def test_the_beginning_is_milder_and_shorter_than_the_end():
    data = windows(ramp=100)
    short, _ = data.batch(0, 4)
    whole, _ = data.batch(100, 4)
    assert short.shape[1] < whole.shape[1] == WINDOW_FRAMES


def test_full_difficulty_is_the_augmentation_itself():
    assert Augmentation().eased(1.0) == Augmentation()


def test_an_easy_window_is_never_clean_late_masked_or_in_a_room():
    easy = Augmentation().eased(0.0)
    assert (easy.clean, easy.late, easy.mask, easy.reverb, easy.least_visible) == (0, 0, 0, 0, 1)


def test_formants_scaled_by_one_stay():
    frames = torch.randn(3, 5, MEL_BINS)
    torch.testing.assert_close(_formants(frames, torch.ones(3)), frames, atol=1e-3, rtol=1e-3)


def test_formants_scaled_up_move_to_higher_bins():
    frames = torch.zeros(1, 1, MEL_BINS)
    frames[0, 0, 40] = 1.0
    assert int(_formants(frames, torch.tensor([1.15])).argmax()) > 40
