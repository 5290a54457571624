"""Things that ring, tick and beep: bells by their partials, clockwork by its modes, signals by their plans of tones."""

import numpy as np

from clavilux.training.lumia.data.synthesis.blocks import (
    TOP,
    Dice,
    Sound,
    add,
    band,
    curve,
    decay,
    formants,
    harmonics,
    knock,
    length,
    level,
    modes,
    noise,
    phase,
    pick,
    ratio,
    room,
    soft,
    swell,
    tone,
    wander,
)

SECONDS = 2.5
CHURCH = (0.5, 1.0, 1.19, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.33, 6.67)  # hum, prime, tierce, quint, nominal … (Lehr 1986)
RISSET = (0.56, 0.563, 0.92, 0.923, 1.19, 1.7, 2.0, 2.74, 3.0, 3.76, 4.07)  # Risset 1969, An introductory catalogue
BAR = (1.0, 2.756, 5.404, 8.933)  # free bar (Fletcher and Rossing 1998, section 2.12)
SHELL = (1.0, 2.4, 4.1, 6.2, 8.6)  # small cup of metal, about as Fletcher and Rossing 1998, section 21.1


def strike(dice: Dice, pitch: float, partials: tuple[float, ...], t60: float, seconds: float = SECONDS) -> Sound:
    """Return a struck bell [n]: slightly detuned pairs of modes; higher ones die sooner, and a click of the clapper."""
    n = length(seconds)
    total = 0.15 * band(noise(dice, n), 1_500, TOP) * decay(n, 0.02)
    for k in range(2):
        hertz = pitch * np.asarray(partials) * (1 + 0.0025 * k * dice.uniform(0.2, 1.5))
        gains = dice.uniform(0.2, 1.0, len(hertz)) / (1 + np.arange(len(hertz))) ** dice.uniform(0.1, 0.9)
        total += modes(n, hertz, (t60 / (hertz / pitch) ** dice.uniform(0.4, 1.0)), gains)
    return total


def church_bell(dice: Dice) -> Sound:
    """Church bells: one that tolls, or a peal of several (Lehr 1986)."""
    total = np.zeros(length(SECONDS))
    pitches = ratio(dice, 180, 700) * np.array([1, 9 / 8, 5 / 4, 3 / 2])[: int(dice.choice([1, 1, 2, 4]))]
    at = 0.0
    while at < 2.3:
        partials = CHURCH if dice.random() < 0.6 else RISSET
        add(total, strike(dice, float(dice.choice(pitches)), partials, ratio(dice, 1.5, 8)), at, ratio(dice, 0.5, 1))
        at += ratio(dice, 0.35, 2.5)
    return room(dice, total, ratio(dice, 0.3, 2.0), ratio(dice, 0.03, 0.3))


def hand_bell(dice: Dice) -> Sound:
    """Hand bell, shop bell, cow bell: a small bell, struck once or shaken."""
    total = np.zeros(length(SECONDS))
    pitch, t60 = ratio(dice, 600, 3_000), ratio(dice, 0.3, 3.0)
    partials = (SHELL, CHURCH, RISSET, BAR)[int(dice.integers(4))]
    rate, at = ratio(dice, 0.6, 12), 0.0
    while at < 2.3:
        add(total, strike(dice, pitch, partials, t60, 2.0), at, ratio(dice, 0.4, 1))
        at += ratio(dice, 0.8, 1.25) / rate
    return total


def sleigh(dice: Dice) -> Sound:
    """Jingle bells: a crowd of tiny bells shaken in time (PhISEM: Cook 1997)."""
    total = np.zeros(length(SECONDS))
    period = ratio(dice, 0.15, 0.5)
    centre = ratio(dice, 2_500, 4_500)
    for step in range(int(2.5 / period)):
        for _ in range(int(dice.integers(3, 9))):
            jingle = strike(dice, centre * ratio(dice, 0.8, 1.4), (1.0, 1.37, 1.9), ratio(dice, 0.08, 0.3), 0.35)
            add(total, jingle, step * period + abs(dice.normal(0, 0.03)), dice.exponential())
    return total


def bell(dice: Dice) -> Sound:
    """Bell: church bells, hand bells, jingles."""
    return pick(dice, (church_bell, hand_bell, sleigh), (4, 4, 1))


def wind_chime(dice: Dice) -> Sound:
    """Wind chime: free bars of a scale, struck by turns of the wind (Lukes 2006; bars of Fletcher and Rossing 1998)."""
    total = np.zeros(length(SECONDS))
    base = ratio(dice, 500, 2_400)
    bars = base * 2 ** (np.cumsum(dice.choice([2, 2, 3, 3, 5], 6)) / 12)
    t60, at, rate = ratio(dice, 0.6, 4.0), 0.0, ratio(dice, 2, 12)
    while at < 2.3:
        add(total, strike(dice, float(dice.choice(bars)), BAR[:3], t60), at, dice.exponential() + 0.1)
        at += dice.exponential(1 / rate)
    return total


