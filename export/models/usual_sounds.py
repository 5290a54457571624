"""Seeded sounds to try an encoder on: what a microphone gives, without a recording. 16 kHz, mono, -1 to 1."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples

NOISE_AMPLITUDE = 0.01  # of the reference's negative prompt: the standard deviation of its white noise
NOISE_SECONDS = 4  # its length
NOISE_SEED = 0
ROOM_AMPLITUDE = 1e-3  # about -60 dBFS: a quiet room
HARMONICS = 12


def white_noise(samples: int, seed: int) -> Samples:
    """Return the beginning of one seeded draw of the reference's negative sound."""
    whole = np.random.default_rng(seed).standard_normal(max(samples, NOISE_SECONDS * SAMPLE_RATE))
    return np.asarray(NOISE_AMPLITUDE * whole[:samples], np.float32)


def reference_hiss(window_samples: int) -> Samples:
    """Return the reference's negative sound at its full length, 4 s, or a whole window where that is longer."""
    return white_noise(max(window_samples, NOISE_SECONDS * SAMPLE_RATE), NOISE_SEED)


def room(samples: int, seed: int) -> Samples:
    """Return the hush of a room: noise whose power falls with frequency, as rooms' does."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    tilted = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0), samples)
    return np.asarray(ROOM_AMPLITUDE * tilted / tilted.std(), np.float32)


def voice(samples: int, seed: int) -> Samples:
    """Return syllables of a harmonic tone that glides and breathes."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / SAMPLE_RATE
    pitch = random.uniform(90, 350) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.5, 2) * time))  # Hz
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    tone = sum(random.uniform(0.2, 1) / k * np.sin(k * phase) for k in range(1, HARMONICS + 1))
    syllables = np.clip(np.sin(2 * np.pi * random.uniform(2, 5) * time + random.uniform(0, 6)), 0, 1)
    return _loud(tone * syllables + 0.02 * random.standard_normal(samples), random)


def beats(samples: int, seed: int) -> Samples:
    """Return decaying bursts of noise at a steady tempo."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / SAMPLE_RATE
    since = np.mod(time, random.uniform(0.2, 0.7))  # seconds since the last beat
    return _loud(random.standard_normal(samples) * np.exp(-since * random.uniform(8, 40)), random)


def chord(samples: int, seed: int) -> Samples:
    """Return a few tones, struck together and fading: steady ones would leave bins without any movement."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * random.uniform(100, 3000) * time) for _ in range(4))
    fading = np.exp(-time * random.uniform(0.3, 1.5))
    return _loud(tones * fading + 0.01 * random.standard_normal(samples), random)


def _loud(sound: NDArray[np.float64], random: np.random.Generator) -> Samples:
    return np.asarray(random.uniform(0.02, 0.5) * sound / np.abs(sound).max(), np.float32)


KINDS: tuple[Callable[[int, int], Samples], ...] = (voice, beats, chord, white_noise, room)


def usual_sounds(samples: int, count: int) -> list[Samples]:
    """Return `count` different sounds of `samples` samples, the kinds in turn; always the same ones."""
    return [KINDS[i % len(KINDS)](samples, i) for i in range(count)]
