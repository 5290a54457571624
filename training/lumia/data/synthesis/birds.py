"""Voices of birds and of small animals: whistled contours, buzzes through a beak, pulses of a wing or a throat."""

import numpy as np

from clavilux.training.lumia.data.synthesis.blocks import (
    Dice,
    Sound,
    add,
    band,
    curve,
    decay,
    formants,
    harmonics,
    in_turn,
    length,
    level,
    noise,
    octave,
    phase,
    pick,
    ratio,
    repeated,
    room,
    soft,
    swell,
    tone,
    voice,
    wander,
)

Call = tuple[float, float, tuple[float, ...]]  # seconds, gap after it, pitches relative to the first


def rooster(dice: Dice) -> Sound:
    """Crow of a rooster: four notes, the third the highest, the last long and falling (Shimmura 2015: 400-1000 Hz)."""
    pitch, speed = ratio(dice, 330, 950), ratio(dice, 0.75, 1.2)
    rough, tracks = dice.uniform(0, 0.5), [ratio(dice, 1_100, 1_900), ratio(dice, 2_200, 3_200), 4_500]
    notes: tuple[Call, ...] = (
        (0.18, 0.05, (0.75, 0.9, 0.8)),
        (0.14, 0.04, (0.8, 1.0, 0.9)),
        (0.32, 0.02, (0.9, 1.25, 1.2)),
        (ratio(dice, 0.5, 1.2), 0.0, (1.2, 1.15, 1.0, 0.6)),
    )
    start = int(dice.choice([0, 0, 0, 1]))

    def one(note: Call) -> Sound:
        n = length(note[0] * speed * ratio(dice, 0.85, 1.15))
        contour = pitch * curve(n, *note[2]) * ratio(dice, 0.95, 1.05)
        sound = voice(dice, contour, tracks, tilt=dice.uniform(2, 6), rough=rough, breath=0.08, jitter=0.01)
        return level(sound) * swell(n, 0.02, 0.05)

    return in_turn([one(note) for note in notes[start:]], [note[1] * speed for note in notes[start:]])


def chicken(dice: Dice) -> Sound:
    """Clucks: short falling buzzes, now and then a long cackle (Collias 1987); one hen or a yard."""
    total = np.zeros(length(2.5))
    for _ in range(int(dice.choice([1, 1, 2, 3]))):
        pitch, seconds, period = ratio(dice, 280, 900), ratio(dice, 0.04, 0.14), ratio(dice, 0.14, 0.55)
        tracks = [ratio(dice, 900, 1_500), ratio(dice, 2_000, 2_900), ratio(dice, 3_300, 4_500)]
        gain, at, rough = ratio(dice, 0.4, 1.0), dice.uniform(0, 0.2), dice.uniform(0.1, 0.6)
        while at < 2.4:
            long = dice.random() < 0.15
            n = length(ratio(dice, 0.25, 0.6) if long else seconds * ratio(dice, 0.7, 1.4))
            contour = (
                pitch * (curve(n, 0.9, 1.3, 1.7, 1.4) if long else curve(n, 1.15, 1.0, 0.7)) * ratio(dice, 0.9, 1.1)
            )
            cluck = voice(dice, contour, tracks, tilt=dice.uniform(2, 7), rough=rough, breath=0.2)
            add(total, level(cluck) * swell(n, 0.008, 0.04), at, gain * ratio(dice, 0.5, 1.2))
            at += n / 16_000 + period * ratio(dice, 0.6, 1.7)
    return total