def hammered(dice: Dice, pitch: float, rate: float, seconds: float) -> Sound:
    """Return an electric or clockwork bell [n] that its hammer strikes `rate` times a second."""
    total = np.zeros(length(seconds))
    t60 = ratio(dice, 0.15, 1.0)
    one, other = strike(dice, pitch, SHELL, t60, 0.8), strike(dice, pitch * ratio(dice, 0.97, 1.2), SHELL, t60, 0.8)
    for i in range(int(seconds * rate)):
        add(total, one if i % 2 else other, i / rate + dice.normal(0, 0.002), ratio(dice, 0.7, 1.0))
    return soft(total, 1.5)


def beeps(dice: Dice, pitch: float, pattern: tuple[float, ...], period: float) -> Sound:
    """Return beeps [n] at the times of a pattern in every period; square, triangular or sine."""
    total = np.zeros(length(SECONDS))
    tilt, seconds = float(dice.choice([6, 9, 12, 40])), 0.6 * float(np.min(np.diff([*pattern, period])))
    n = length(seconds * dice.uniform(0.6, 1.0))
    beep = level(harmonics(np.full(n, pitch), tilt, odd=True)) * swell(n, 0.003, 0.005)
    for i in range(int(SECONDS / period) + 1):
        for at in pattern:
            add(total, beep, i * period + at)
    return total


def alarm_clock(dice: Dice) -> Sound:
    """Alarm clock: two bells with a hammer between, or beeps in groups of 2 to 4 of 1 to 4 kHz."""
    if dice.random() < 0.5:
        return hammered(dice, ratio(dice, 1_200, 3_500), ratio(dice, 12, 30), SECONDS)
    count, gap = int(dice.integers(2, 5)), ratio(dice, 0.08, 0.2)
    return beeps(
        dice, ratio(dice, 900, 4_000), tuple(gap * i for i in range(count)), gap * count + ratio(dice, 0.1, 0.6)
    )


def old_telephone(dice: Dice) -> Sound:
    """Old telephone: two gongs struck at 20 Hz or so, a second on, a pause, with a ring that dies away."""
    ring = hammered(dice, ratio(dice, 700, 2_200), ratio(dice, 15, 28), dice.uniform(0.4, 1.9))
    total = np.zeros(length(SECONDS))
    add(total, ring, 0)
    add(total, ring, len(ring) / 16_000 + dice.uniform(0.2, 0.6))
    return room(dice, total, ratio(dice, 0.1, 0.5), 0.1)


def new_telephone(dice: Dice) -> Sound:
    """New telephone: a warble of two tones, or a little tune; the tones of dialling (ITU-T Q.23)."""
    total = np.zeros(length(SECONDS))
    sort = int(dice.integers(3))
    if sort == 0:  # electronic warble
        n = length(dice.uniform(0.5, 1.2))
        high = tone(ratio(dice, 10, 25), n) > 0
        pitch = ratio(dice, 600, 1_600) * np.where(high, ratio(dice, 1.1, 1.4), 1.0)
        warble = level(harmonics(pitch, float(dice.choice([6, 12, 20])), odd=True)) * swell(n, 0.01, 0.02)
        add(total, warble, 0)
        add(total, warble, len(warble) / 16_000 + dice.uniform(0.15, 0.8))
    elif sort == 1:  # keys that are pressed
        at = 0.0
        while at < 2.2:
            n = length(dice.uniform(0.08, 0.25))
            pair = tone(float(dice.choice([697, 770, 852, 941])), n) + tone(
                float(dice.choice([1_209, 1_336, 1_477])), n
            )
            add(total, pair * swell(n, 0.004, 0.004), at)
            at += n / 16_000 + ratio(dice, 0.05, 0.3)
    else:  # a tune
        step, base = ratio(dice, 0.07, 0.2), ratio(dice, 500, 1_500)
        scale = base * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
        tune = dice.choice(scale, int(dice.integers(4, 13)))
        for i in range(int(2.4 / step)):
            n = length(step)
            add(total, level(harmonics(np.full(n, tune[i % len(tune)]), 9, odd=True)) * decay(n, 3 * step), i * step)
    return total


def telephone(dice: Dice) -> Sound:
    """Telephone: rings old and new."""
    return pick(dice, (old_telephone, new_telephone), (1, 1))


def tick(dice: Dice, centre: float, t60: float) -> Sound:
    """Return one tick of an escapement: three soft knocks within 15 ms (the sounds of a watch's lever)."""
    total = np.zeros(length(0.12))
    for at, gain in ((0.0, 0.4), (ratio(dice, 0.003, 0.008), 0.6), (ratio(dice, 0.009, 0.02), 1.0)):
        add(total, knock(dice, length(0.1), centre, t60, 5), at, gain)
    return total


def ticking(dice: Dice, rate: float, centre: float, t60: float) -> Sound:
    """Return ticks and tocks [n], `rate` a second, the two unlike, with a little of the room."""
    total = np.zeros(length(SECONDS))
    pair = [tick(dice, centre * high, t60) for high in (1.0, ratio(dice, 0.75, 1.25))]
    late = dice.uniform(-0.1, 0.1)
    for i in range(int(SECONDS * rate) + 1):
        add(total, pair[i % 2], (i + late * (i % 2)) / rate + 0.05, ratio(dice, 0.9, 1.0))
    return total + ratio(dice, 0.0003, 0.01) * noise(dice, len(total), 0.6)


