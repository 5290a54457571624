"""Manners of speaking: a child's, whispered, sung on a note, shouted, slow and hesitating, made from plain speech.

Waveform in, waveform out, mono float32 at SAMPLE_RATE. Two classical tools do it, both in numpy:

* time scaling by waveform similarity, WSOLA (Verhelst and Roelands, ICASSP 1993); with resampling it moves pitch and
  formants together, by which children differ from adults (Potamianos and Narayanan, IEEE Trans. SAP 2003: 1.1 to 1.4);
* linear prediction (Makhoul, Proc. IEEE 1975): a frame's all-pole filter, driven by something else than its residual:
  noise for a whisper (as Ito, Takeda and Itakura describe it, Speech Communication 2005), pulses of one note for
  singing (Saitou et al., WASPAA 2007: f0 held on the note with vibrato, vowels lengthened).

Shouting raises pitch and the first formant, flattens the spectrum's tilt and evens out levels (Rostolland, Acustica
1982).
"""

import math
from collections.abc import Callable

import numpy as np
import soxr
from numpy.typing import NDArray

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import MAX_SPOKEN, PEAK, with_peak

Mono = NDArray[np.float32]
Real = NDArray[np.float64]
Dice = np.random.Generator

CHILD = (1.1, 1.4)  # pitch and formants, times the adult's
LOUD = (1.08, 1.3)  # likewise, shouting
SLOW = (1.15, 1.6)  # length, times the usual
SUNG = (1.2, 1.8)  # likewise, singing
NOTES = (-3, 10)  # semitones from the speaker's own pitch to the sung note, the last excluded
VIBRATO = (5.5, 0.03)  # Hz, and depth relative to the note
PAUSE = (0.08, 0.3)  # seconds of hesitation
HUSH = 0.05  # of the loudest frame: softer is a gap to hesitate in
PIECE = 480  # samples of WSOLA's windows: 30 ms
SEARCH = 128  # samples that it looks ahead and back for the best joint: 8 ms
FRAME, HOP, SPECTRUM = 400, 80, 1024  # samples of linear prediction: 25 ms every 5 ms, and its Fourier transform
ORDER = 18  # poles: 2 a kHz, and 2
LAG = 40.0  # Hz, width of the lag window that keeps the poles off the circle
PITCHES = (70.0, 420.0)  # Hz that voices are looked for in
VOICED = 0.5  # autocorrelation at the pitch period, relative to lag 0
AS_GOOD = 0.9  # of the best autocorrelation: the first such period, for twice the period is nearly as good
FLOOR = 1e-9  # power, so that silence divides
A4, A4_HERTZ = 69, 440.0  # MIDI key and Hz


def in_some_manner(sound: Mono, dice: Dice) -> Mono:
    """Return speech [n] in a random manner, at most MAX_SPOKEN seconds, with peak PEAK."""
    names = tuple(MANNERS)
    return with_peak(MANNERS[names[int(dice.integers(len(names)))]](sound, dice), PEAK)


def childlike(sound: Mono, dice: Dice) -> Mono:
    """Return speech with pitch and formants a child's, as long as before."""
    return higher(sound, dice.uniform(*CHILD))


def shouted(sound: Mono, dice: Dice) -> Mono:
    """Return speech with higher pitch, a flat tilt and even levels."""
    bright = np.append(sound[:1], sound[1:] - dice.uniform(0.4, 0.8) * sound[:-1])  # pre-emphasis: +6 dB an octave
    raised = with_peak(higher(bright.astype(np.float32), dice.uniform(*LOUD)), 1.0)
    level = np.sqrt(_smooth(raised.astype(np.float64) ** 2, PIECE) + 1e-4)
    return with_peak(np.tanh(2.0 * raised / level ** dice.uniform(0.3, 0.7)).astype(np.float32))


def hesitating(sound: Mono, dice: Dice) -> Mono:
    """Return slower speech, with a pause in its quietest place where that is a gap."""
    slow = stretched(sound, _fitting(dice.uniform(*SLOW), sound))
    pause = min(int(dice.uniform(*PAUSE) * SAMPLE_RATE), int(MAX_SPOKEN * SAMPLE_RATE) - len(slow))
    level = np.sqrt(_smooth(slow.astype(np.float64) ** 2, PIECE))
    begin, end = len(level) // 10, len(level) // 2
    if pause <= 0 or end <= begin or level[begin:end].min() > HUSH * level.max():
        return slow
    place = begin + int(level[begin:end].argmin())
    fade = np.ones(len(slow), np.float32)
    near = min(HOP, place, len(slow) - place)
    fade[place - near : place], fade[place : place + near] = np.linspace(1, 0, near), np.linspace(0, 1, near)
    return np.insert(slow * fade, place, np.zeros(pause, np.float32))