def duck(dice: Dice) -> Sound:
    """Quacks: a buzz of 140 to 350 Hz with strong formants, each shorter and softer (Abraham 1974)."""
    pitch, seconds = ratio(dice, 140, 350), ratio(dice, 0.09, 0.3)
    low = ratio(dice, 900, 1_700)
    tracks, rough = [low, low * ratio(dice, 1.5, 2.0), ratio(dice, 3_000, 4_200)], dice.uniform(0, 0.7)

    def one(i: int) -> Sound:
        n = length(seconds * 0.93**i * ratio(dice, 0.85, 1.2))
        contour = pitch * curve(n, 0.95, 1.05, 0.85)
        opened = [one * curve(n, 0.75, 1.05, 0.85) for one in tracks]
        sound = voice(dice, contour, opened, tilt=dice.uniform(-1, 4), rough=rough, breath=ratio(dice, 0.05, 0.5), q=7)
        return level(sound) * swell(n, 0.015, 0.06) * 0.9**i

    return repeated(dice, one, int(dice.integers(2, 9)), (0.04, 0.25))


def goose(dice: Dice) -> Sound:
    """Honks: 300 to 900 Hz with a break upwards, louder and longer than quacks (Whitford 1998)."""
    pitch, jump = ratio(dice, 280, 650), ratio(dice, 1.2, 1.8)
    tracks, rough = [ratio(dice, 900, 1_500), ratio(dice, 1_900, 2_700), 3_900], dice.uniform(0, 0.6)

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.15, 0.5))
        contour = pitch * curve(n, 0.9, 1.0, jump, jump, 0.9) * ratio(dice, 0.92, 1.08)
        sound = voice(dice, contour, tracks, tilt=dice.uniform(0, 4), rough=rough, breath=0.15, q=6)
        return level(sound) * swell(n, 0.02, 0.08)

    return repeated(dice, one, int(dice.integers(1, 6)), (0.06, 0.5))


def turkey(dice: Dice) -> Sound:
    """Gobble: a burst of 15 to 25 pulses a second that sweep 400 to 1300 Hz (Dalke 1946)."""

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.6, 1.2))
        shake = tone(ratio(dice, 11, 24) * curve(n, 0.9, 1.1, 0.8), n)
        contour = ratio(dice, 450, 800) * curve(n, 0.8, 1.15, 0.8) * (1 + 0.35 * shake)
        sound = voice(dice, contour, [1_100, 2_100, 3_400], tilt=5, rough=dice.uniform(0.1, 0.6), breath=0.1)
        return sound * swell(n, 0.03, 0.1) * (1 + 0.8 * shake)

    return repeated(dice, one, int(dice.integers(1, 3)), (0.1, 0.5))


def crow(dice: Dice) -> Sound:
    """Caws: 300 to 700 Hz, rough and noisy, two to five in a row (Chamberlain and Cornwell 1971)."""
    pitch, seconds = ratio(dice, 280, 720), ratio(dice, 0.15, 0.5)
    tracks, rough = [ratio(dice, 1_100, 1_800), ratio(dice, 1_900, 2_700), 4_000], dice.uniform(0.4, 1.2)
    breath = ratio(dice, 0.2, 1.2)

    def one(_: int) -> Sound:
        n = length(seconds * ratio(dice, 0.85, 1.15))
        contour = pitch * curve(n, 0.85, 1.05, 1.0, 0.8)
        opened = [one * curve(n, 0.85, 1.0, 0.9) for one in tracks]
        sound = voice(dice, contour, opened, tilt=dice.uniform(0, 5), rough=rough, breath=breath, q=5)
        return soft(sound * swell(n, 0.03, 0.08), 2)

    return repeated(dice, one, int(dice.integers(1, 6)), (0.08, 0.5))


def hoot(dice: Dice) -> Sound:
    """Hoots of an owl: soft, nearly pure notes of 220 to 750 Hz in a rhythm, or one that quavers (Galeotti 1998)."""
    pitch, seconds = ratio(dice, 220, 750), ratio(dice, 0.12, 0.7)
    quaver = dice.random() < 0.35

    def one(_: int) -> Sound:
        n = length(seconds * ratio(dice, 0.6, 1.5))
        contour = pitch * curve(n, 0.94, 1.0, 1.02, 0.93)
        sound = tone(contour, n) + ratio(dice, 0.02, 0.25) * tone(2 * contour, n) + 0.05 * tone(3 * contour, n)
        sound *= swell(n, 0.05, 0.1) * (1 + 0.7 * quaver * tone(ratio(dice, 9, 17), n))
        return sound + 0.02 * band(noise(dice, n), 150, 1_500) * swell(n, 0.05, 0.1)

    calls = repeated(dice, one, int(dice.integers(1, 7)), (0.05, 0.5))
    return room(dice, calls, ratio(dice, 0.3, 1.8), ratio(dice, 0.03, 0.4))


