"""Training windows from clips, augmented in the log-mel domain: speed, formants, place, level, reverb and noise.

Power adds, so a clip's frames and a noise's frames are mixed with `logaddexp`; one core makes thousands of windows
a minute. Every batch is a function of (seed, step) alone, so a resumed training sees what an uninterrupted one would.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.features import MEL_BINS, SILENCE, WINDOW_FRAMES, log_mel
from clavilux.training.lumia.data.clips import LabelledClip

EDGE_SAMPLES = 240  # zeros round a clip, so that its first and last frames fade as they do in a window
DECIBEL = math.log(10) / 10  # natural-log power per dB
LOW_HZ, HIGH_HZ = 20.0, 8000.0
NOISE_SECONDS = 20
EASY_LENGTH = 0.55  # windows at the beginning, relative to their final length
HIDDEN_END = 12.0  # frames of a clip's end that a window may not hold yet: in a sentence it is the word that counts
IDLE_LABELS = 25  # labels that clips which mean nothing count for, beside those that mean something
EARLIER_GAP = (5.0, 60.0)  # frames between an earlier clip's end and the clip that counts
COLOUR_KNOTS = 6  # where that curve is drawn; straight lines between
NOISE_SLOPES = (0.0, 0.5, 1.0, 1.4)  # amplitude falls as 1/f^slope: white to brown
MUSIC, BEDS = "music", 3  # engine of clips that lie under others, and how many different noises are made of them


@dataclass(frozen=True)
class Augmentation:
    """How far training windows stray from their clips."""

    speed: float = 1.2  # clips play between 1/speed and speed times as fast
    formants: float = 1.12  # frequencies are scaled between 1/formants and formants
    min_visible: float = 0.8  # a labelled clip lies in the window at least so far
    gain: tuple[float, float] = (-40.0, 6.0)  # dB
    signal_to_noise: tuple[float, float] = (5.0, 50.0)  # dB, peak frame to mean noise
    clean: float = 0.2  # share of windows with digital silence round the sound
    late: float = 0.25  # share whose noise begins inside the window, as after a start
    reverb: float = 0.3  # share with a room
    mask: float = 0.7  # width of the masks, relative to their usual widest
    idle: float = 0.08  # share of windows that mean no concept
    earlier: float = 0.25  # share of windows where another clip comes before the one that counts
    wild: float = 1.0  # how much farther, in octaves, speed and formants of what is not speech stray
    colour: float = 0.0  # dB, deviation of a smooth curve over the frequencies, as of another microphone
    frames: int = WINDOW_FRAMES  # length of the windows

    def eased(self, difficulty: float) -> "Augmentation":
        """Return a milder augmentation for the beginning: `difficulty` 0 is nearly clean, 1 is this one."""
        low, high = self.signal_to_noise
        shares = {
            name: getattr(self, name) * difficulty for name in ("clean", "late", "reverb", "mask", "idle", "earlier")
        }
        return replace(
            self,
            speed=self.speed ** (0.3 + 0.7 * difficulty),
            formants=self.formants ** (0.3 + 0.7 * difficulty),
            frames=round(self.frames * (EASY_LENGTH + (1 - EASY_LENGTH) * max(0.0, 2 * difficulty - 1))),
            min_visible=1 - (1 - self.min_visible) * difficulty,
            signal_to_noise=(low + (high - low) * 0.5 * (1 - difficulty), high),
            **shares,
        )


@dataclass(frozen=True)
class Group:
    """Clips of one kind and how often they are drawn, relative to the other groups."""

    clips: Sequence[LabelledClip]
    weight: float


@dataclass(frozen=True)
class Batch:
    """Windows with what they mean; the label len(names) means idle."""

    frames: Tensor  # [B, T, 80] log-mel
    labels: Tensor  # [B] int64
    phonemes: Tensor  # [B, P] int64, zeros behind the last
    lengths: Tensor  # [B] int64, how many phonemes
    whole: Tensor  # [B] bool: all that is said in the window is among the phonemes

    def on(self, device: torch.device) -> "Batch":
        """Return the same on a device."""
        return Batch(*(getattr(self, one.name).to(device) for one in fields(self)))


@dataclass(frozen=True)
class FrameSet:
    """Clips as log-mel frames with what they mean: all that windows are drawn from."""

    frames: Tensor  # [sum of lengths, 80] float32, one clip behind the other
    lengths: Tensor  # [clips] int64, frames
    labels: Tensor  # [clips] int64
    idle: int  # label of clips that mean no concept
    groups: Tensor  # [clips] int64: which group a clip is of
    weights: tuple[float, ...]  # how often each group is drawn, relative to the others
    phonemes: Tensor  # [clips, P] int64, zeros behind the last
    spoken: Tensor  # [clips] int64: how many phonemes
    noises: Tensor  # [kinds, frames, 80] float32


def frame_set(
    groups: Sequence[Group], names: Sequence[str], seed: int, phonemes: Sequence[Sequence[int]] = ()
) -> FrameSet:
    """Return the frames of clips; `phonemes` has a row for each clip, in the groups' order. `seed` makes the noises."""
    clips = [clip for group in groups for clip in group.clips]
    frames = [frames_of(clip.sound) for clip in clips]
    places = {name: i for i, name in enumerate(names)} | {"": len(names)}
    rows = [torch.tensor(row, dtype=torch.long) for row in phonemes or [[]] * len(clips)]
    return FrameSet(
        frames=torch.from_numpy(np.concatenate(frames)),
        lengths=torch.tensor([len(one) for one in frames]),
        labels=torch.tensor([places[clip.label] for clip in clips]),
        idle=len(names),
        groups=torch.tensor([i for i, group in enumerate(groups) for _ in group.clips]),
        weights=tuple(group.weight for group in groups),
        phonemes=torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        spoken=torch.tensor([len(row) for row in rows]),
        noises=torch.from_numpy(np.stack([frames_of(noise) for noise in _noises(clips, seed)])),
    )


