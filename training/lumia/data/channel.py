"""The world between a mouth and the encoder: loudspeakers, rooms, other sound, microphones, codecs and faint levels.

Waveform in, waveform out, mono float32 at SAMPLE_RATE. Labels stay right: sound is as long as before, but for TAIL in a
room. `travelled` chains the links in the order in which sound meets them, each with a chance of its own. Assumes PyAV
for codecs.

Rooms follow the image method (Allen and Berkley, JASA 1979), loudness control the usual one-pole follower (Giannoulis,
Massberg and Reiss, JAES 2012), resonances the bilinear peaking filter (Bristow-Johnson, Audio EQ Cookbook).
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import with_peak

Mono = NDArray[np.float32]
Real = NDArray[np.float64]
Response = NDArray[np.complex128]
Dice = np.random.Generator

SPEED_OF_SOUND = 343.0  # m/s
ROOMS = 400  # different rooms with places of mouth and microphone in them
ROOM_SIDES = ((2.2, 9.0), (2.0, 7.0), (2.2, 3.6))  # m: lengths, widths, heights
REFLECTION = (0.45, 0.93)  # of a wall, amplitude
ROOM_SECONDS = 0.35  # of an impulse response
DISTANCE = (0.3, 4.0)  # m from mouth to microphone
WALL_GAP = 0.3  # m that both keep from the walls
TAIL = 1600  # samples of reverberation kept behind the sound: 0.1 s
UNDERNEATH = (5.0, 25.0)  # dB that speech is above what sounds with it
CLIPPING = (3.0, 12.0)  # dB over full scale
FAINT = (-60.0, -30.0)  # dBFS, of the peak
LOUDSPEAKER = (200.0, 500.0)  # Hz below which a small one fails
TELEPHONE = (300.0, 3400.0)  # Hz
NARROW_RATE = 8000  # Hz
BYTE_STEPS, SHORT_STEPS = 128.0, 32768.0  # of 8 and 16 bits, from 0 to full scale
CODECS = (  # name in FFmpeg, container, bits a second
    ("libopus", "ogg", 6_000), ("libopus", "ogg", 9_000), ("libopus", "ogg", 16_000),
    ("libmp3lame", "mp3", 16_000), ("libmp3lame", "mp3", 24_000), ("libmp3lame", "mp3", 32_000),
)  # fmt: skip
MAX_DELAY = 3200  # samples that a codec may lag: 0.2 s
FAINT_CHANCE = 0.12


@dataclass(frozen=True)
class Surroundings:
    """Other sounds: [n] each, at SAMPLE_RATE."""

    music: Sequence[Mono] = ()
    babble: Sequence[Mono] = ()  # speech that holds no known word


@dataclass(frozen=True)
class Link:
    """One link of the chain."""

    chance: float  # 0..1
    passed: Callable[[Mono, Dice, Surroundings], Mono]


def travelled(sound: Mono, dice: Dice, around: Surroundings) -> Mono:
    """Return sound after a random chain of at least one link; its peak is PEAK, or for faint sound far below it."""
    taken = [link for link in CHAIN if dice.random() < link.chance] or [CHAIN[int(dice.integers(len(CHAIN)))]]
    for link in taken:
        sound = link.passed(sound, dice, around)
    sound = with_peak(sound)
    return faint(sound, dice.uniform(*FAINT)) if dice.random() < FAINT_CHANCE else sound


def in_a_room(sound: Mono, response: Real) -> Mono:
    """Return sound in a room, with TAIL samples of what sounds after it faded out, from the direct sound on."""
    length = len(sound) + TAIL
    size = 1 << (len(sound) + len(response) - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size), size)
    wet = wet[int(np.abs(response).argmax()) :][:length].copy()
    wet[-TAIL:] *= np.linspace(1.0, 0.0, TAIL)
    return wet.astype(np.float32)


@lru_cache(maxsize=ROOMS)
def room(number: int) -> Real:
    """Return the impulse response of room `number`: its size, walls and places are drawn from this seed."""
    dice = np.random.default_rng(number)
    sides = np.array([dice.uniform(*side) for side in ROOM_SIDES])
    ear = dice.uniform(WALL_GAP, sides - WALL_GAP)
    way = dice.standard_normal(3)
    mouth = np.clip(ear + way / np.linalg.norm(way) * dice.uniform(*DISTANCE), WALL_GAP, sides - WALL_GAP)
    return impulse_response(sides, mouth, ear, float(dice.uniform(*REFLECTION)))


def impulse_response(sides: Real, mouth: Real, ear: Real, reflection: float, seconds: float = ROOM_SECONDS) -> Real:
    """Return a box-shaped room's impulse response by the image method, high-passed as in the paper.

    `sides`, `mouth` and `ear` are [3] in m; all six walls reflect the same share of the amplitude.
    """
    reach = seconds * SPEED_OF_SOUND
    delays, gains = _images(sides, mouth, ear, reflection, reach)
    length = int(seconds * SAMPLE_RATE)
    places = np.rint(delays * SAMPLE_RATE).astype(np.int64)
    near = places < length
    response = np.bincount(places[near], gains[near], length)
    spectrum = np.fft.rfft(response, 2 * length)
    pitch: Real = np.fft.rfftfreq(2 * length, 1 / SAMPLE_RATE).astype(np.float64)
    return np.fft.irfft(spectrum * _high_pass(pitch, 50.0))[:length]


def _images(sides: Real, mouth: Real, ear: Real, reflection: float, reach: float) -> tuple[Real, Real]:
    """Return delays in s and gains of all images of the mouth within `reach` m of the ear."""
    along = []
    for side, source, place in zip(sides, mouth, ear, strict=True):
        rooms = np.arange(-int(reach / (2 * side)) - 1, int(reach / (2 * side)) + 2)
        straight = (2 * rooms * side + source - place, 2 * np.abs(rooms))  # distance along this axis, reflections
        mirrored = (2 * rooms * side - source - place, np.abs(2 * rooms - 1))
        along.append(tuple(np.concatenate(pair) for pair in zip(straight, mirrored, strict=True)))
    (x, bounced_x), (y, bounced_y), (z, bounced_z) = along
    distance = np.sqrt(x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2).ravel()
    bounces = (bounced_x[:, None, None] + bounced_y[None, :, None] + bounced_z[None, None, :]).ravel()
    kept = distance < reach
    distance, bounces = np.maximum(distance[kept], 0.05), bounces[kept]
    return distance / SPEED_OF_SOUND, reflection**bounces / (4 * np.pi * distance)


def over(sound: Mono, other: Mono, decibel: float) -> Mono:
    """Return sound with another, as long, whose power is `decibel` below it."""
    own, strange = float(np.square(sound).mean()), float(np.square(other).mean())
    if not own or not strange:
        return sound
    return (sound + other * math.sqrt(own / strange) * 10 ** (-decibel / 20)).astype(np.float32)


def overlaid(sounds: Sequence[Mono], length: int, dice: Dice, voices: int = 3) -> Mono:
    """Return `length` samples of some sounds, up to `voices` at a time, each begun anew wherever it ends."""
    result = np.zeros(length, np.float32)
    for _ in range(int(dice.integers(1, voices + 1))):
        place = -int(dice.integers(0, length))
        while place < length:
            sound = with_peak(sounds[int(dice.integers(len(sounds)))])
            begin, end = max(0, place), min(length, place + len(sound))
            if begin < end:
                result[begin:end] += sound[begin - place : end - place]
            place += max(1, len(sound))
    return result


def small_loudspeaker(sound: Mono, dice: Dice) -> Mono:
    """Return sound from a small loudspeaker: no low frequencies, few of the highest, and up to three resonances."""

    def response(pitch: Real) -> Response:
        whole = _high_pass(pitch, dice.uniform(*LOUDSPEAKER)) * _low_pass(pitch, dice.uniform(3500.0, 7800.0))
        for _ in range(int(dice.integers(0, 4))):
            whole = whole * _peak(pitch, dice.uniform(300.0, 5000.0), dice.uniform(2.0, 8.0), dice.uniform(-6.0, 12.0))
        return whole

    return filtered(sound, response)


def telephone(sound: Mono) -> Mono:
    """Return sound sampled at 8 kHz, between 300 and 3400 Hz."""
    low, high = TELEPHONE
    return narrow(filtered(sound, lambda pitch: _high_pass(pitch, low) ** 2 * _low_pass(pitch, high) ** 2))


def narrow(sound: Mono) -> Mono:
    """Return sound sampled at 8 kHz."""
    return _fitted(soxr.resample(soxr.resample(sound, SAMPLE_RATE, NARROW_RATE), NARROW_RATE, SAMPLE_RATE), len(sound))


def filtered(sound: Mono, response: Callable[[Real], Response]) -> Mono:
    """Return sound through a linear filter, given as its response at frequencies in Hz."""
    size = 2 * len(sound) + 1024
    pitch: Real = np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float64)
    spectrum: Response = np.fft.rfft(sound, size) * response(pitch)
    return np.fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)


def automatic_gain(sound: Mono, attack: float, release: float) -> Mono:
    """Return sound whose level is followed and evened out, with times in s until the follower is near."""
    step = 80  # samples between two looks: 5 ms
    peaks = np.abs(np.pad(sound, (0, -len(sound) % step))).reshape(-1, step).max(axis=1)
    level, levels = float(peaks.max()), []
    for peak in peaks:
        time = attack if peak > level else release
        level += (float(peak) - level) * (1 - math.exp(-step / SAMPLE_RATE / time))
        levels.append(level)
    places = np.arange(len(sound)) / step
    gains = 1 / (np.interp(places, np.arange(len(levels)), levels) + 0.02)
    return with_peak((sound * np.minimum(gains, 20.0)).astype(np.float32))


def clipped(sound: Mono, decibel: float, soft: bool = False) -> Mono:
    """Return sound that was `decibel` too loud for full scale, cut off there or bent towards it, at peak PEAK."""
    loud = with_peak(sound, 10 ** (decibel / 20))
    return with_peak(np.tanh(loud) if soft else np.clip(loud, -1.0, 1.0))


def in_bytes(sound: Mono) -> Mono:
    """Return sound rounded to 8 bits at full scale."""
    return (np.round(with_peak(sound, 1.0) * (BYTE_STEPS - 1)) / BYTE_STEPS).astype(np.float32)


def faint(sound: Mono, decibel: float) -> Mono:
    """Return sound whose peak is at `decibel` dBFS, rounded to 16 bits."""
    return in_sixteen_bits(with_peak(sound, 10 ** (decibel / 20)))


def in_sixteen_bits(sound: Mono) -> Mono:
    """Return sound rounded to 16 bits, at the level that it has."""
    return (np.round(sound * SHORT_STEPS) / SHORT_STEPS).astype(np.float32)


def coded(sound: Mono, codec: str, container: str, rate: int) -> Mono:
    """Return sound after an encoder of FFmpeg's at `rate` bits a second and its decoder, without their delay."""
    file = io.BytesIO()
    samples = np.round(np.clip(sound, -1.0, 1.0) * 32767.0).astype(np.int16)
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=SAMPLE_RATE, layout="mono", bit_rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    file.seek(0)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(file) as container_in:
        frames = [one for frame in container_in.decode(audio=0) for one in resampler.resample(frame)]
    frames += resampler.resample(None)
    decoded = np.concatenate([one.to_ndarray().reshape(-1) for one in frames])
    return _fitted(decoded[_delay(decoded, sound) :], len(sound))


