"""Voices of mammals, people among them, by the source-filter model (Fant 1960): a pitch contour, roughness, a tube.

Pitches, durations and lengths of vocal tracts are those of the bioacoustics that each docstring names, widened.
"""

import numpy as np

from clavilux.training.lumia.data.synthesis.blocks import (
    Dice,
    Sound,
    Track,
    add,
    band,
    curve,
    decay,
    formants,
    harmonics,
    knock,
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
    tube,
    voice,
    wander,
)

TOP_SQUEAK = 7_200.0  # Hz


def bark(dice: Dice) -> Sound:
    """Barks of a dog: short rough arches of pitch (Yeon 2007; Riede and Fitch 1999 for tracts of 9 to 25 cm)."""
    size = ratio(dice, 9, 25)
    pitch = 5_500 / size * ratio(dice, 0.55, 1.7)
    seconds, rough = ratio(dice, 0.07, 0.3), dice.uniform(0.1, 0.9)
    opened = np.array(tube(size))

    def one(_: int) -> Sound:
        n = length(seconds * ratio(dice, 0.8, 1.25))
        contour = curve(n, 0.65, *dice.uniform(0.95, 1.15, 2), 0.55) * pitch * ratio(dice, 0.93, 1.07)
        tracks = [curve(n, 0.75 * one, one, 0.8 * one) for one in opened]
        sound = voice(dice, contour, tracks, tilt=dice.uniform(3, 8), rough=rough, breath=ratio(dice, 0.05, 0.8))
        return soft(sound * swell(n, 0.012, 0.6 * n / 16_000), dice.uniform(1, 4))

    return repeated(dice, one, int(dice.integers(1, 6)), (0.08, 0.6))


def howl(dice: Dice) -> Sound:
    """Howl of a dog or wolf: a long, smooth, tonal contour (Theberge and Falls 1967: 150 to 780 Hz and above)."""
    n = length(dice.uniform(1.3, 2.5))
    pitch = ratio(dice, 230, 750)
    contour = pitch * curve(n, 0.6, *dice.uniform(0.85, 1.15, int(dice.integers(2, 5))), dice.uniform(0.5, 0.9))
    tracks = [ratio(dice, 0.9, 1.3) * pitch + 100, *(ratio(dice, 0.9, 1.1) * one for one in (1_400, 2_600, 3_800))]
    sound = voice(dice, contour, tracks, tilt=dice.uniform(9, 16), breath=ratio(dice, 0.01, 0.1), jitter=0.004)
    return sound * swell(n, dice.uniform(0.1, 0.4), dice.uniform(0.2, 0.7))


def whimper(dice: Dice) -> Sound:
    """Whimpers of a dog: thin, high, falling calls through a closed mouth (Cohen and Fox 1976)."""
    pitch = ratio(dice, 700, 2_200)

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.1, 0.45))
        contour = pitch * curve(n, 0.85, 1.1, ratio(dice, 0.6, 0.95))
        sound = voice(dice, contour, [700, 2_400, 4_500], tilt=14, breath=0.08)
        return sound * swell(n, 0.03, 0.08)

    return repeated(dice, one, int(dice.integers(2, 6)), (0.05, 0.3))


def growl(dice: Dice, low: float = 45, high: float = 130, size: tuple[float, float] = (12, 26)) -> Sound:
    """Growl: slow rough pulses through a long tube, swelling (Taylor, Reby and McComb 2010)."""
    n = length(dice.uniform(0.7, 2.3))
    contour = ratio(dice, low, high) * curve(n, *dice.uniform(0.8, 1.2, 4))
    tracks = [one * curve(n, *dice.uniform(0.85, 1.15, 4)) for one in tube(ratio(dice, *size))]
    sound = voice(
        dice, contour, tracks, tilt=dice.uniform(2, 7), rough=dice.uniform(0.6, 1.2), breath=ratio(dice, 0.3, 1.5)
    )
    return sound * swell(n, dice.uniform(0.05, 0.4), dice.uniform(0.1, 0.6))