def screech(dice: Dice) -> Sound:
    """Screech of a barn owl: a hissing scream of 1 to 2 s."""
    n = length(ratio(dice, 0.6, 1.8))
    sound = voice(
        dice, ratio(dice, 700, 1_600) * curve(n, 0.9, 1.1, 1.0), [2_000, 3_400, 5_000], tilt=2, rough=1.0, breath=2
    )
    return sound * swell(n, 0.1, 0.15)


def owl(dice: Dice) -> Sound:
    """Owl: hoots mostly, screeches."""
    return pick(dice, (hoot, screech), (8, 1))


def dove(dice: Dice) -> Sound:
    """Coo: soft notes of 300 to 650 Hz, some with a trill of 20 to 35 Hz (Slabbekoorn 1999)."""
    pitch, trill = ratio(dice, 300, 650), ratio(dice, 18, 36)
    shape = [(ratio(dice, 0.12, 0.7), dice.random() < 0.4) for _ in range(int(dice.integers(1, 4)))]

    def one(i: int) -> Sound:
        seconds, trilled = shape[i % len(shape)]
        n = length(seconds)
        contour = pitch * curve(n, 0.85, 1.05, 1.0, 0.85)
        sound = tone(contour, n) + 0.12 * tone(2 * contour, n) + 0.05 * band(noise(dice, n), 200, 1_200)
        return sound * swell(n, 0.06, 0.1) * (1 + 0.8 * trilled * tone(trill, n))

    return repeated(dice, one, int(dice.integers(2, 7)), (0.05, 0.3))


def syllable(dice: Dice, pitch: float, seconds: float, shape: tuple[float, ...]) -> Sound:
    """Return one whistled note: a sine over a contour, with a little of its octave (Gardner 2001)."""
    n = length(seconds)
    contour = np.clip(pitch * curve(n, *shape), 400, 7_500)
    whistle = tone(contour, n) + ratio(dice, 0.01, 0.2) * octave(contour)
    return whistle * swell(n, 0.2 * seconds, 0.35 * seconds)


def song(dice: Dice) -> Sound:
    """Song of a small bird: phrases of repeated whistled syllables, chirps, trills and warbles of 1.5 to 7 kHz."""
    parts, total = [], 0.0
    while total < dice.uniform(1.0, 2.3):
        pitch, seconds = ratio(dice, 1_600, 6_000), ratio(dice, 0.02, 0.3)
        shape = tuple(np.exp(dice.normal(0, dice.choice([0.05, 0.15, 0.35]), int(dice.integers(2, 6)))))
        gap = seconds * ratio(dice, 0.1, 1.5)
        for _ in range(int(np.clip(dice.exponential(0.5) / seconds, 1, 14))):
            parts.append((syllable(dice, pitch, seconds, shape) * ratio(dice, 0.7, 1.0), gap))
            total += seconds + gap
        parts.append((np.zeros(1), ratio(dice, 0.02, 0.3)))
    return in_turn(*zip(*parts, strict=True))


def chirps(dice: Dice) -> Sound:
    """Chirps of sparrows and the like: short hooks of 2 to 6 kHz at irregular times, of one bird or many."""
    total = np.zeros(length(2.5))
    for _ in range(int(dice.choice([1, 1, 2, 4, 8]))):
        pitch, seconds, period = ratio(dice, 1_800, 5_500), ratio(dice, 0.03, 0.15), ratio(dice, 0.12, 0.8)
        shape, at, gain = tuple(dice.uniform(0.7, 1.35, 3)), dice.uniform(0, 0.5), ratio(dice, 0.2, 1.0)
        while at < 2.4:
            add(total, syllable(dice, pitch * ratio(dice, 0.95, 1.05), seconds, shape), at, gain * ratio(dice, 0.6, 1))
            at += seconds + period * ratio(dice, 0.6, 1.6)
    return total


