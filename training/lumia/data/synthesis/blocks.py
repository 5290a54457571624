"""Building blocks of parametric synthesis: contours, sources, filters, modes, particles, rooms.

All sounds are [n] float64 mono at SAMPLE_RATE of any level; times are seconds, frequencies hertz. Filters work on the
spectrum, so nothing here loops over samples. Every chance is drawn from the generator that is handed in.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.sound.format import SAMPLE_RATE

Sound = NDArray[np.float64]
Dice = np.random.Generator
Kind = Callable[[Dice], Sound]
Numbers = Sequence[float] | Sound
Track = float | Sound  # a number, or one for each sample
Gain = Callable[[Sound, Track, Track], Sound]  # of hertz, centre and bandwidth

FRAME, HOP = 512, 128  # samples, of filters that change over time
TOP = 7_600.0  # Hz; partials above are left out
SPEED_OF_SOUND = 350.0  # m/s in a warm vocal tract
T60 = float(np.log(1000.0))  # natural-log amplitude lost over a reverberation time


def length(seconds: float) -> int:
    """Return a duration in samples, at least 32."""
    return max(32, round(seconds * SAMPLE_RATE))


def ratio(dice: Dice, low: float, high: float) -> float:
    """Return a number between two, evenly spread over its logarithm, as pitches and sizes are."""
    return float(np.exp(dice.uniform(np.log(low), np.log(high))))


def pick(dice: Dice, kinds: Sequence[Kind], shares: Sequence[float]) -> Sound:
    """Return a sound of one of several kinds, drawn by their shares."""
    weights = np.asarray(shares, dtype=float)
    return kinds[int(dice.choice(len(kinds), p=weights / weights.sum()))](dice)


def curve(n: int, *points: float) -> Sound:
    """Return a smooth contour [n] through evenly spaced points (half-cosine interpolation)."""
    place = np.linspace(0, len(points) - 1, n)
    before = np.minimum(place.astype(int), max(0, len(points) - 2))
    bend = 0.5 - 0.5 * np.cos(np.pi * (place - before))
    values = np.array([*points, points[-1]], dtype=float)
    result: Sound = values[before] * (1 - bend) + values[before + 1] * bend
    return result


def wander(dice: Dice, n: int, hertz: float) -> Sound:
    """Return slow noise [n] of about unit deviation that turns `hertz` times a second."""
    return curve(n, *dice.standard_normal(int(n / SAMPLE_RATE * hertz) + 2))


def swell(n: int, attack: float, release: float) -> Sound:
    """Return an envelope [n] that rises and falls as a raised cosine within these seconds."""
    index = np.arange(n)
    rise = np.clip(index / max(1.0, attack * SAMPLE_RATE), 0, 1)
    fall = np.clip((n - index) / max(1.0, release * SAMPLE_RATE), 0, 1)
    result: Sound = np.sin(0.5 * np.pi * rise) ** 2 * np.sin(0.5 * np.pi * fall) ** 2
    return result


def decay(n: int, seconds: float) -> Sound:
    """Return an exponential envelope [n] that has lost 60 dB after `seconds`."""
    result: Sound = np.exp(-T60 * np.arange(n) / (seconds * SAMPLE_RATE))
    return result


def phase(pitch: Track, n: int) -> Sound:
    """Return the running phase [n] of a pitch in cycles."""
    return np.cumsum(np.broadcast_to(np.asarray(pitch, dtype=float), n)) / SAMPLE_RATE


def tone(pitch: Track, n: int, start: float = 0.0) -> Sound:
    """Return a sine [n] of a pitch that may change; `start` is its first phase in cycles."""
    return np.sin(2 * np.pi * (phase(pitch, n) + start))


def octave(pitch: Sound) -> Sound:
    """Return a sine [n] an octave above a pitch, silent where that lies above TOP."""
    return np.where(2 * pitch < TOP, tone(2 * pitch, len(pitch)), 0.0)


def harmonics(pitch: Sound, tilt: float, odd: bool = False) -> Sound:
    """Return a band-limited harmonic series [n] whose partials fall by `tilt` dB an octave.

    The sines follow one from another by Chebyshev's recurrence: sin((k+1)x) = 2 cos(x) sin(kx) - sin((k-1)x).
    """
    turn = 2 * np.pi * phase(pitch, len(pitch))
    total, before, sine, twice = np.zeros(len(pitch)), np.zeros(len(pitch)), np.sin(turn), 2 * np.cos(turn)
    highest = float(pitch.max())
    for k in range(1, int(min(160, TOP / max(20.0, float(pitch.min())))) + 1):
        if k % 2 or not odd:
            gain = k ** (-tilt / 6.02)
            total += gain * (sine if k * highest < TOP else np.where(k * pitch < TOP, sine, 0.0))
        before, sine = sine, twice * sine - before
    return total


def frequencies(n: int) -> Sound:
    """Return the frequencies of a spectrum of n samples."""
    return np.fft.rfftfreq(n, 1 / SAMPLE_RATE).astype(np.float64)


def _even_size(n: int) -> int:
    """Return the next multiple of 1024, which transforms fast."""
    return -(-n // 1_024) * 1_024


def noise(dice: Dice, n: int, slope: float = 0.0) -> Sound:
    """Return Gaussian noise [n] of unit deviation whose amplitude falls as 1/f^slope above 40 Hz."""
    if not slope:
        return dice.standard_normal(n)
    size = _even_size(n)
    spectrum = np.fft.rfft(dice.standard_normal(size))
    coloured = np.fft.irfft(spectrum / np.maximum(frequencies(size), 40.0) ** slope, size)[:n]
    result: Sound = coloured / (coloured.std() + 1e-12)
    return result


def shaped(sound: Sound, gain: Callable[[Sound], Sound]) -> Sound:
    """Return a sound whose spectrum is multiplied by `gain` of hertz, in zero phase."""
    padded = _even_size(len(sound) + FRAME)
    spectrum = np.fft.rfft(sound, padded) * gain(frequencies(padded))
    return np.fft.irfft(spectrum, padded)[: len(sound)]


def band(sound: Sound, low: float, high: float, order: int = 2) -> Sound:
    """Return what lies between two frequencies, with the slopes of Butterworth filters."""

    def gain(hertz: Sound) -> Sound:
        below = (low / np.maximum(hertz, 1.0)) ** (2 * order)
        return 1 / np.sqrt((1 + below) * (1 + (hertz / high) ** (2 * order)))

    return shaped(sound, gain)


def resonance(hertz: Sound, centre: Track, bandwidth: Track) -> Sound:
    """Return the gain of a two-pole resonator, 1 at 0 Hz (Klatt 1980, eq. 1 to 3, in continuous time)."""
    squared = np.square(centre)
    result: Sound = squared / np.sqrt((squared - np.square(hertz)) ** 2 + np.square(hertz * bandwidth))
    return result


def bell(hertz: Sound, centre: Track, bandwidth: Track) -> Sound:
    """Return the gain of a resonance that leaves alone what lies far from it: 1, and centre over bandwidth at its top.

    A cascade of them is that of two-pole resonators with the correction for all higher poles (Fant 1960, chapter 1.3).
    """
    far = (np.square(centre) - np.square(hertz)) / (np.maximum(hertz, 1.0) * bandwidth)
    result: Sound = np.sqrt(1 + (np.square(centre / bandwidth) - 1) / (1 + np.square(far)))
    return result


def formants(sound: Sound, tracks: Sequence[Track], q: float = 8.0, shape: Gain = resonance) -> Sound:
    """Return a sound through formants in cascade (Fant 1960; Klatt 1980), each a frequency or a track [n].

    `q` is centre over bandwidth. Tracks are followed frame by frame, by overlap and add.
    """
    n = len(sound)
    count = -(-n // HOP) + FRAME // HOP
    at = np.clip((np.arange(count) + 1) * HOP - FRAME // 2, 0, n - 1)
    hertz = frequencies(FRAME)[None, :]
    gain = np.ones((count, FRAME // 2 + 1))
    for track in tracks:
        centre = np.broadcast_to(np.asarray(track, dtype=float), n)[at][:, None]
        gain *= shape(hertz, centre, centre / q + 40.0)
    return refiltered(sound, gain)


def refiltered(sound: Sound, gain: NDArray[np.float64]) -> Sound:
    """Return a sound whose short-time spectrum is multiplied by `gain` [frames, FRAME / 2 + 1], hop HOP."""
    padded = np.pad(sound, (FRAME, FRAME + HOP))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[HOP::HOP][: len(gain)] * window
    pieces = np.fft.irfft(np.fft.rfft(pieces) * gain[: len(pieces)]) * window / 1.5
    result = np.zeros((len(pieces) + FRAME // HOP) * HOP)
    for part in range(FRAME // HOP):
        end = len(pieces) * HOP
        result[part * HOP : part * HOP + end] += pieces[:, part * HOP : (part + 1) * HOP].reshape(-1)
    start = FRAME - HOP
    return np.pad(result[start:], (0, len(sound)))[: len(sound)]


def voice(
    dice: Dice,
    pitch: Sound,
    tracks: Sequence[Track],
    *,
    tilt: float = 9.0,
    rough: float = 0.0,
    breath: float = 0.05,
    jitter: float = 0.006,
    q: float = 8.0,
) -> Sound:
    """Return a source-filter voice [n]: glottal harmonics and breath through formants (Fant 1960, chapter 1).

    `rough`, 0..1, adds subharmonics and chaos as strained animal voices have (Fitch, Neubauer and Herzel 2002);
    `breath` is the noise's share, `jitter` the pitch's relative deviation from period to period.
    """
    n = len(pitch)
    unsteady = pitch * (1 + jitter * wander(dice, n, 90) + 0.12 * rough * wander(dice, n, 160))
    voiced = harmonics(np.maximum(unsteady, 18.0), tilt + dice.uniform(1, 6))
    voiced *= 1 + rough * np.sin(np.pi * phase(unsteady, n)) + 0.5 * rough * wander(dice, n, 300)
    source = voiced / (voiced.std() + 1e-9) + breath * 2 * band(noise(dice, n), 300, 7_000, 1)
    return formants(source, tracks, q, bell)


def tube(centimetres: float, count: int = 5) -> list[float]:
    """Return the resonances of a uniform tract closed at the glottis (Fant 1960): odd quarter waves, below TOP."""
    first = SPEED_OF_SOUND / (0.04 * centimetres)
    return [(2 * k + 1) * first for k in range(count) if (2 * k + 1) * first < TOP]


def modes(n: int, hertz: Numbers, t60: Numbers, gains: Numbers) -> Sound:
    """Return a struck body [n]: a bank of decaying modes (van den Doel and Pai 1998). `t60` in seconds."""
    time = np.arange(n) / SAMPLE_RATE
    total = np.zeros(n)
    for pitch, seconds, gain in zip(hertz, t60, gains, strict=True):
        if pitch < TOP:
            total += gain * np.exp(-T60 * time / seconds) * np.sin(2 * np.pi * pitch * time)
    return total


def knock(dice: Dice, n: int, centre: float, t60: float, count: int = 6) -> Sound:
    """Return a struck lump of wood, stone or plastic [n]: a click and inharmonic modes about a centre, soon gone."""
    spread = centre * np.exp(dice.uniform(-0.9, 1.3, count))
    body = modes(n, spread, t60 * (centre / spread) ** 0.7, dice.uniform(0.3, 1.0, count))
    return body + dice.uniform(0.2, 1.0) * noise(dice, n) * decay(n, ratio(dice, 0.006, 0.02))


def convolved(sound: Sound, response: Sound) -> Sound:
    """Return the linear convolution, [len(sound) + len(response) - 1]."""
    total = len(sound) + len(response) - 1
    size = 1 << (total - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)[:total]


def impulses(dice: Dice, n: int, rate: Track, power: float = 1.0) -> Sound:
    """Return a Poisson process [n] of `rate` impulses a second with exponential energies (PhISEM: Cook 1997)."""
    struck = dice.random(n) < np.asarray(rate) / SAMPLE_RATE
    return np.where(struck, dice.exponential(1.0, n) ** power * dice.choice([-1.0, 1.0], n), 0.0)


def add(target: Sound, sound: Sound, at: float, gain: float = 1.0) -> None:
    """Add a sound to another at `at` seconds; what hangs over is cut off."""
    start = max(0, int(at * SAMPLE_RATE))
    piece = sound[: max(0, len(target) - start)]
    target[start : start + len(piece)] += gain * piece


def in_turn(sounds: Iterable[Sound], gaps: Iterable[float]) -> Sound:
    """Return sounds one after the other, each followed by its gap in seconds of silence."""
    parts = [np.pad(one, (0, max(0, int(gap * SAMPLE_RATE)))) for one, gap in zip(sounds, gaps, strict=False)]
    return np.concatenate(parts)


def repeated(dice: Dice, call: Callable[[int], Sound], count: int, gap: tuple[float, float]) -> Sound:
    """Return `count` calls of one caller, `gap` seconds apart, each about as loud."""
    pause = ratio(dice, *gap)
    pauses = pause * np.exp(dice.normal(0, 0.15, count))
    sounds = [call(i) * np.exp(dice.normal(0, 0.15)) for i in range(count)]
    return in_turn(sounds, pauses)


def level(sound: Sound) -> Sound:
    """Return a sound of peak 1, or silence as it is."""
    return sound / max(1e-12, float(np.abs(sound).max(initial=0.0)))


def soft(sound: Sound, drive: float) -> Sound:
    """Return a sound of peak 1 that is driven into a soft limit, as loud throats, horns and microphones do."""
    result: Sound = np.tanh(drive * level(sound)) / np.tanh(drive)
    return result


def room(dice: Dice, sound: Sound, t60: float, wet: float) -> Sound:
    """Return a sound with an exponential tail of noise as a room's (Moorer 1979), `wet` of its loudness."""
    n = length(0.6 * t60)
    tail = band(noise(dice, n), 100, ratio(dice, 2_000, 6_000), 1) * decay(n, t60)
    tail[: length(dice.uniform(0.002, 0.02))] = 0
    tail /= np.sqrt(np.square(tail).sum()) + 1e-12
    return np.pad(sound, (0, n - 1)) + wet * convolved(sound, tail)


def afar(dice: Dice, sound: Sound) -> Sound:
    """Return a sound from a random distance: in half of all cases with duller highs, a room, and something round it."""
    if dice.random() < 0.5:
        return sound
    duller = band(sound, 30, ratio(dice, 2_500, 8_000), 1)
    echoing = room(dice, duller, ratio(dice, 0.15, 1.5), ratio(dice, 0.05, 0.7))
    about = noise(dice, len(echoing), dice.uniform(0.3, 1.2)) * ratio(dice, 0.0005, 0.04)
    return level(echoing) + about