def dog(dice: Dice) -> Sound:
    """Dog: barks mostly, growls, howls, whimpers."""
    return pick(dice, (bark, growl, howl, whimper), (8, 1, 1, 1))


def wolf(dice: Dice) -> Sound:
    """Wolf: a howl, alone or in chorus."""
    total = np.zeros(length(2.5))
    for _ in range(int(dice.choice([1, 1, 1, 2, 3]))):
        add(total, howl(dice), dice.uniform(0, 0.5), ratio(dice, 0.3, 1.0))
    return room(dice, total, ratio(dice, 0.5, 2.5), ratio(dice, 0.05, 0.5))


def meow(dice: Dice) -> Sound:
    """Meow: an arch of pitch while the mouth opens and shuts (Nicastro 2004: 0.4 to 1.2 s, 300 to 1100 Hz)."""
    pitch, tract = ratio(dice, 320, 1_000), ratio(dice, 6.5, 10)

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.3, 1.3))
        peak = dice.uniform(1.05, 1.5)
        contour = pitch * curve(n, 0.8, peak, dice.uniform(0.95, 1.3), dice.uniform(0.6, 0.9))
        first, second, third = tube(tract)[:3]
        tracks: list[Track] = [
            curve(n, 0.3 * first, 0.75 * first, first, 0.75 * first, 0.45 * first),
            curve(n, 1.0 * second, 1.1 * second, 0.9 * second, 0.65 * second, 0.5 * second),
            third * ratio(dice, 0.9, 1.1),
        ]
        sound = voice(dice, contour, tracks, tilt=dice.uniform(5, 10), rough=dice.choice([0, 0, 0.4]), breath=0.06)
        return sound * swell(n, 0.05, 0.25 * n / 16_000)

    return repeated(dice, one, int(dice.integers(1, 4)), (0.1, 0.7))


def purr(dice: Dice) -> Sound:
    """Purr: pulses 20 to 30 times a second, louder and slower breathing out (Remmers and Gautier 1972)."""
    n = length(2.5)
    breathing = 0.5 + 0.5 * tone(ratio(dice, 0.5, 1.2), n, dice.random())
    pulsing = (0.5 + 0.5 * tone(ratio(dice, 21, 31) * (1 + 0.08 * breathing), n)) ** dice.uniform(2, 5)
    low = band(noise(dice, n, 0.6), 40, ratio(dice, 300, 1_500), 1)
    return low * pulsing * (0.3 + breathing) + 0.03 * noise(dice, n) * breathing


def hiss(dice: Dice) -> Sound:
    """Hiss of a cat: turbulence through an open mouth, which falls a little."""
    n = length(ratio(dice, 0.4, 1.3))
    tracks = [one * curve(n, 1.1, 0.9) for one in (2_000, 3_600, 5_800)]
    return formants(noise(dice, n), tracks, 4) * swell(n, 0.06, 0.4)


def cat(dice: Dice) -> Sound:
    """Cat: meows mostly, purrs, hisses."""
    return pick(dice, (meow, purr, hiss), (8, 1, 1))


def moo(dice: Dice) -> Sound:
    """Moo: closed, then open mouth, 80 to 300 Hz (Padilla de la Torre 2015; tracts of 35 to 60 cm)."""
    n = length(dice.uniform(0.8, 2.4))
    pitch = ratio(dice, 85, 330)
    contour = pitch * curve(n, 0.75, dice.uniform(0.9, 1.05), dice.uniform(1.0, 1.5), dice.uniform(0.7, 1.1))
    opening = curve(n, 0.0, 0.2, 1.0, 1.0, dice.uniform(0.2, 0.9))
    tracks: list[Track] = [
        (260 + ratio(dice, 150, 550) * opening),
        (800 + ratio(dice, 100, 600) * opening),
        ratio(dice, 1_500, 2_300),
        ratio(dice, 2_500, 3_500),
    ]
    sound = voice(
        dice, contour, tracks, tilt=dice.uniform(4, 10), rough=dice.uniform(0, 0.6), breath=ratio(dice, 0.02, 0.2), q=6
    )
    return sound * swell(n, dice.uniform(0.08, 0.3), dice.uniform(0.1, 0.4)) * (0.35 + 0.65 * opening)