def warble(dice: Dice) -> Sound:
    """Warble of a blackbird or lark: one voice that glides on and on, 1.2 to 5 kHz."""
    n = length(dice.uniform(1.0, 2.5))
    rate, reach = ratio(dice, 4, 22), dice.uniform(0.1, 0.45)
    contour = np.clip(ratio(dice, 1_400, 4_200) * np.exp(reach * wander(dice, n, rate)), 700, 7_400)
    spoken = np.clip(0.5 + wander(dice, n, rate), 0, 1.2)
    return (tone(contour, n) + 0.1 * octave(contour)) * spoken * swell(n, 0.02, 0.1)


def cuckoo(dice: Dice) -> Sound:
    """Cuckoo: two flute-like notes, a third or so apart, of 450 to 800 Hz."""
    pitch, step = ratio(dice, 520, 800), ratio(dice, 1.15, 1.35)
    first, second = ratio(dice, 0.1, 0.2), ratio(dice, 0.15, 0.35)

    def one(i: int) -> Sound:
        n = length(second if i % 2 else first)
        contour = pitch / (step if i % 2 else 1.0) * curve(n, 1.0, 1.01, 0.97)
        note = (tone(contour, n) + 0.15 * tone(2 * contour, n)) * swell(n, 0.025, 0.08)
        return np.pad(note, (0, length(0.5 if i % 2 else 0.06)))

    return repeated(dice, one, 2 * int(dice.integers(1, 4)), (0.01, 0.1))


def gull(dice: Dice) -> Sound:
    """Cries of a gull: mewing arches of 700 to 1800 Hz with many partials, laughed in rows (Tinbergen 1953)."""
    pitch, seconds = ratio(dice, 600, 1_500), ratio(dice, 0.1, 0.6)

    def one(_: int) -> Sound:
        n = length(seconds * ratio(dice, 0.8, 1.3))
        contour = pitch * curve(n, 0.8, 1.25, 1.1, 0.75)
        return voice(dice, contour, [1_700, 2_900, 4_300], tilt=4, rough=dice.uniform(0, 0.4), breath=0.08) * swell(
            n, 0.02, 0.08
        )

    return repeated(dice, one, int(dice.integers(2, 9)), (0.04, 0.35))


def bird(dice: Dice) -> Sound:
    """Bird: songs, chirps, warbles, a cuckoo, gulls."""
    return pick(dice, (song, chirps, warble, cuckoo, gull), (4, 3, 2, 2, 2))


def frog(dice: Dice) -> Sound:
    """Frog: croaks of 15 to 120 pulses a second with two broad peaks, or piping (Gerhardt and Huber 2002)."""
    low, rate = ratio(dice, 300, 1_300), ratio(dice, 14, 120)
    seconds, two = ratio(dice, 0.1, 0.9), dice.random() < 0.4

    def croak(i: int) -> Sound:
        n = length(seconds * (0.5 if two and i % 2 == 0 else 1.0))
        rising = 1.25 if two and i % 2 else 1.0
        turn = phase(rate * rising * (1 + 0.03 * wander(dice, n, 20)), n) % 1.0
        pulses = np.exp(-turn * dice.uniform(2, 9))
        body = band(noise(dice, n), low, 3 * low) + 2 * tone(low * rising * curve(n, 0.95, 1.05), n)
        sound = formants(pulses * body, [low * rising, low * ratio(dice, 2.0, 2.6) * rising], 5)
        return level(sound) * swell(n, 0.15 * n / 16_000, 0.2 * n / 16_000)

    def pipe(_: int) -> Sound:
        n = length(0.35 * seconds)
        return tone(3 * low * curve(n, 0.95, 1.05), n) * swell(n, 0.02, 0.05)

    call = pipe if dice.random() < 0.15 else croak
    return repeated(dice, call, int(np.clip(1.6 / seconds, 1, 7)), (0.03, 0.4))


