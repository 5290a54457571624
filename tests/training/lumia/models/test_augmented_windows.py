"""Training windows: the same for the same seed and step, of the right shape, and augmented within their limits."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from clavilux.training.features import MEL_BINS, SILENCE, WINDOW_FRAMES
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.models import augmented_windows
from clavilux.training.lumia.models.augmented_windows import (
    Augmentation,
    Batch,
    Group,
    Windows,
    _formants,
    _masked,
    frame_set,
    frames_of,
)

NAMES = ("low", "high")
PITCHES = {"low": 200.0, "high": 3000.0, "": 900.0}  # Hz
STILL = Augmentation(
    speed=1.0,
    formants=1.0,
    min_visible=1.0,
    gain=(0.0, 0.0),
    clean=1.0,
    late=0.0,
    reverb=0.0,
    mask=0.0,
    idle=0.0,
    earlier=0.0,
)


@pytest.fixture(autouse=True)
def _short_noises(monkeypatch):
    """Make a fifth of the noise: it is most of the work."""
    monkeypatch.setattr(augmented_windows, "NOISE_SECONDS", 4)


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16_000)) / 16_000)).astype(np.float32)


def clips(labels: tuple[str, ...] = NAMES, seconds: float = 0.5) -> list[LabelledClip]:
    return [LabelledClip(tone(PITCHES[label], seconds), label, Origin(f"test/{label}", "", "")) for label in labels]


def windows(
    options: Augmentation | None = None,
    labels: tuple[str, ...] = NAMES,
    *,
    phonemes: Sequence[Sequence[int]] = (),
    seconds: float = 0.5,
    **settings: int,
) -> Windows:
    group = Group(clips(labels, seconds), 1.0)
    seed = settings.pop("seed", 0)
    return Windows(frame_set([group], NAMES, seed, phonemes), seed, options=options, **settings)


def is_high(frames: torch.Tensor) -> torch.Tensor:
    """Tell for each window whether it is loudest above the middle bin."""
    return frames.amax(dim=1).argmax(dim=1) > MEL_BINS // 2


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(value, vars(other)[name]) for name, value in vars(one).items())


def test_a_batch_has_windows_labels_and_phonemes():
    batch = windows(phonemes=[[1, 2, 3], [4]]).batch(5, 6)
    assert batch.frames.shape == (6, WINDOW_FRAMES, MEL_BINS)
    assert batch.phonemes.shape == (6, 3)
    assert batch.labels.shape == batch.lengths.shape == batch.whole.shape == (6,)
    assert batch.whole.dtype == torch.bool


def test_the_same_seed_and_step_give_the_same_batch():
    assert same(windows().batch(7, 4), windows().batch(7, 4))


def test_a_batch_does_not_depend_on_the_batches_before():
    data = windows(ramp=10)
    data.batch(0, 4)
    assert same(data.batch(7, 4), windows(ramp=10).batch(7, 4))


def test_another_step_or_seed_gives_another_batch():
    batch = windows().batch(7, 4)
    assert not same(windows().batch(8, 4), batch)
    assert not same(windows(seed=1).batch(7, 4), batch)


def test_windows_are_finite_and_never_below_digital_silence():
    data = windows()
    for step in range(5):
        frames = data.batch(step, 16).frames
        assert torch.isfinite(frames).all()
        assert frames.min() >= SILENCE


def test_labels_name_what_sounds():
    batch = windows(STILL).batch(1, 16)
    assert torch.equal(is_high(batch.frames), batch.labels == NAMES.index("high"))


def test_clips_without_a_label_mean_idle():
    assert set(windows(STILL, ("low", "")).batch(1, 400).labels.tolist()) == {0, len(NAMES)}


def test_clips_that_mean_nothing_count_for_several_labels():
    labels = windows(STILL, ("low",) * 5 + ("high", "")).batch(1, 1000).labels
    share = augmented_windows.IDLE_LABELS / (augmented_windows.IDLE_LABELS + 2)
    assert (labels == len(NAMES)).float().mean() == pytest.approx(share, abs=0.05)


def test_of_a_clips_end_a_window_lacks_little_however_long_the_clip():
    batch = windows(replace(STILL, min_visible=0.5), ("low",), seconds=1.5).batch(1, 64)
    clip = len(frames_of(tone(200.0, 1.5)))
    loud = batch.frames.amax(dim=2) > 0
    cut_at_the_end = loud[:, -1] & ~loud[:, 0]
    lacking = clip - loud.sum(dim=1)
    assert cut_at_the_end.any()
    assert lacking[cut_at_the_end].max() <= augmented_windows.HIDDEN_END + 2


def test_labels_are_drawn_evenly_whatever_the_number_of_their_clips():
    labels = windows(STILL, ("low",) * 9 + ("high",)).batch(1, 400).labels
    assert (labels == 1).float().mean() == pytest.approx(0.5, abs=0.1)


def test_groups_are_drawn_in_their_proportion_whatever_their_sizes():
    groups = [Group(clips(("",)), 3.0), Group(clips(("low", *["high"] * 5)), 1.0)]
    labels = Windows(frame_set(groups, NAMES, 0), 0, options=STILL).batch(1, 400).labels
    shares = torch.bincount(labels, minlength=3) / 400
    assert shares.tolist() == pytest.approx([0.125, 0.125, 0.75], abs=0.06)


def test_a_still_window_holds_the_clip_as_it_is():
    clip = torch.from_numpy(frames_of(tone(200.0)))
    frames = windows(STILL, ("low",)).batch(3, 1).frames
    assert frames.max() == pytest.approx(float(clip.max()), abs=0.1)
    assert (frames[0].amax(dim=1) > 0).sum() == pytest.approx(len(clip), abs=2)


def test_idle_windows_hold_no_sound_but_noise():
    batch = windows(replace(STILL, idle=1.0)).batch(1, 8)
    assert set(batch.labels.tolist()) == {len(NAMES)}
    torch.testing.assert_close(batch.frames, torch.full_like(batch.frames, SILENCE), atol=1.0, rtol=0)


def test_idle_windows_say_no_phonemes_and_are_whole():
    batch = windows(replace(STILL, idle=1.0, earlier=1.0), phonemes=[[1, 2], [3, 4]], seconds=3.0).batch(1, 8)
    assert not batch.lengths.any()
    assert batch.whole.all()


def test_phonemes_are_those_of_the_clip_that_counts():
    batch = windows(STILL, phonemes=[[1, 2, 3], [4]]).batch(1, 16)
    for label, row, length in zip(batch.labels.tolist(), batch.phonemes.tolist(), batch.lengths.tolist(), strict=True):
        assert (row, length) == (([1, 2, 3], 3), ([4, 0, 0], 1))[label]


def test_phonemes_follow_the_clips_through_all_groups():
    groups = [Group(clips(("low",)), 1.0), Group(clips(("high",)), 1.0)]
    batch = Windows(frame_set(groups, NAMES, 0, [[7], [8]]), 0, options=STILL).batch(1, 16)
    assert torch.equal(batch.phonemes[:, 0], batch.labels + 7)
    assert set(batch.labels.tolist()) == {0, 1}


def test_a_window_that_holds_all_of_its_clip_and_nothing_else_is_whole():
    assert windows(STILL).batch(1, 16).whole.all()


def test_a_window_with_an_earlier_clip_is_not_whole():
    assert not windows(replace(STILL, earlier=1.0)).batch(1, 16).whole.any()


def test_a_window_that_cuts_its_clip_is_not_whole():
    assert not windows(STILL, seconds=2.5).batch(1, 16).whole.any()


def test_a_clip_may_be_cut_as_far_as_allowed_and_is_then_not_whole():
    batch = windows(replace(STILL, min_visible=0.5), ("low",)).batch(1, 64)
    clip = len(frames_of(tone(200.0)))
    seen = (batch.frames.amax(dim=2) > 0).sum(dim=1)
    assert seen.min() >= 0.5 * clip - 2
    assert torch.equal(seen >= clip - 2, batch.whole)
    assert set(batch.whole.tolist()) == {True, False}


def test_an_earlier_clip_sounds_before_the_one_that_counts_and_leaves_its_label():
    alone = windows(STILL).batch(1, 32)
    joined = windows(replace(STILL, earlier=1.0)).batch(1, 32)
    loud = [batch.frames.amax(dim=2) > 0 for batch in (alone, joined)]
    begin = loud[0].float().argmax(dim=1)
    after = torch.arange(WINDOW_FRAMES) >= begin[:, None]
    assert torch.equal(joined.labels, alone.labels)
    assert torch.equal(loud[0] & after, loud[1] & after)
    assert (loud[1] & ~after).any(dim=1).float().mean() > 0.5


def test_an_earlier_clip_leaves_a_gap():
    frames = windows(replace(STILL, earlier=1.0), ("low",), seconds=0.3).batch(1, 16).frames
    loud = frames.amax(dim=2) > 0
    starts = (loud[:, 1:] & ~loud[:, :-1]).sum(dim=1) + loud[:, 0]
    assert (starts <= 2).all()
    assert (starts == 2).any()


def test_noise_fills_a_window_that_is_not_clean():
    options = Augmentation(clean=0.0, late=0.0, mask=0.0, signal_to_noise=(10.0, 10.0))
    assert (windows(options).batch(1, 8).frames.amax(dim=2) > SILENCE).all()


def test_late_noise_leaves_silence_before_it():
    frames = windows(Augmentation(clean=0.0, late=1.0, mask=0.0, idle=1.0)).batch(1, 16).frames
    assert (frames[:, 0].amax(dim=1) < SILENCE + 2).float().mean() > 0.8


def test_less_noise_is_mixed_in_when_the_ratio_is_higher():
    quiet, loud = (
        windows(replace(STILL, clean=0.0, signal_to_noise=(ratio, ratio))).batch(1, 8).frames for ratio in (50.0, 0.0)
    )
    assert quiet.mean() < loud.mean()


def test_gain_moves_the_whole_window():
    plain, louder = (windows(replace(STILL, gain=(gain, gain))).batch(1, 4).frames for gain in (0.0, 10.0))
    assert float(louder.max() - plain.max()) == pytest.approx(np.log(10), abs=1e-3)


def test_a_quicker_clip_is_shorter():
    data = windows(replace(STILL, speed=1.5), ("low",))
    heard = (data.batch(1, 64).frames.amax(dim=2) > 0).sum(dim=1)
    clip = len(frames_of(tone(200.0)))
    assert heard.min() >= clip / 1.5 - 3
    assert heard.max() <= clip * 1.5 + 3
    assert heard.max() - heard.min() > 0.4 * clip


def test_what_is_not_speech_strays_farther_than_speech():
    options = replace(STILL, speed=1.2, wild=3.0)
    spoken, wild = (windows(options, ("low",), phonemes=[row]).batch(1, 64).frames for row in ([1], []))
    spoken, wild = ((one.amax(dim=2) > 0).sum(dim=1).float() for one in (spoken, wild))
    clip = len(frames_of(tone(200.0)))
    assert spoken.max() <= clip * 1.2 + 3
    assert clip * 1.2 + 3 < wild.max() <= clip * 1.2**3 + 3


def test_a_colour_is_a_smooth_curve_over_the_frequencies_and_leaves_silence_alone():
    plain, coloured = (windows(replace(STILL, colour=dB), ("low",)).batch(1, 8).frames for dB in (0.0, 6.0))
    silent = plain == SILENCE
    assert torch.equal(coloured[silent], plain[silent])
    loudest = plain.amax(dim=2).argmax(dim=1)
    curves = (coloured - plain)[torch.arange(8), loudest]
    assert curves.std() > 0.5
    assert curves.diff(dim=1).diff(dim=1).abs().gt(1e-3).sum(dim=1).max() <= 3 * augmented_windows.COLOUR_KNOTS
    again = (coloured - plain)[torch.arange(8), loudest + 3]
    torch.testing.assert_close(again, curves, atol=1e-4, rtol=0)


def test_a_room_adds_a_tail_and_nothing_before():
    dry, wet = (windows(replace(STILL, reverb=share), ("low",)).batch(3, 8).frames for share in (0.0, 1.0))
    assert (wet >= dry - 1e-4).all()
    assert (wet - dry).amax() > 1
    torch.testing.assert_close(wet[:, 0], dry[:, 0], atol=1e-3, rtol=0)


def test_the_beginning_is_shorter_than_the_end():
    data = windows(ramp=100)
    short, whole = (data.batch(step, 4).frames.shape[1] for step in (0, 100))
    assert short < whole == WINDOW_FRAMES


def test_full_difficulty_is_the_augmentation_itself():
    assert Augmentation().eased(1.0) == Augmentation()


def test_an_easy_window_is_never_clean_late_masked_idle_joined_or_in_a_room():
    easy = Augmentation().eased(0.0)
    assert (easy.clean, easy.late, easy.mask, easy.idle, easy.earlier, easy.reverb) == (0,) * 6
    assert easy.min_visible == 1


def test_difficulty_grows_steadily():
    eased = [Augmentation().eased(difficulty) for difficulty in (0.0, 0.5, 1.0)]
    for name in ("speed", "formants", "clean", "late", "reverb", "mask", "idle", "earlier"):
        first, second, third = (getattr(one, name) for one in eased)
        assert first < second < third
    assert eased[0].signal_to_noise[0] > eased[1].signal_to_noise[0] > eased[2].signal_to_noise[0]


def test_formants_scaled_by_one_stay():
    frames = torch.randn(3, 5, MEL_BINS, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_formants(frames, torch.ones(3)), frames, atol=1e-3, rtol=1e-3)


def test_formants_scaled_up_move_to_higher_bins():
    frames = torch.zeros(1, 1, MEL_BINS)
    frames[0, 0, 40] = 1.0
    assert int(_formants(frames, torch.tensor([1.15])).argmax()) > 40


def test_masks_set_a_band_and_a_stretch_to_the_mean_and_leave_the_rest():
    frames = torch.randn(4, 60, MEL_BINS, generator=torch.Generator().manual_seed(0))
    masked = _masked(frames, torch.Generator().manual_seed(0), 1.0)
    changed = masked != frames
    assert changed.any(dim=(1, 2)).all()
    assert changed.all(dim=2).sum(dim=1).max() <= 12
    assert changed.all(dim=1).sum(dim=1).max() <= 14
    assert changed.float().mean() < 0.4


def test_masks_without_width_change_nothing():
    frames = torch.randn(4, 60, MEL_BINS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(_masked(frames, torch.Generator().manual_seed(0), 0.0), frames)