def bleat(dice: Dice, pitch: tuple[float, float] = (110, 600), shake: float = 0.1) -> Sound:
    """Bleat: an "eh" that trembles 6 to 14 times a second in pitch and level (Briefer and McElligott 2011)."""
    base, tract = ratio(dice, *pitch), ratio(dice, 11, 19)
    tremble = ratio(dice, 6.5, 14)
    rough = dice.uniform(0, 0.7)

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.35, 1.3))
        shaking = tone(tremble * (1 + 0.1 * wander(dice, n, 3)), n, dice.random())
        depth = curve(n, 0.3, 1.0, 1.0)
        contour = base * curve(n, 0.9, *dice.uniform(0.95, 1.15, 2), 0.8) * (1 + shake * depth * shaking)
        nasal = ratio(dice, 0.9, 1.3)
        tracks = [nasal * one * curve(n, 0.7, 1.0, 0.95) for one in tube(tract)]
        sound = voice(dice, contour, tracks, tilt=dice.uniform(2, 7), rough=rough, breath=ratio(dice, 0.03, 0.3))
        return sound * swell(n, 0.04, 0.15) * (1 + dice.uniform(0.3, 0.8) * depth * shaking)

    return repeated(dice, one, int(dice.integers(1, 3)), (0.15, 0.8))


def sheep(dice: Dice) -> Sound:
    """Sheep: bleats of ewes and lambs."""
    return bleat(dice, (110, 480), dice.uniform(0.02, 0.1))


def goat(dice: Dice) -> Sound:
    """Goat: bleats, higher and more shaken than a sheep's."""
    return bleat(dice, (220, 650), dice.uniform(0.06, 0.2))


def oink(dice: Dice) -> Sound:
    """Grunts and snorts of a pig: rough pulses and noise in one or two bursts (Tallet 2013)."""
    pitch, tract = ratio(dice, 45, 150), ratio(dice, 14, 26)
    snort = ratio(dice, 0.3, 3.0)

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.1, 0.42))
        contour = pitch * curve(n, 0.9, ratio(dice, 0.9, 1.5), 0.8)
        tracks = [one * curve(n, 0.8, 1.1, 0.85) for one in tube(tract)]
        sound = voice(dice, contour, tracks, tilt=dice.uniform(0, 6), rough=dice.uniform(0.4, 1.1), breath=snort)
        return sound * swell(n, 0.02, 0.3 * n / 16_000)

    return repeated(dice, one, int(dice.integers(2, 7)), (0.04, 0.4))


def squeal(dice: Dice) -> Sound:
    """Squeal of a pig: loud, 500 to 2000 Hz, breaking (Tallet 2013)."""
    n = length(ratio(dice, 0.4, 1.6))
    contour = ratio(dice, 500, 1_700) * curve(n, 0.7, *dice.uniform(0.85, 1.25, int(dice.integers(3, 8))), 0.7)
    tracks = [ratio(dice, 900, 1_500), ratio(dice, 2_000, 3_000), ratio(dice, 3_300, 4_500)]
    sound = voice(dice, contour, tracks, tilt=4, rough=dice.uniform(0.2, 1.0), breath=ratio(dice, 0.1, 0.6))
    return soft(sound * swell(n, 0.04, 0.15), 3)


def pig(dice: Dice) -> Sound:
    """Pig: grunts mostly, squeals."""
    return pick(dice, (oink, squeal), (3, 1))