def _delay(late: Mono, sound: Mono) -> int:
    """Return how many samples, up to MAX_DELAY, one sound lags behind another that it resembles."""
    size = 1 << (len(late) + len(sound)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(sound, size)), size)
    return int(alike[:MAX_DELAY].argmax())


def _fitted(sound: NDArray[np.floating], length: int) -> Mono:
    return np.pad(sound, (0, max(0, length - len(sound))))[:length].astype(np.float32)


def _high_pass(pitch: Real, hertz: float) -> Response:
    """Return the response of Butterworth's high-pass filter of the second order."""
    place = np.asarray(1j * pitch / hertz, np.complex128)
    return place**2 / (place**2 + math.sqrt(2.0) * place + 1)


def _low_pass(pitch: Real, hertz: float) -> Response:
    place = np.asarray(1j * pitch / hertz, np.complex128)
    return 1 / (place**2 + math.sqrt(2.0) * place + 1)


def _peak(pitch: Real, hertz: float, quality: float, decibel: float) -> Response:
    """Return the response of a peaking filter before its bilinear transform."""
    place = np.asarray(1j * pitch / hertz, np.complex128)
    height = 10 ** (decibel / 40)
    return (place**2 + place * height / quality + 1) / (place**2 + place / (height * quality) + 1)


