"""Sounds whose beats, onsets and pitches are known, made with NumPy."""

import numpy as np
from numpy.typing import NDArray

RATE = 16_000  # Hz
Samples = NDArray[np.float32]


def times(tempo: float, seconds: float, first: float = 0.5) -> NDArray[np.float64]:
    """Return beats in seconds, at beats per minute."""
    return np.arange(first, seconds - 0.2, 60 / tempo)


def placed(sound: NDArray[np.float64], at: NDArray[np.float64], seconds: float, rate: int = RATE) -> Samples:
    """Return float32 with a sound at each time."""
    track = np.zeros(round(seconds * rate) + len(sound))
    for time in at:
        start = round(time * rate)
        track[start : start + len(sound)] += sound
    return track[: round(seconds * rate)].astype(np.float32)


def tone(hertz: float, seconds: float, *, decay: float = np.inf, loud: float = 0.5, rate: int = RATE):
    """Return float64, a sine that falls by e every `decay` seconds."""
    time = np.arange(round(seconds * rate)) / rate
    return loud * np.exp(-time / decay) * np.sin(2 * np.pi * hertz * time)


def clicks(at: NDArray[np.float64], seconds: float) -> Samples:
    """Return short tones."""
    return placed(tone(1000, 0.1, decay=0.0125), at, seconds)


def drum_loop(tempo: float, seconds: float, rate: int = RATE) -> Samples:
    """Return bass drum on one and three, snare on two and four, and hats in eighths between."""
    random = np.random.default_rng(0)
    beats = times(tempo, seconds)
    fall = np.exp(-np.arange(rate // 10) / (0.02 * rate))
    snare = 0.3 * fall * random.standard_normal(rate // 10)
    hat = 0.08 * fall**3 * np.diff(random.standard_normal(rate // 10 + 1))
    kick = tone(60, 0.2, decay=0.06, loud=0.7, rate=rate)
    parts = [(kick, beats[::2]), (snare, beats[1::2]), (hat, beats), (hat, beats + 30 / tempo)]
    return np.sum([placed(sound, at, seconds, rate) for sound, at in parts], axis=0, dtype=np.float32)


def sweep(seconds: float, low: float = 60, high: float = 3400, rate: int = RATE) -> Samples:
    """Return a sine whose pitch rises evenly."""
    octaves = np.log(high / low)
    time = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * low * seconds / octaves * np.expm1(time / seconds * octaves))).astype(np.float32)