def neigh(dice: Dice) -> Sound:
    """Neigh: two unrelated pitches that fall and shake, ending in low pulses (Briefer 2015: 1 to 2 s, to 1.9 kHz)."""
    n = length(dice.uniform(0.9, 2.3))
    shaking = tone(ratio(dice, 7, 14) * curve(n, 1.1, 0.9), n) * curve(n, 0.2, 1.0, 1.0, 0.8)
    fall = curve(n, 0.7, 1.0, 0.95, 0.75, dice.uniform(0.3, 0.5))
    contour = ratio(dice, 550, 1_500) * fall * (1 + dice.uniform(0.04, 0.16) * shaking)
    tracks = [ratio(dice, 0.9, 1.15) * one for one in tube(ratio(dice, 16, 26))]
    sound = voice(dice, contour, tracks, tilt=dice.uniform(4, 9), rough=dice.uniform(0.2, 0.8), breath=0.2)
    second = tone(ratio(dice, 1_300, 2_100) * curve(n, 0.9, 1.05, 0.85), n)
    sound = level(sound) + dice.uniform(0, 0.3) * second
    return sound * swell(n, 0.1, 0.3) * (1 + dice.uniform(0.2, 0.7) * shaking)


def flutter(dice: Dice) -> Sound:
    """Snort of a horse: noise that the nostrils chop 20 to 40 times a second."""
    n = length(ratio(dice, 0.4, 1.2))
    chopped = (0.5 + 0.5 * tone(ratio(dice, 18, 42) * curve(n, 1.1, 0.8), n)) ** 2
    return formants(noise(dice, n, 0.3), [700, 1_800, 3_300], 4) * chopped * swell(n, 0.05, 0.3)


def gallop(dice: Dice) -> Sound:
    """Hooves: groups of two (trot), three (canter) or four (gallop) knocks of a stride (Hildebrand 1965)."""
    total = np.zeros(length(2.5))
    stride, beats = ratio(dice, 0.36, 0.75), int(dice.integers(2, 5))
    share, centre, t60 = dice.uniform(0.5, 1.0) / beats, ratio(dice, 250, 1_600), ratio(dice, 0.03, 0.12)
    for step in range(int(2.5 / stride)):
        for beat in range(beats):
            hoof = knock(dice, length(0.16), centre * ratio(dice, 0.8, 1.2), t60)
            at = (step + beat * share) * stride + dice.normal(0, 0.008)
            add(total, hoof, at, ratio(dice, 0.5, 1.0))
    return total


def horse(dice: Dice) -> Sound:
    """Horse: neighs, snorts, hooves."""
    return pick(dice, (neigh, flutter, gallop), (6, 1, 2))


def roar(dice: Dice) -> Sound:
    """Roar of a big cat: 60 to 250 Hz, rough and long, the tract 30 to 40 cm (Ananthakrishnan 2011; Klemuk 2011)."""
    n = length(dice.uniform(0.9, 2.4))
    contour = ratio(dice, 60, 230) * curve(n, 0.6, 1.1, *dice.uniform(0.9, 1.1, 2), 0.55)
    opening = curve(n, 0.6, 1.0, 1.0, 0.7)
    tracks = [one * ratio(dice, 0.9, 1.2) * opening for one in tube(ratio(dice, 22, 40), 6)]
    sound = voice(
        dice, contour, tracks, tilt=dice.uniform(2, 8), rough=dice.uniform(0.4, 1.1), breath=ratio(dice, 0.2, 1.0), q=5
    )
    return soft(sound * swell(n, dice.uniform(0.1, 0.4), dice.uniform(0.3, 0.8)), dice.uniform(1, 4))


def lion(dice: Dice) -> Sound:
    """Lion: a roar, or the row of grunts after it."""

    def grunts(dice: Dice) -> Sound:
        pitch, tracks = ratio(dice, 60, 200), tube(ratio(dice, 28, 40), 6)

        def one(_: int) -> Sound:
            n = length(ratio(dice, 0.25, 0.5))
            sound = voice(dice, pitch * curve(n, 0.7, 1.1, 0.6), tracks, tilt=5, rough=0.7, breath=0.5, q=5)
            return sound * swell(n, 0.06, 0.2)

        return repeated(dice, one, int(dice.integers(2, 5)), (0.1, 0.4))

    return pick(dice, (roar, grunts), (3, 1))