def whispered(sound: Mono, dice: Dice) -> Mono:
    """Return speech whose residual is noise, with weak low frequencies."""
    filters, power, _ = analysed(sound)
    noise = dice.standard_normal(len(sound))
    breath = _driven(noise, filters, power, np.arange(len(power)), _above(dice.uniform(250.0, 500.0)))
    return breath[: len(sound)].astype(np.float32)


def sung(sound: Mono, dice: Dice) -> Mono:
    """Return speech on one note of the equal-tempered scale, its voiced parts lengthened."""
    filters, power, hertz = analysed(sound)
    voiced = hertz > 0
    if not voiced.any():
        return sound
    key = round(A4 + 12 * math.log2(float(np.median(hertz[voiced])) / A4_HERTZ)) + int(dice.integers(*NOTES))
    note = A4_HERTZ * 2 ** ((key - A4) / 12)
    stretch = _fitting(dice.uniform(*SUNG), sound)
    places = _lengthened(voiced, stretch)
    length = len(places) * HOP
    time = np.arange(length) / SAMPLE_RATE
    rate, depth = VIBRATO
    phase = np.cumsum(note * (1 + depth * np.sin(2 * np.pi * rate * time + dice.uniform(0, 2 * np.pi))) / SAMPLE_RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0) * math.sqrt(SAMPLE_RATE / note)
    share = np.repeat(_smooth(voiced[places].astype(np.float64), 5), HOP)
    drive = share * (0.97 * pulses + 0.15 * dice.standard_normal(length)) + (1 - share) * dice.standard_normal(length)
    return _driven(drive, filters, power, places, np.ones(SPECTRUM // 2 + 1)).astype(np.float32)


MANNERS: dict[str, Callable[[Mono, Dice], Mono]] = {
    "child": childlike,
    "whisper": whispered,
    "song": sung,
    "shout": shouted,
    "hesitation": hesitating,
}


def higher(sound: Mono, ratio: float) -> Mono:
    """Return speech with all frequencies times `ratio` (over 1: higher), as long as before."""
    short: Mono = soxr.resample(sound, SAMPLE_RATE * ratio, SAMPLE_RATE).astype(np.float32)
    return stretched(short, len(sound) / max(1, len(short)))


def stretched(sound: Mono, factor: float) -> Mono:
    """Return sound `factor` (0.6 at least) times as long at the same pitch, by waveform similarity."""
    half = PIECE // 2
    if len(sound) < PIECE + 2 * SEARCH:
        return sound
    window = np.hanning(PIECE + 1)[:PIECE]
    padded = np.pad(sound.astype(np.float64), (half + SEARCH, 4 * PIECE))  # more than is looked for behind the end
    length = round(len(sound) * factor)
    result = np.zeros(length + 2 * PIECE)
    place = SEARCH
    for start in range(0, length + half, half):
        result[start : start + PIECE] += window * padded[place : place + PIECE]
        wanted = padded[place + half : place + half + PIECE]  # what would follow by itself
        near = SEARCH + int((start + half) / factor)
        region = padded[near - SEARCH : near + SEARCH + PIECE]
        place = near - SEARCH + int(np.correlate(region, wanted, "valid").argmax())
    return result[half : half + length].astype(np.float32)


def analysed(sound: Mono) -> tuple[NDArray[np.complex128], Real, Real]:
    """Return a filter [F, SPECTRUM/2 + 1], a residual power [F] and a pitch in Hz [F] (0: unvoiced) every HOP samples.

    The filter is the response of the all-pole model of ORDER, by the autocorrelation method.
    """
    count = -(-len(sound) // HOP)
    padded = np.pad(sound.astype(np.float64), (FRAME, FRAME + SPECTRUM))
    starts = FRAME // 2 + HOP * np.arange(count)  # frames are centred on their hop
    frames = padded[starts[:, None] + np.arange(FRAME)]
    window = np.hanning(FRAME)
    spectra = np.fft.rfft(frames * window, SPECTRUM)
    lags = np.fft.irfft(np.abs(spectra) ** 2)[:, : ORDER + 1] / np.square(window).sum()
    lags = lags * np.exp(-0.5 * (2 * np.pi * LAG / SAMPLE_RATE * np.arange(ORDER + 1)) ** 2)
    poles, power = _levinson(lags)
    return 1 / np.fft.rfft(poles, SPECTRUM), power, _pitches(padded, starts)


def _levinson(lags: Real) -> tuple[Real, Real]:
    """Return prediction filters [F, ORDER + 1] and residual powers [F] of autocorrelations [F, ORDER + 1]."""
    filters = np.zeros_like(lags)
    filters[:, 0] = 1.0
    power = lags[:, 0] * (1 + 1e-5) + FLOOR
    for i in range(1, lags.shape[1]):
        reflection = -(filters[:, :i] * lags[:, i:0:-1]).sum(axis=1) / power
        filters[:, 1 : i + 1] += reflection[:, None] * filters[:, i - 1 :: -1][:, :i]
        power = power * (1 - reflection**2)
    return filters, power


def _pitches(padded: Real, starts: NDArray[np.int64]) -> Real:
    """Return the pitch in Hz at each frame, 0 where none is clear, by autocorrelation of two frames' length."""
    frames = padded[starts[:, None] - FRAME // 2 + np.arange(2 * FRAME)] * np.hanning(2 * FRAME)
    lags = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * SPECTRUM)) ** 2)
    shape = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(2 * FRAME), 2 * SPECTRUM)) ** 2)
    first, last = int(SAMPLE_RATE / PITCHES[1]), int(SAMPLE_RATE / PITCHES[0])
    alike = lags[:, first:last] / (lags[:, :1] + FLOOR) / (shape[first:last] / shape[0])
    rising = np.diff(alike, axis=1, prepend=-1.0, append=-1.0)
    peaks = (rising[:, :-1] > 0) & (rising[:, 1:] <= 0)
    best = (peaks & (alike >= AS_GOOD * alike.max(axis=1, keepdims=True))).argmax(axis=1)
    loud = lags[:, 0] > 1e-4 * lags[:, 0].max()
    return np.where((alike.max(axis=1) > VOICED) & loud, SAMPLE_RATE / (first + best), 0.0)