def clock(dice: Dice) -> Sound:
    """Clock: ticks once to four times a second, wooden; sometimes it strikes or a cuckoo calls."""
    sound = ticking(
        dice,
        float(dice.choice([1, 1, 2, 2, 4])) * ratio(dice, 0.9, 1.1),
        ratio(dice, 400, 2_500),
        ratio(dice, 0.02, 0.1),
    )
    if dice.random() < 0.2:
        add(
            sound,
            level(strike(dice, ratio(dice, 250, 700), RISSET, ratio(dice, 1, 4))),
            0.3,
            2 * float(np.abs(sound).max()),
        )
    return sound


def watch(dice: Dice) -> Sound:
    """Watch: five to eight fine ticks a second of 2 to 6 kHz."""
    return ticking(dice, float(dice.choice([4, 5, 5, 6, 8])), ratio(dice, 1_800, 5_000), ratio(dice, 0.005, 0.025))


def bicycle(dice: Dice) -> Sound:
    """Bicycle: its bell, struck once to three times or rung by a wheel; the freewheel's clicks."""

    def rung(dice: Dice) -> Sound:
        total = np.zeros(length(SECONDS))
        pitch, t60 = ratio(dice, 1_400, 3_800), ratio(dice, 0.6, 2.5)
        for burst in range(int(dice.integers(1, 4))):
            count, rate = int(dice.choice([1, 2, 4, 7])), ratio(dice, 12, 28)
            for i in range(count):
                add(total, strike(dice, pitch, SHELL, t60, 1.5), 0.6 * burst + i / rate, ratio(dice, 0.5, 1))
        return total

    def freewheel(dice: Dice) -> Sound:
        n = length(SECONDS)
        clicks = np.diff(np.floor(phase(ratio(dice, 10, 45) * curve(n, 1.1, 0.8), n)), prepend=0.0)
        sound = formants(clicks, [ratio(dice, 1_500, 3_500), 5_000], 5)
        return level(sound) + 0.02 * noise(dice, n, 0.4)

    return pick(dice, (rung, freewheel), (4, 1))


def computer(dice: Dice) -> Sound:
    """Computer: beeps of random pitches, and a modem's tones and noise."""
    total = np.zeros(length(SECONDS))
    step, tilt = ratio(dice, 0.04, 0.2), float(dice.choice([6, 9, 40]))
    for i in range(int(2.4 / step)):
        n = length(step * dice.uniform(0.4, 1.0))
        if dice.random() < 0.75:
            pitch = float(dice.choice([500, 600, 800, 1_000, 1_200, 1_600, 2_000, 2_400])) * ratio(dice, 0.9, 1.1)
            add(total, level(harmonics(np.full(n, pitch), tilt, odd=True)) * swell(n, 0.003, 0.003), i * step)
    if dice.random() < 0.3:
        n = length(dice.uniform(0.5, 1.5))
        add(total, level(band(noise(dice, n), 800, 3_400, 3)) + 0.3 * tone(ratio(dice, 1_000, 2_200), n), 1.0)
    return total


def robot(dice: Dice) -> Sound:
    """Robot: speech-like syllables at one pitch through vowels that change, ring-modulated, and chirps of servos."""
    total = np.zeros(length(SECONDS))
    pitch, at, ring = ratio(dice, 70, 250), 0.0, ratio(dice, 30, 400)
    while at < 2.2:
        n = length(ratio(dice, 0.1, 0.35))
        if dice.random() < 0.7:
            source = level(harmonics(np.full(n, pitch * float(dice.choice([1, 1, 1.26, 1.5]))), 4))
            word = formants(
                source, [curve(n, *dice.uniform(300, 900, 2)), curve(n, *dice.uniform(900, 2_300, 2)), 2_700]
            )
            word = level(word) * (1 + dice.choice([0, 1]) * tone(ring, n))
        else:
            word = tone(np.exp(curve(n, *dice.uniform(np.log(300), np.log(4_000), 3))), n)
        add(total, level(word) * swell(n, 0.008, 0.02), at)
        at += n / 16_000 + ratio(dice, 0.01, 0.15)
    return total


def saucer(dice: Dice) -> Sound:
    """Flying saucer: a theremin-like wail that warbles, as films have had it since 1951."""
    n = length(SECONDS)
    warble = tone(ratio(dice, 2, 14), n) * dice.uniform(0.05, 0.5)
    pitch = ratio(dice, 250, 1_500) * np.exp(0.3 * wander(dice, n, 1.5) + warble)
    return level(harmonics(np.clip(pitch, 60, 5_000), dice.uniform(9, 24))) + 0.1 * wander(dice, n, 200)


KINDS = {
    "bell": bell,
    "wind chime": wind_chime,
    "alarm clock": alarm_clock,
    "telephone": telephone,
    "clock": clock,
    "watch": watch,
    "bicycle": bicycle,
    "computer": computer,
    "robot": robot,
    "flying saucer": saucer,
}