def tiger(dice: Dice) -> Sound:
    """Tiger: snarls, harsher than a lion's roar, with noise of the breath."""

    def snarl(dice: Dice) -> Sound:
        sound = growl(dice, 50, 160, (18, 30))
        rasp = (0.5 + 0.5 * tone(ratio(dice, 18, 45), len(sound), dice.random())) ** 2
        return soft(sound * (0.4 + rasp), dice.uniform(2, 6))

    def spitting(dice: Dice) -> Sound:
        pitch, tracks, breath = ratio(dice, 60, 180), tube(ratio(dice, 18, 30), 6), ratio(dice, 0.4, 2)

        def one(_: int) -> Sound:
            n = length(ratio(dice, 0.15, 0.5))
            sound = voice(dice, pitch * curve(n, 0.8, 1.1, 0.7), tracks, tilt=4, rough=1.0, breath=breath, q=5)
            return soft(sound * swell(n, 0.03, 0.12), 3)

        return repeated(dice, one, int(dice.integers(2, 6)), (0.08, 0.4))

    return pick(dice, (snarl, spitting, roar), (2, 2, 1))


def bear(dice: Dice) -> Sound:
    """Bear: growls and blown breath, lower and duller than a tiger's."""

    def grumble(dice: Dice) -> Sound:
        return band(growl(dice, 45, 140, (22, 36)), 60, ratio(dice, 1_200, 4_000), 1)

    return pick(dice, (grumble, roar), (3, 1))


def hoots(dice: Dice) -> Sound:
    """Pant-hoots of an ape: "hoo" breathed out and in, faster and louder (Riede, Arcadi and Owren 2007)."""
    pitch, count = ratio(dice, 250, 900), int(dice.integers(3, 12))
    seconds = ratio(dice, 0.1, 0.5)

    def one(i: int) -> Sound:
        n = length(seconds * (1.2 - 0.4 * i / count))
        out = i % 2 == 0
        contour = pitch * (1 + 0.5 * i / count) * (1.0 if out else 0.75) * curve(n, 0.85, 1.1, 0.9)
        tracks = [500 + 400 * i / count, 1_100 + 300 * i / count, 2_700]
        sound = voice(dice, contour, tracks, tilt=9, rough=0.3 * i / count, breath=0.1 if out else 0.8)
        return sound * swell(n, 0.03, 0.06) * (0.4 + 0.6 * i / count)

    return repeated(dice, one, count, (0.02, 0.1))


def chatter(dice: Dice) -> Sound:
    """Chatter and screams of monkeys: quick high cries, rough (Fitch, Neubauer and Herzel 2002)."""
    pitch, seconds = ratio(dice, 700, 2_400), ratio(dice, 0.04, 0.3)

    def one(_: int) -> Sound:
        n = length(seconds * ratio(dice, 0.7, 1.4))
        contour = pitch * ratio(dice, 0.8, 1.25) * curve(n, *dice.uniform(0.7, 1.3, 3))
        sound = voice(dice, contour, [1_300, 2_800, 4_300], tilt=5, rough=dice.uniform(0.1, 0.9), breath=0.2)
        return sound * swell(n, 0.01, 0.03)

    return repeated(dice, one, int(min(18, 2 / seconds)), (0.02, 0.12))


def monkey(dice: Dice) -> Sound:
    """Monkey: pant-hoots and chatter."""
    return pick(dice, (hoots, chatter), (1, 1))