def _pass_music(sound: Mono, dice: Dice, around: Surroundings) -> Mono:
    other = overlaid(around.music, len(sound), dice) if around.music else np.zeros_like(sound)
    return over(sound, other, dice.uniform(*UNDERNEATH))


def _pass_babble(sound: Mono, dice: Dice, around: Surroundings) -> Mono:
    other = overlaid(around.babble, len(sound), dice, voices=6) if around.babble else np.zeros_like(sound)
    return over(sound, other, dice.uniform(*UNDERNEATH))


def _pass_codec(sound: Mono, dice: Dice, _around: Surroundings) -> Mono:
    codec, container, rate = CODECS[int(dice.integers(len(CODECS)))]
    return coded(with_peak(sound), codec, container, rate)


CHAIN = (  # in the order in which sound meets them
    Link(0.15, lambda sound, dice, _: small_loudspeaker(sound, dice)),
    Link(0.4, lambda sound, dice, _: in_a_room(sound, room(int(dice.integers(ROOMS))))),
    Link(0.2, _pass_music),
    Link(0.15, _pass_babble),
    Link(0.15, lambda sound, dice, _: automatic_gain(sound, dice.uniform(0.005, 0.05), dice.uniform(0.1, 0.6))),
    Link(0.3, lambda sound, dice, _: clipped(sound, dice.uniform(*CLIPPING), soft=dice.random() < 0.3)),
    Link(0.07, lambda sound, dice, _: in_bytes(sound)),
    Link(0.1, lambda sound, dice, _: telephone(sound)),
    Link(0.08, lambda sound, dice, _: narrow(sound)),
    Link(0.2, _pass_codec),
)