def cricket(dice: Dice) -> Sound:
    """Cricket: chirps of a few pure pulses of 2.5 to 6.5 kHz (Bennet-Clark 1989), or a rattle of noise."""
    total = np.zeros(length(2.5))
    for _ in range(int(dice.choice([1, 1, 2, 3]))):
        pitch, rate, pulses = ratio(dice, 2_500, 6_500), ratio(dice, 15, 60), int(dice.integers(2, 9))
        period, at, gain = pulses / rate * ratio(dice, 1.0, 4.0), dice.uniform(0, 0.3), ratio(dice, 0.2, 1)
        rattle = dice.random() < 0.35
        n = length(dice.uniform(0.4, 0.9) / rate)
        while at < 2.5:
            for i in range(pulses):
                pulse = band(noise(dice, n), pitch, 7_800) if rattle else tone(pitch * curve(n, 1.02, 0.98), n)
                add(total, level(pulse) * swell(n, 0.3 / rate, 0.3 / rate), at + i / rate, gain * min(1, 0.5 + 0.2 * i))
            at += period * ratio(dice, 0.95, 1.05)
    return total


def buzz(dice: Dice, low: float, high: float, tilt: tuple[float, float]) -> Sound:
    """Wing beat of an insect: a harmonic series that wanders, comes near and goes by (Bennet-Clark 1998)."""
    n = length(dice.uniform(1.0, 2.5))
    near = np.exp(ratio(dice, 0.2, 1.3) * wander(dice, n, ratio(dice, 0.8, 4)))
    contour = ratio(dice, low, high) * (1 + 0.04 * wander(dice, n, 3) + 0.01 * wander(dice, n, 30))
    sound = level(harmonics(contour, dice.uniform(*tilt))) + 0.05 * noise(dice, n)
    return formants(sound, [ratio(dice, 400, 1_500), ratio(dice, 2_000, 4_000)], 2) * near * swell(n, 0.1, 0.15)


def bee(dice: Dice) -> Sound:
    """Bee: 130 to 300 Hz, one or a swarm."""
    bees = [buzz(dice, 130, 300, (1, 7)) for _ in range(int(dice.choice([1, 1, 2, 5])))]
    total = np.zeros(length(2.5))
    for one in bees:
        add(total, level(one), dice.uniform(0, 0.1), ratio(dice, 0.3, 1.0))
    return total


def mosquito(dice: Dice) -> Sound:
    """Mosquito: 350 to 900 Hz, thin."""
    return band(buzz(dice, 350, 900, (3, 9)), 300, 8_000)


def snake(dice: Dice) -> Sound:
    """Snake: a long hiss, or a rattle of 30 to 90 clicks a second (Fenton and Licht 1990)."""
    n = length(dice.uniform(0.8, 2.5))
    sound = band(noise(dice, n), ratio(dice, 2_000, 4_500), 7_900)
    if dice.random() < 0.5:
        turn = phase(ratio(dice, 30, 90) * curve(n, 0.8, 1.1, 1.0), n) % 1.0
        return sound * np.exp(-turn * dice.uniform(3, 8)) * dice.uniform(0.7, 1.3, n) * swell(n, 0.2, 0.2)
    return sound * swell(n, 0.15, 0.5) * np.exp(0.15 * wander(dice, n, 8)) * decay(n, 12)


KINDS = {
    "rooster": rooster,
    "chicken": chicken,
    "duck": duck,
    "goose": goose,
    "turkey": turkey,
    "crow": crow,
    "owl": owl,
    "dove": dove,
    "bird": bird,
    "frog": frog,
    "cricket": cricket,
    "bee": bee,
    "mosquito": mosquito,
    "snake": snake,
}