class Windows:
    """Draws batches of mel windows."""

    def __init__(self, source: FrameSet, seed: int, *, options: Augmentation | None = None, ramp: int = 1) -> None:
        """`ramp` is the number of steps until windows are as hard as `options` say."""
        self._hardest = self.options = options or Augmentation()
        self._ramp = ramp
        self._seed = seed
        self._idle = source.idle
        self._frames, self._lengths, self._labels = source.frames, source.lengths, source.labels
        self._starts = torch.cumsum(self._lengths, 0) - self._lengths
        self._weights = self._clip_weights(source.groups, source.weights)
        self._noises, self._phonemes, self._spoken = source.noises, source.phonemes, source.spoken

    def batch(self, step: int, size: int) -> Batch:
        """Return the windows of training step `step`."""
        dice = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        self.options = self._hardest.eased(min(1.0, step / self._ramp))
        clips, others = torch.split(torch.multinomial(self._weights, 2 * size, replacement=True, generator=dice), size)
        labels, lengths = self._labels[clips].clone(), self._spoken[clips].clone()
        sound, start, whole = self._placed(clips, dice)
        earlier = _uniform(size, dice, 0, 1) < self.options.earlier
        before = self._before(others, start, dice).masked_fill(~earlier[:, None, None], SILENCE)
        sound = torch.logaddexp(sound, before)
        mute = _uniform(size, dice, 0, 1) < self.options.idle
        sound[mute] = SILENCE
        labels[mute], lengths[mute], whole = self._idle, 0, mute | (whole & ~earlier)
        sound = self._in_a_room(self._coloured(sound, dice), dice)
        gain = _uniform(size, dice, *self.options.gain) * DECIBEL
        mixed = torch.logaddexp(sound + gain[:, None, None], self._noise(sound, gain, dice))
        frames = _masked(torch.clamp(mixed, min=SILENCE), dice, self.options.mask)
        return Batch(frames, labels, self._phonemes[clips], lengths, whole)

    def _clip_weights(self, groups: Tensor, weights: Sequence[float]) -> Tensor:
        """Return each clip's weight: even over a group's labels, idle more, with the groups in their proportion."""
        found = torch.zeros(len(self._labels))
        for group, weight in enumerate(weights):
            part = groups == group
            counts = torch.bincount(self._labels[part], minlength=self._idle + 1).clamp(min=1)
            shares = torch.where(self._labels[part] == self._idle, IDLE_LABELS, 1.0) / counts[self._labels[part]]
            found[part] = weight * shares / shares.sum()
        return found

    def _placed(self, clips: Tensor, dice: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return the clips' frames at random speeds, formants and places, silence elsewhere; where they start, and
        whether all of a clip lies in the window.
        """
        size = len(clips)
        speed = self._strayed(clips, dice, self.options.speed)
        length = self._lengths[clips] / speed
        hidden = (1 - self.options.min_visible) * length
        low = torch.minimum(-hidden, self.options.frames - length)
        high = torch.clamp(self.options.frames - length + hidden.clamp(max=HIDDEN_END), min=0.0)
        start = low + _uniform(size, dice, 0, 1) * (high - low)
        whole = (start >= 0) & (start + length <= self.options.frames)
        return self._spoken_at(clips, start, speed, dice), start, whole

    def _before(self, clips: Tensor, start: Tensor, dice: torch.Generator) -> Tensor:
        """Return frames of other clips that end a little before `start`, as what was said before does."""
        speed = self._strayed(clips, dice, self.options.speed)
        gap = _uniform(len(clips), dice, *EARLIER_GAP)
        return self._spoken_at(clips, start - gap - self._lengths[clips] / speed, speed, dice)

    def _spoken_at(self, clips: Tensor, start: Tensor, speed: Tensor, dice: torch.Generator) -> Tensor:
        place = (torch.arange(self.options.frames)[None, :] - start[:, None]) * speed[:, None]
        return _formants(self._interpolated(clips, place), self._strayed(clips, dice, self.options.formants))

    def _strayed(self, clips: Tensor, dice: torch.Generator, most: float) -> Tensor:
        """Return a factor for each clip, up to `most` or one over it for speech, farther for everything else."""
        reach = torch.where(self._spoken[clips] > 0, 1.0, self.options.wild)
        return _spread(len(clips), dice, most) ** reach

    def _coloured(self, sound: Tensor, dice: torch.Generator) -> Tensor:
        """Return sound as another microphone would have heard it; silence stays silent."""
        if not self.options.colour:
            return sound
        knots = self.options.colour * DECIBEL * torch.randn(len(sound), 1, COLOUR_KNOTS, generator=dice)
        curve = interpolate(knots, size=MEL_BINS, mode="linear", align_corners=True)
        return torch.where(sound > SILENCE, sound + curve, sound)

    def _interpolated(self, clips: Tensor, place: Tensor) -> Tensor:
        last = (self._lengths[clips] - 1)[:, None]
        before = torch.minimum(place.floor().clamp(min=0), last).long()
        after = torch.minimum(before + 1, last)
        weight = (place - before).clamp(0, 1)[..., None]
        base = self._starts[clips][:, None]
        frames = self._frames[base + before] * (1 - weight) + self._frames[base + after] * weight
        outside = (place < 0) | (place > last)
        return frames.masked_fill(outside[..., None], SILENCE)

    def _in_a_room(self, sound: Tensor, dice: torch.Generator) -> Tensor:
        """Return sound whose power is smeared over time by an exponential tail, in a share of the windows."""
        size = len(sound)
        decay = torch.exp(_uniform(size, dice, math.log(4), math.log(25)))  # frames until the power falls e-fold
        level = torch.exp(_uniform(size, dice, math.log(0.005), math.log(0.15)))
        level = torch.where(_uniform(size, dice, 0, 1) < self.options.reverb, level, torch.zeros(()))
        gap = torch.arange(self.options.frames)[:, None] - torch.arange(self.options.frames)[None, :]
        tail = level[:, None, None] * torch.exp(-gap.clamp(min=0) / decay[:, None, None]) * (gap > 0)
        return torch.log(torch.exp(sound) + tail @ torch.exp(sound))

    def _noise(self, sound: Tensor, gain: Tensor, dice: torch.Generator) -> Tensor:
        """Return noise frames: a random stretch of a random noise at a random ratio to the sound's loudest frame."""
        size = len(sound)
        kinds = torch.randint(len(self._noises), (size,), generator=dice)
        starts = torch.randint(self._noises.shape[1] - self.options.frames, (size,), generator=dice)
        noise = self._noises[kinds[:, None], starts[:, None] + torch.arange(self.options.frames)]
        loudest = sound.logsumexp(dim=2).amax(dim=1)
        loudest = torch.where(loudest < 0, torch.full_like(loudest, 20.0), loudest)  # 20: a clip's usual peak, for idle
        ratio = _uniform(size, dice, *self.options.signal_to_noise) * DECIBEL
        mean = noise.logsumexp(dim=(1, 2)) - math.log(self.options.frames)
        level = loudest + gain - ratio - mean
        begin = torch.where(
            _uniform(size, dice, 0, 1) < self.options.late, _uniform(size, dice, 0, self.options.frames), 0.0
        )
        begin = torch.where(_uniform(size, dice, 0, 1) < self.options.clean, float(self.options.frames), begin)
        quiet = torch.arange(self.options.frames)[None, :] < begin[:, None]
        return (noise + level[:, None, None]).masked_fill(quiet[..., None], SILENCE)


def frames_of(sound: np.ndarray) -> np.ndarray:
    """Return a clip's log-mel frames [frames, 80] with its edges in digital silence."""
    return log_mel(np.pad(sound, EDGE_SAMPLES))


def _uniform(size: int, dice: torch.Generator, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(size, generator=dice)


def _spread(size: int, dice: torch.Generator, most: float) -> Tensor:
    return torch.exp(_uniform(size, dice, -math.log(most), math.log(most)))


def _mel(hertz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hertz / 700.0)


def _formants(frames: Tensor, scale: Tensor) -> Tensor:
    """Return frames whose spectrum is stretched by `scale` [batch] along the frequency axis."""
    edges = _mel(torch.tensor([LOW_HZ, HIGH_HZ]))
    step = (edges[1] - edges[0]) / (MEL_BINS + 1)
    centres = 700.0 * torch.expm1((edges[0] + step * (1 + torch.arange(MEL_BINS))) / 1127.0)
    place = ((_mel(centres[None, :] / scale[:, None]) - edges[0]) / step - 1).clamp(0, MEL_BINS - 1)
    before = place.floor().long().clamp(max=MEL_BINS - 2)
    weight = (place - before)[:, None, :]
    low = frames.gather(2, before[:, None, :].expand_as(frames))
    high = frames.gather(2, (before + 1)[:, None, :].expand_as(frames))
    return low * (1 - weight) + high * weight


def _masked(frames: Tensor, dice: torch.Generator, widest: float) -> Tensor:
    """Return frames with one band of bins and one stretch of time set to the window's mean (SpecAugment)."""
    size, length, bins = frames.shape
    mean = frames.mean(dim=(1, 2), keepdim=True)
    for axis, count, most in ((1, length, 12.0), (2, bins, 14.0)):
        width = _uniform(size, dice, 0, most * widest)
        start = _uniform(size, dice, 0, 1) * (count - width)
        index = torch.arange(count)[None, :]
        inside = (index >= start[:, None]) & (index < (start + width)[:, None])
        frames = torch.where(inside.unsqueeze(3 - axis), mean, frames)
    return frames


def _noises(clips: Sequence[LabelledClip], seed: int) -> list[np.ndarray]:
    """Return NOISE_SECONDS each of coloured noise, hum, babble without known words, and music where there is some."""
    dice = np.random.default_rng(seed)
    length = NOISE_SECONDS * SAMPLE_RATE
    spectrum = np.fft.rfft(dice.standard_normal(length))
    pitch = np.maximum(np.arange(len(spectrum)), 40.0)
    noises = [np.fft.irfft(spectrum / pitch**slope, length) for slope in NOISE_SLOPES]
    time = np.arange(length) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 8))
    unknown = [clip for clip in clips if clip.text and not clip.label]
    noises += [hum + 0.02 * dice.standard_normal(length), _babble(unknown or clips, length, dice)]
    if music := [clip for clip in clips if clip.engine == MUSIC]:
        noises += [_in_turn(music, length, dice) for _ in range(BEDS)]
    return [(0.1 * noise / np.abs(noise).max()).astype(np.float32) for noise in noises]


def _in_turn(clips: Sequence[LabelledClip], length: int, dice: np.random.Generator) -> np.ndarray:
    """Return clips one after the other, without a gap."""
    whole = np.zeros(0, np.float32)
    while len(whole) < length:
        whole = np.concatenate([whole, clips[int(dice.integers(len(clips)))].sound])
    return whole[:length] + 1e-4 * dice.standard_normal(length)


def _babble(clips: Sequence[LabelledClip], length: int, dice: np.random.Generator) -> np.ndarray:
    result = 1e-3 * dice.standard_normal(length)
    for _ in range(NOISE_SECONDS * 8):
        sound = clips[int(dice.integers(len(clips)))].sound[: length // 2]
        start = dice.integers(length - len(sound))
        result[start : start + len(sound)] += sound
    return result
