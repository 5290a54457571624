"""Sounds that mean no thing: noises, hums, fans, tones, sweeps, clicks, singing, handling, crowds.

They teach the encoder what is none of the things it knows. Each is a function of a random generator, built of
`clavilux.training.lumia.data.synthesis.blocks`; the seeds of the test are its own.
"""

import zlib
from collections.abc import Iterator

import numpy as np

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import LabelledClip, Origin, Split, tidy
from clavilux.training.lumia.data.synthesis.blocks import (
    TOP,
    Dice,
    Kind,
    Sound,
    add,
    band,
    convolved,
    curve,
    decay,
    formants,
    harmonics,
    impulses,
    knock,
    length,
    level,
    noise,
    octave,
    phase,
    ratio,
    room,
    soft,
    swell,
    tone,
    voice,
    wander,
)

SECONDS = 2.5
TEST_SHARE = 10  # one take in the test for so many in training
VOWELS = (
    (730, 1_090, 2_440, 3_400),
    (270, 2_290, 3_010, 3_500),
    (300, 870, 2_240, 3_300),
    (530, 1_840, 2_480, 3_400),
    (570, 840, 2_410, 3_300),
)  # a i u e o (Peterson and Barney 1952, men)


def _whole(dice: Dice) -> int:
    """Return how many samples a sound that goes on lasts."""
    return length(dice.uniform(0.6, 1.0) * SECONDS)


def _steady(dice: Dice, n: int) -> Sound:
    """Return a level [n] that is steady, swells, or comes and goes."""
    sort = int(dice.integers(3))
    if sort == 0:
        return swell(n, 0.01, 0.01)
    if sort == 1:
        return curve(n, *dice.uniform(0.05, 1.0, 4))
    return 0.2 + (tone(ratio(dice, 0.7, 6), n, dice.random()) > dice.uniform(-0.5, 0.5)).astype(float)


def white(dice: Dice) -> Sound:
    """White noise."""
    n = _whole(dice)
    return noise(dice, n) * _steady(dice, n)


def pink(dice: Dice) -> Sound:
    """Pink noise and its neighbours, amplitude 1/f^0.3 to 1/f^0.7."""
    n = _whole(dice)
    return noise(dice, n, dice.uniform(0.3, 0.7)) * _steady(dice, n)


def brown(dice: Dice) -> Sound:
    """Brown noise, amplitude 1/f^0.8 to 1/f^1.3."""
    n = _whole(dice)
    return noise(dice, n, dice.uniform(0.8, 1.3)) * _steady(dice, n)


def banded(dice: Dice) -> Sound:
    """Bands of noise, one to three, a tenth to three octaves wide, that may glide."""
    n = _whole(dice)
    total = np.zeros(n)
    for _ in range(int(dice.integers(1, 4))):
        low = ratio(dice, 80, 5_000)
        total += level(band(noise(dice, n), low, min(TOP, low * ratio(dice, 1.07, 8)), 3)) * _steady(dice, n)
    return total


def hiss(dice: Dice) -> Sound:
    """Hiss of tape and gas: noise above 1 to 4 kHz."""
    n = _whole(dice)
    return band(noise(dice, n), ratio(dice, 1_000, 4_000), 7_950, 2) * (1 + 0.1 * wander(dice, n, 5))


def hum(dice: Dice) -> Sound:
    """Hum of the mains: 50 or 60 Hz and harmonics with strengths of their own, through a bad contact or a speaker."""
    n = _whole(dice)
    turn = 2 * np.pi * phase(float(dice.choice([50, 60])) * (1 + 0.0005 * wander(dice, n, 1)), n)
    strengths = dice.exponential(1.0, 30) / np.arange(1, 31) ** dice.uniform(0.3, 1.6)
    total = np.sum([strengths[k] * np.sin((k + 1) * turn + dice.uniform(0, 6.3)) for k in range(30)], axis=0)
    crackle = impulses(dice, n, ratio(dice, 1, 60), 2) * dice.choice([0, 0, 0.3])
    result: Sound = level(total) + ratio(dice, 0.001, 0.1) * noise(dice, n, dice.uniform(0, 1)) + crackle
    return result


def fan(dice: Dice) -> Sound:
    """Fan: broad noise of the air, tones of blades and motor, a slow beat."""
    n = _whole(dice)
    air = formants(noise(dice, n, dice.uniform(0.2, 0.7)), [ratio(dice, 150, 700), ratio(dice, 900, 3_000)], 1.5)
    blades = level(harmonics(np.full(n, ratio(dice, 25, 300)) * curve(n, 1.0, dice.uniform(0.95, 1.05)), 6))
    beating = 1 + dice.uniform(0, 0.2) * tone(ratio(dice, 0.5, 8), n)
    return (level(air) + ratio(dice, 0.01, 0.4) * blades) * beating