def _driven(drive: Real, filters: NDArray[np.complex128], power: Real, places: NDArray[np.int64], shape: Real) -> Real:
    """Return a unit-power drive through the filter of frame `places[i]` at hop i, times `shape` over frequency."""
    window = np.hanning(4 * HOP + 1)[: 4 * HOP] / 2  # four overlap: they sum to 1
    padded = np.pad(drive, (2 * HOP, 4 * HOP))
    pieces = padded[HOP * np.arange(len(places))[:, None] + np.arange(4 * HOP)] * window
    spectra = np.fft.rfft(pieces, SPECTRUM) * filters[places] * np.sqrt(power[places])[:, None] * shape
    rows = np.fft.irfft(spectra)
    result = np.zeros(len(places) * HOP + SPECTRUM)
    for i, row in enumerate(rows):
        result[i * HOP : i * HOP + SPECTRUM] += row
    return result[2 * HOP : 2 * HOP + len(places) * HOP]


def _lengthened(voiced: NDArray[np.bool_], stretch: float) -> NDArray[np.int64]:
    """Return which frame sounds at each hop, so that the whole is `stretch` times as long, by its voiced frames."""
    extra = (stretch - 1) * len(voiced) / max(1, int(voiced.sum()))
    ends = np.cumsum(np.where(voiced, 1 + extra, 1.0))
    return np.minimum(np.searchsorted(ends, np.arange(int(ends[-1])), side="right"), len(voiced) - 1)


def _fitting(factor: float, sound: Mono) -> float:
    """Return the factor, or a smaller one with which a sound stays within MAX_SPOKEN seconds; 1 at least."""
    return max(1.0, min(factor, MAX_SPOKEN * SAMPLE_RATE / max(1, len(sound))))


def _above(hertz: float) -> Real:
    """Return the magnitudes of a high-pass filter of the second order over the spectrum."""
    pitch = np.fft.rfftfreq(SPECTRUM, 1 / SAMPLE_RATE)
    return pitch**2 / (pitch**2 + hertz**2)


def _smooth(values: Real, width: int) -> Real:
    """Return the running mean over `width` values, as many as before."""
    if len(values) < width:
        return np.full(len(values), values.mean() if len(values) else 0.0)
    return np.convolve(values, np.ones(width) / width, "same")