def trumpeting(dice: Dice) -> Sound:
    """Trumpet of an elephant: 300 to 700 Hz, brassy and unsteady (Fuchs 2021)."""
    n = length(dice.uniform(0.5, 2.0))
    contour = ratio(dice, 280, 750) * curve(n, 0.6, *dice.uniform(0.95, 1.2, int(dice.integers(2, 6))), 0.7)
    tracks = [ratio(dice, 700, 1_200), ratio(dice, 1_600, 2_400), ratio(dice, 2_800, 3_800)]
    sound = voice(
        dice, contour, tracks, tilt=dice.uniform(1, 5), rough=dice.uniform(0.2, 0.9), breath=0.3, jitter=0.015
    )
    return soft(sound * swell(n, 0.06, 0.3), dice.uniform(2, 6))


def elephant(dice: Dice) -> Sound:
    """Elephant: trumpets, and rumbles of which only the upper partials are heard."""

    def rumble(dice: Dice) -> Sound:
        n = length(2.3)
        return voice(dice, ratio(dice, 16, 35) * curve(n, 0.9, 1.1, 0.9), [120, 350, 900], tilt=4, rough=0.4) * swell(
            n, 0.4, 0.6
        )

    return pick(dice, (trumpeting, rumble), (8, 1))


def donkey(dice: Dice) -> Sound:
    """Bray: "ee" breathed in, thin and high, then "aw" breathed out, low and rough (Browning and Scheifele 2004)."""
    high, low, tract = ratio(dice, 400, 1_000), ratio(dice, 160, 330), ratio(dice, 18, 28)
    seconds = ratio(dice, 0.3, 0.7)

    def one(i: int) -> Sound:
        n = length(seconds * ratio(dice, 0.85, 1.2))
        if i % 2 == 0:
            sound = voice(dice, high * curve(n, 0.8, 1.1, 1.0), [900, 2_300, 3_400], tilt=6, rough=0.3, breath=1.0)
            return 0.5 * level(sound) * swell(n, 0.08, 0.08)
        sound = voice(dice, low * curve(n, 1.1, 1.0, 0.8), tube(tract), tilt=3, rough=0.8, breath=0.3)
        return level(soft(sound, 3)) * swell(n, 0.04, 0.15)

    return repeated(dice, one, int(dice.integers(3, 6)), (0.01, 0.08))


def mouse(dice: Dice) -> Sound:
    """Squeaks of a mouse: what is below 8 kHz of its calls, 2.5 to 7 kHz, short and bent (Holy and Guo 2005)."""
    pitch = ratio(dice, 2_300, 6_000)

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.03, 0.18))
        contour = np.minimum(pitch * curve(n, *dice.uniform(0.8, 1.25, 3)), TOP_SQUEAK)
        return (tone(contour, n) + 0.3 * octave(contour)) * swell(n, 0.006, 0.02)

    return repeated(dice, one, int(dice.integers(3, 14)), (0.03, 0.25))


def dolphin(dice: Dice) -> Sound:
    """Dolphin: whistles that bend over an octave, and trains of clicks (Caldwell and Caldwell 1965)."""
    total = np.zeros(length(dice.uniform(1.2, 2.5)))
    for _ in range(int(dice.integers(1, 4))):
        n = length(ratio(dice, 0.25, 1.1))
        contour = np.minimum(ratio(dice, 2_500, 5_500) * curve(n, *dice.uniform(0.6, 1.35, 4)), 7_600)
        add(total, tone(contour, n) * swell(n, 0.04, 0.08), dice.uniform(0, 1.4), ratio(dice, 0.3, 1))
    for _ in range(int(dice.integers(0, 3))):
        n = length(ratio(dice, 0.3, 1.2))
        turn = np.floor(phase(ratio(dice, 15, 150) * curve(n, *dice.uniform(0.4, 2.0, 3)), n))
        clicks = np.diff(turn, prepend=0.0)
        click = formants(clicks * dice.uniform(0.6, 1.4, n), [ratio(dice, 2_000, 5_000)], 3)
        add(total, level(click), dice.uniform(0, 1.2), ratio(dice, 0.2, 1))
    return room(dice, total, ratio(dice, 0.2, 1.2), ratio(dice, 0.05, 0.5))