def pure(dice: Dice) -> Sound:
    """Tones: one sine or more, of 80 Hz to 7 kHz, steady, pulsed, trembling or beating."""
    n = _whole(dice)
    total = np.zeros(n)
    for _ in range(int(dice.choice([1, 1, 1, 2, 3, 5]))):
        trembling = 1 + dice.choice([0, 0, 0.01]) * tone(ratio(dice, 3, 8), n)
        total += ratio(dice, 0.2, 1) * tone(ratio(dice, 80, 7_000) * trembling, n, dice.random())
    return total * _steady(dice, n)


def rich(dice: Dice) -> Sound:
    """Tones with harmonics: saw teeth, squares, filtered, of 40 to 1500 Hz, one or a chord."""
    n = _whole(dice)
    base, tilt = ratio(dice, 40, 1_500), dice.uniform(4, 15)
    steps = dice.choice([1, 1.25, 1.333, 1.5, 2], int(dice.choice([1, 1, 2, 3])))
    total = np.sum(
        [harmonics(np.full(n, min(3_000.0, base * step)), tilt, bool(dice.integers(2))) for step in steps], axis=0
    )
    return formants(
        level(total), [np.exp(curve(n, *np.log(dice.uniform(300, 5_000, 3))))], ratio(dice, 1, 8)
    ) * _steady(dice, n)


def sweep(dice: Dice) -> Sound:
    """Sweeps: a sine or a filtered noise that glides over one to six octaves, once."""
    n = _whole(dice)
    ends = np.log([ratio(dice, 60, 7_000), ratio(dice, 60, 7_000)])
    pitch = np.exp(np.linspace(ends[0], ends[1], n))
    if dice.random() < 0.3:
        return formants(noise(dice, n), [pitch], ratio(dice, 3, 20)) * swell(n, 0.02, 0.05)
    result: Sound = (tone(pitch, n) + dice.choice([0, 0.3]) * octave(pitch)) * swell(n, 0.02, 0.05)
    return result


