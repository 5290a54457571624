"""Conditions of hearing that spoken clips are measured under: noise, faintness, clipping, telephones, rooms, music.

Each returns the clips anew, seeded. Where something sounds through the whole window, LEAD samples of it come before the
word and WHOLE behind it; such clips are looked at where they end, all others WHOLE samples after their end. Rooms and
music are none that training heard.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import channel
from clavilux.training.lumia.data.clips import LabelledClip, with_peak

Mono = NDArray[np.float32]
Clips = Sequence[LabelledClip]

WHOLE = 3200  # samples of silence after a whole clip: 0.2 s
LEAD = 2 * SAMPLE_RATE  # samples before a clip where something sounds through: a window
QUIET = -60.0  # dBFS, peak of a quiet word
QUIET_NOISE = -90.0  # dBFS, of the noise that a quiet word stands in: about a step of 16 bits
MUSIC = 10.0  # dB that a word's power is above the music's
ROOMS = range(channel.ROOMS, channel.ROOMS + 50)  # numbers of rooms beyond those of training
SEED = 9


@dataclass(frozen=True)
class Condition:
    """Clips as they are heard under one condition."""

    what: str
    clips: Clips
    offset: int  # samples from a clip's end to the window's


def conditions(speech: Clips, music: Sequence[Mono]) -> list[Condition]:
    """Return spoken clips under every condition; the one with music is left out where there is none."""
    found = [
        Condition("clipped by 6 dB", clipped(speech, 6.0), WHOLE),
        Condition("clipped by 12 dB", clipped(speech, 12.0), WHOLE),
        Condition("quiet, -60 dBFS in 16 bits", quiet(speech), 0),
        Condition("white noise at -40 dBFS", in_noise(speech, amplitude(-40.0), SEED), 0),
        Condition("white noise at -30 dBFS", in_noise(speech, amplitude(-30.0), SEED), 0),
        Condition("8 kHz telephone", changed(speech, channel.telephone), WHOLE),
        Condition("in a room with walls", in_rooms(speech), WHOLE),
    ]
    return [*found, Condition("over music at 10 dB", over_music(speech, music), 0)] if music else found


def amplitude(decibel: float) -> float:
    """Return the amplitude of a level in dBFS."""
    return float(10 ** (decibel / 20))


def changed(clips: Clips, change: Callable[[Mono], Mono]) -> list[LabelledClip]:
    """Return clips whose sounds went through a function."""
    return [replace(clip, sound=change(clip.sound)) for clip in clips]


def clipped(clips: Clips, decibel: float) -> list[LabelledClip]:
    """Return clips cut off as a microphone does when they are so much too loud."""
    return changed(clips, lambda sound: channel.clipped(sound, decibel))


def in_noise(clips: Clips, deviation: float, seed: int) -> list[LabelledClip]:
    """Return each clip with white noise of this deviation (full scale 1) before, in and behind it."""
    dice = np.random.default_rng(seed)

    def noisy(sound: Mono) -> Mono:
        padded = np.pad(sound, (LEAD, WHOLE))
        return (padded + deviation * dice.standard_normal(len(padded))).astype(np.float32)

    return changed(clips, noisy)


def quiet(clips: Clips) -> list[LabelledClip]:
    """Return clips whose peak is QUIET, in noise of QUIET_NOISE, rounded to 16 bits together."""
    faint = changed(clips, lambda sound: with_peak(sound, amplitude(QUIET)))
    return changed(in_noise(faint, amplitude(QUIET_NOISE), SEED), channel.in_sixteen_bits)


def in_rooms(clips: Clips) -> list[LabelledClip]:
    """Return each clip in a room, with as much level as before."""
    rooms = (channel.room(ROOMS[i % len(ROOMS)]) for i in range(len(clips)))
    sounds = (with_peak(channel.in_a_room(clip.sound, one)) for clip, one in zip(clips, rooms, strict=True))
    return [replace(clip, sound=sound) for clip, sound in zip(clips, sounds, strict=True)]


def over_music(clips: Clips, music: Sequence[Mono], decibel: float = MUSIC) -> list[LabelledClip]:
    """Return each clip with music before, under and behind it, whose power is so much below the word's."""
    dice = np.random.default_rng(SEED)

    def mixed(sound: Mono) -> Mono:
        padded = np.pad(sound, (LEAD, WHOLE))
        other = channel.overlaid(music, len(padded), dice)
        ratio = math.sqrt(float(np.square(sound).mean()) / max(float(np.square(other).mean()), 1e-12))
        return (padded + other * ratio * amplitude(-decibel)).astype(np.float32)

    return changed(clips, mixed)