def whale(dice: Dice) -> Sound:
    """Song of a humpback: moans, cries and upsweeps of 80 to 1500 Hz in a wide sea (Payne and McVay 1971)."""
    total = np.zeros(length(2.5))
    at = 0.0
    while at < 2.0:
        n = length(ratio(dice, 0.5, 2.2))
        contour = ratio(dice, 90, 900) * curve(n, *np.exp(dice.normal(0, 0.3, 4)))
        tracks = [ratio(dice, 300, 900), ratio(dice, 1_000, 2_000)]
        unit = voice(dice, contour, tracks, tilt=dice.uniform(8, 16), rough=dice.choice([0, 0.3]), breath=0.03)
        add(total, level(unit * swell(n, 0.15, 0.3)), at, ratio(dice, 0.4, 1))
        at += n / 16_000 + dice.uniform(0.05, 0.5)
    return room(dice, total, ratio(dice, 1.0, 3.0), ratio(dice, 0.2, 0.9))[: length(2.5)]


def _vowel(dice: Dice, tract: float) -> list[float]:
    """Return the first four formants of a random open vowel in a tract of `tract` cm (Peterson and Barney 1952)."""
    first, second = [(730, 1_090), (660, 1_720), (570, 840), (530, 1_840), (640, 1_190)][int(dice.integers(5))]
    return [17.0 / tract * one * ratio(dice, 0.9, 1.1) for one in (first, second, 2_500, 3_500)]


def laughter(dice: Dice) -> Sound:
    """Laughter: "ha" five times a second, each breathier and lower (Bachorowski 2001); one person or a few."""
    total = np.zeros(length(2.5))
    for person in range(int(dice.choice([1, 1, 1, 2, 4]))):
        tract, high = ratio(dice, 11, 18), 1.0
        pitch, rate, vowel = ratio(dice, 130, 550) * 15 / tract, ratio(dice, 3.6, 7), _vowel(dice, tract)
        count = int(dice.integers(4, 14))
        for i in range(count):
            n = length(dice.uniform(0.45, 0.8) / rate)
            contour = pitch * (1.15 - 0.4 * i / count) * ratio(dice, 0.9, 1.1) * curve(n, 0.9, 1.1, 0.8)
            aspirate = curve(n, 1.5, 0.2, 0.5)
            ha = voice(dice, contour, vowel, tilt=dice.uniform(6, 10), breath=0.1)
            breath = formants(noise(dice, n), vowel, 6) * aspirate
            add(total, (level(ha) + 0.3 * level(breath)) * swell(n, 0.03, 0.05), 0.25 * person + i / rate, high)
            high *= dice.uniform(0.85, 1.02)
    return total


def crying(dice: Dice) -> Sound:
    """Crying of a baby: 350 to 650 Hz wails of about a second with gasps between (Wasz-Höckert 1968)."""
    pitch, tract = ratio(dice, 300, 650), ratio(dice, 7.5, 12)
    vowel = _vowel(dice, tract)

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.3, 1.3))
        contour = pitch * curve(n, 0.8, *dice.uniform(0.95, 1.15, 3), 0.8) * (1 + 0.02 * tone(ratio(dice, 5, 9), n))
        wail = voice(dice, contour, vowel, tilt=dice.uniform(3, 8), rough=dice.choice([0, 0, 0.5]), breath=0.08)
        gasp = length(ratio(dice, 0.1, 0.25))
        breath = formants(noise(dice, gasp), [900, 2_200, 4_000], 5) * swell(gasp, 0.05, 0.03)
        return np.concatenate([level(wail * swell(n, 0.04, 0.12)), np.zeros(800), 0.12 * level(breath)])

    return repeated(dice, one, int(dice.integers(2, 5)), (0.05, 0.3))