def click(dice: Dice) -> Sound:
    """Clicks: single samples and short bursts at random times or in a row that is too fast or too slow for a clock."""
    n = length(SECONDS)
    m = length(ratio(dice, 0.002, 0.012))
    grain = level(band(noise(dice, m), ratio(dice, 50, 2_000), ratio(dice, 2_500, 7_900), 1) * decay(m, 0.01))
    if dice.random() < 0.6:
        clicks = impulses(dice, n, ratio(dice, 1, 40))
        clicks[int(dice.integers(n // 2))] = 1.0  # at least one
        return convolved(clicks, grain)[:n]
    turn = np.floor(phase(ratio(dice, 13, 60) * curve(n, *dice.uniform(0.6, 1.6, 3)), n))
    return convolved(np.diff(turn, prepend=0.0), grain)[:n]


def sung(dice: Dice, n: int, pitch: float, tract: float) -> Sound:
    """Return a sung note [n]: a vowel that is held or glides into another, with vibrato (Sundberg 1987)."""
    first, last = (np.array(VOWELS[int(dice.integers(len(VOWELS)))]) * 17 / tract for _ in range(2))
    moving = curve(n, 0, float(dice.integers(2)))
    tracks = [one + (other - one) * moving for one, other in zip(first, last, strict=True)]
    vibrato = curve(n, 0.2, 1.0) * dice.uniform(0, 0.025) * tone(ratio(dice, 4.5, 7), n, dice.random())
    sound = voice(
        dice, pitch * (1 + vibrato), tracks, tilt=dice.uniform(6, 10), breath=ratio(dice, 0.01, 0.1), jitter=0.002
    )
    return level(sound) * swell(n, 0.05, 0.12)


def singing(dice: Dice) -> Sound:
    """Singing on vowels: one to six notes of a scale, some of them glided to."""
    tract = ratio(dice, 12, 18)
    tonic, count = ratio(dice, 95, 260) * 17 / tract, int(dice.choice([1, 1, 2, 3, 4, 6]))
    total = np.zeros(length(SECONDS))
    for i in range(count):
        pitch = tonic * 2 ** (float(dice.choice([0, 2, 4, 5, 7, 9, 12])) / 12)
        add(total, sung(dice, length(SECONDS / count * dice.uniform(0.8, 1.1)), pitch, tract), i * SECONDS / count)
    return room(dice, total, ratio(dice, 0.2, 2.0), ratio(dice, 0.02, 0.4))


def choir(dice: Dice) -> Sound:
    """Choir: four to ten voices on a chord, none quite together (Ternström 1989), in a hall."""
    total = np.zeros(length(SECONDS))
    tonic = ratio(dice, 95, 240)
    steps = [(0, 7, 12, 16), (0, 7, 12, 15), (0, 0, 12, 12), (0, 5, 12, 17)][int(dice.integers(4))]
    changes = int(dice.choice([1, 1, 2, 3]))
    for i in range(changes):
        for singer in range(int(dice.integers(4, 11))):
            pitch = tonic * 2 ** ((steps[singer % 4] + 2 * i) / 12) * (1 + 0.006 * dice.normal())
            note = sung(dice, length(SECONDS / changes), pitch, ratio(dice, 13, 18))
            add(total, note, max(0.0, i * SECONDS / changes + dice.normal(0, 0.03)), ratio(dice, 0.4, 1))
    return room(dice, total, ratio(dice, 0.5, 3.0), ratio(dice, 0.1, 0.6))


def handling(dice: Dice) -> Sound:
    """Handling of a microphone: thumps, rubbing, bumps, blown air."""
    n = length(SECONDS)
    rubbed = np.maximum(0, wander(dice, n, ratio(dice, 2, 12))) ** 2
    total = level(band(noise(dice, n, 0.6), 60, ratio(dice, 600, 5_000), 1) * rubbed)
    for at in dice.uniform(0, 2.4, int(dice.integers(0, 7))):
        add(
            total,
            level(knock(dice, length(0.2), ratio(dice, 40, 500), ratio(dice, 0.02, 0.12))),
            float(at),
            ratio(dice, 0.2, 1.5),
        )
    if dice.random() < 0.3:
        blown = soft(band(noise(dice, n, 0.9), 20, 300, 1) * np.maximum(0, wander(dice, n, 2)), 4)
        total += ratio(dice, 0.3, 1.5) * blown
    return total


def crowd(dice: Dice) -> Sound:
    """Murmur of a crowd: six to thirty people who speak vowels and consonants that say nothing."""
    total = np.zeros(length(SECONDS))
    for _ in range(int(ratio(dice, 6, 30))):
        tract, at, gain = ratio(dice, 13, 18), dice.uniform(-0.3, 0.3), ratio(dice, 0.15, 1)
        pitch = ratio(dice, 95, 170) * (17 / tract) ** 2
        while at < 2.4:
            n = length(ratio(dice, 0.08, 0.3))
            vowel = [one * 17 / tract * ratio(dice, 0.9, 1.1) for one in VOWELS[int(dice.integers(len(VOWELS)))]]
            spoken = formants(level(harmonics(pitch * ratio(dice, 0.85, 1.2) * curve(n, 1.05, 0.95), 9)), vowel[:3], 8)
            add(total, level(spoken) * swell(n, 0.03, 0.05), at, gain)
            if dice.random() < 0.4:
                m = length(ratio(dice, 0.03, 0.1))
                add(
                    total,
                    level(band(noise(dice, m), 2_000, 7_000)) * swell(m, 0.01, 0.02),
                    at + n / SAMPLE_RATE,
                    0.2 * gain,
                )
            at += n / SAMPLE_RATE + (ratio(dice, 0.01, 0.1) if dice.random() < 0.85 else ratio(dice, 0.2, 1.0))
    return room(dice, total, ratio(dice, 0.3, 2.0), ratio(dice, 0.1, 1.0))


NOISES: dict[str, tuple[Kind, int]] = {
    "noise/white": (white, 60),
    "noise/pink": (pink, 80),
    "noise/brown": (brown, 80),
    "noise/band": (banded, 120),
    "noise/hiss": (hiss, 50),
    "noise/hum": (hum, 130),
    "noise/fan": (fan, 110),
    "noise/click": (click, 90),
    "noise/handling": (handling, 100),
    "noise/crowd": (crowd, 100),
    "tone/pure": (pure, 110),
    "tone/rich": (rich, 110),
    "tone/sweep": (sweep, 130),
    "singing/solo": (singing, 130),
    "singing/choir": (choir, 60),
}  # by voice: the function and how many takes are trained on


def take(name: str, number: int, seed: int, split: Split) -> LabelledClip:
    """Return one take: [n] at SAMPLE_RATE, at most SECONDS long, with label ""."""
    dice = np.random.default_rng([seed, zlib.crc32(f"{split} {name}".encode()), number])
    sound = NOISES[name][0](dice).astype(np.float32)
    return LabelledClip(tidy(sound, SAMPLE_RATE, SECONDS), "", Origin(name, "synthesised", "Apache-2.0"))


def noises(seed: int, split: Split) -> Iterator[LabelledClip]:
    """Yield all takes of one side of the split."""
    for name, (_, count) in NOISES.items():
        for number in range(count if split == "train" else count // TEST_SHARE):
            yield take(name, number, seed, split)