def scream(dice: Dice) -> Sound:
    """Scream: 700 to 2000 Hz, loud, rough by modulation of 30 to 150 Hz (Arnal 2015)."""
    n = length(dice.uniform(0.6, 2.2))
    contour = ratio(dice, 600, 1_900) * curve(n, 0.75, 1.05, *dice.uniform(0.9, 1.1, 2), 0.75)
    tracks = [ratio(dice, 1_000, 1_600), ratio(dice, 1_800, 2_500), ratio(dice, 3_000, 4_000)]
    sound = voice(dice, contour, tracks, tilt=dice.uniform(2, 7), rough=dice.uniform(0, 0.7), breath=0.15, jitter=0.01)
    rough = 1 + dice.uniform(0, 0.6) * tone(ratio(dice, 30, 150), n)
    return soft(sound * rough * swell(n, 0.05, 0.2), dice.uniform(1, 4))


def snore(dice: Dice) -> Sound:
    """Snoring: the soft palate flaps 20 to 90 times a second breathing in, and air breathing out (Pevernagie 2010)."""
    n = length(ratio(dice, 0.8, 1.4))
    flaps = harmonics(ratio(dice, 22, 90) * curve(n, 0.9, 1.1, 0.9) * (1 + 0.03 * wander(dice, n, 40)), 2)
    inward = formants(level(flaps) + 0.3 * noise(dice, n), [ratio(dice, 250, 500), 1_200, 2_400], 4)
    m = length(ratio(dice, 0.4, 0.9))
    outward = formants(noise(dice, m), [700, 1_700, 3_800], 4) * swell(m, 0.2, 0.3)
    return np.concatenate(
        [level(inward * swell(n, 0.25, 0.15)), np.zeros(2_400), ratio(dice, 0.03, 0.3) * level(outward)]
    )


def kiss(dice: Dice) -> Sound:
    """Kiss: a smack of the lips after a sucked rise of noise."""

    def one(_: int) -> Sound:
        n = length(ratio(dice, 0.08, 0.25))
        suck = (
            formants(noise(dice, n), [curve(n, 1_200, ratio(dice, 2_500, 4_000)), 5_000], 4) * curve(n, 0, 0.15, 1) ** 2
        )
        m = length(ratio(dice, 0.02, 0.06))
        smack = formants(noise(dice, m), [curve(m, 1_800, 900), 3_000], 3) * decay(m, 0.03)
        return np.concatenate([ratio(dice, 0.05, 0.5) * level(suck), level(smack)])

    return repeated(dice, one, int(dice.integers(1, 4)), (0.1, 0.6))


def heart(dice: Dice) -> Sound:
    """Heartbeat: "lub" and "dub" of 30 to 150 Hz, the second 0.3 s later and higher (Rangayyan and Lehner 1987)."""
    total = np.zeros(length(2.5))
    period, pitch = 60 / ratio(dice, 50, 150), ratio(dice, 35, 90)
    t60 = ratio(dice, 0.08, 0.25)
    for i in range(int(2.5 / period) + 1):
        for gap, gain, high in ((0.0, 1.0, 1.0), (min(0.33, 0.4 * period), ratio(dice, 0.4, 0.9), 1.35)):
            n = length(0.3)
            thump = tone(pitch * high * curve(n, 1.3, 0.8), n) * decay(n, t60) * swell(n, 0.01, 0.05)
            muffled = thump + 0.3 * level(band(noise(dice, n), 30, 250)) * decay(n, t60)
            add(total, muffled, i * period + gap, gain)
    return soft(total, ratio(dice, 0.5, 5)) + ratio(dice, 0.001, 0.02) * noise(dice, len(total), 0.8)


KINDS = {
    "dog": dog,
    "wolf": wolf,
    "cat": cat,
    "cow": moo,
    "sheep": sheep,
    "goat": goat,
    "pig": pig,
    "horse": horse,
    "lion": lion,
    "tiger": tiger,
    "bear": bear,
    "monkey": monkey,
    "elephant": elephant,
    "donkey": donkey,
    "mouse": mouse,
    "dolphin": dolphin,
    "whale": whale,
    "laughter": laughter,
    "crying": crying,
    "scream": scream,
    "sleeping": snore,
    "kiss": kiss,
    "heart": heart,
}
