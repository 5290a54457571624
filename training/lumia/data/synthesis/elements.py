"""Wind, water and fire: shaped noise, swarms of bubbles and drops, cracks (Farnell 2010, Designing Sound, part IV)."""

import numpy as np

from clavilux.training.lumia.data.synthesis.blocks import (
    Dice,
    Sound,
    add,
    band,
    convolved,
    curve,
    decay,
    formants,
    impulses,
    length,
    level,
    noise,
    pick,
    ratio,
    swell,
    tone,
    wander,
)

SECONDS = 2.5  # of sounds that go on


def wind(dice: Dice) -> Sound:
    """Wind: noise through resonances that rise with the gusts, and whistles at edges (Farnell 2010, chapter 41)."""
    n = length(SECONDS)
    gust = np.exp(dice.uniform(0.2, 0.8) * wander(dice, n, ratio(dice, 0.6, 3)))
    centre = np.clip(ratio(dice, 150, 700) * gust ** dice.uniform(0.2, 0.9), 60, 3_000)
    body = (
        formants(noise(dice, n, dice.uniform(0.3, 0.9)), [centre, ratio(dice, 600, 2_500)], dice.uniform(1, 5)) * gust
    )
    whistle = tone(np.clip(ratio(dice, 400, 1_400) * gust**0.4, 100, 6_000), n) * np.exp(0.3 * wander(dice, n, 40))
    result: Sound = level(body) + dice.choice([0, 0, 0.1, 0.3]) * whistle * np.minimum(gust, 2) ** 2 / 4
    return result


def rain(dice: Dice) -> Sound:
    """Rain: drops as a Poisson process on a surface, and the hiss of the far ones (Farnell 2010, chapter 39)."""
    n = length(SECONDS)
    far = band(noise(dice, n, dice.uniform(0, 0.6)), ratio(dice, 200, 1_500), ratio(dice, 4_000, 8_000), 1)
    near = np.zeros(n)
    for _ in range(10):
        pitch, m = ratio(dice, 600, 7_000), length(ratio(dice, 0.002, 0.02))
        drop = tone(pitch, m) * decay(m, 0.02) + dice.uniform(0.5, 3) * noise(dice, m) * decay(m, 0.008)
        near += convolved(impulses(dice, n, ratio(dice, 4, 120), 1.5), level(drop))[:n]
    steady = np.exp(0.08 * wander(dice, n, 3))
    result: Sound = far / far.std() * ratio(dice, 0.1, 1.0) * steady + near / (near.std() + 1e-9)
    return result


def thunder(dice: Dice) -> Sound:
    """Thunder: a crack, then rumble of many late and dull echoes of the channel (Few 1969; Farnell 2010, ch. 40)."""
    n = length(SECONDS)
    far = dice.random()
    claps = np.zeros(n)
    for _ in range(int(dice.integers(2, 9))):
        add(claps, noise(dice, n) * decay(n, ratio(dice, 0.2, 2.5)), dice.exponential(0.4), dice.exponential(1.0))
    rumble = band(noise(dice, n, 1.0), 25, ratio(dice, 90, 350), 1) * np.exp(0.7 * wander(dice, n, 7))
    body = band(claps, 30, ratio(dice, 200, 1_800) * (1.5 - far), 1)
    onset = swell(n, 0.02 + 0.5 * far, 0.3)
    crack = band(impulses(dice, n, 400 * curve(n, 1, 0.2, 0, 0, 0, 0), 2), 500, 7_500) * (1 - far)
    return (level(rumble) * ratio(dice, 0.5, 2) + level(body)) * onset + dice.uniform(0, 1) * level(crack)


def bubble(dice: Dice, pitch: float) -> Sound:
    """Return a bubble under water, damped the sooner the smaller it is, rising as it surfaces (van den Doel 2005).

    Its pitch is 3.26 m/s over its radius (Minnaert 1933): 1 to 10 mm are 3 kHz to 300 Hz.
    """
    seconds = np.clip(ratio(dice, 20, 80) / pitch, 0.008, 0.25)  # smaller bubbles are damped sooner
    n = length(1.3 * seconds)
    rise = 1 + dice.uniform(0, 0.8) * np.arange(n) / n
    return tone(pitch * rise, n) * decay(n, 1.5 * seconds) * swell(n, 0.002, 0.2 * seconds)


def bubbles(dice: Dice) -> Sound:
    """Bubbles: blown one after another, or many that rise at once."""
    total = np.zeros(length(SECONDS))
    centre, rate, spread = ratio(dice, 250, 1_800), ratio(dice, 4, 50), dice.uniform(0.1, 0.6)
    for at in np.cumsum(dice.exponential(1 / rate, int(2.6 * rate) + 1)):
        add(
            total,
            bubble(dice, float(np.clip(centre * np.exp(spread * dice.normal()), 120, 5_000))),
            at,
            dice.exponential(),
        )
    return total


def drops(dice: Dice) -> Sound:
    """Drips: an impact, then the bubble that it traps (Pumphrey 1989), with an echo."""
    total = np.zeros(length(SECONDS))
    centre, at, period = ratio(dice, 500, 2_500), dice.uniform(0, 0.2), ratio(dice, 0.12, 0.9)
    while at < 2.3:
        n = length(0.02)
        add(total, 0.3 * band(noise(dice, n), 1_500, 7_500) * decay(n, 0.012), at)
        add(total, bubble(dice, centre * ratio(dice, 0.7, 1.5)), at + dice.uniform(0.005, 0.03), ratio(dice, 0.4, 1))
        at += period * ratio(dice, 0.6, 1.6)
    return total


def stream(dice: Dice) -> Sound:
    """Running water: hundreds of bubbles a second, small ones most (van den Doel 2005), over a wash of noise."""
    n = length(SECONDS)
    total = np.zeros(n)
    low, high = ratio(dice, 250, 900), ratio(dice, 1_500, 5_000)
    for _ in range(14):
        pitch = ratio(dice, low, high)
        total += convolved(impulses(dice, n, ratio(dice, 3, 25), 1.2), level(bubble(dice, pitch)) / pitch**0.3)[:n]
    wash = band(noise(dice, n, 0.4), ratio(dice, 200, 700), ratio(dice, 2_500, 8_000), 1) * np.exp(
        0.25 * wander(dice, n, 6)
    )
    result: Sound = total / total.std() + ratio(dice, 0.08, 1.2) * wash / wash.std()
    return result


def pouring(dice: Dice) -> Sound:
    """Filling a vessel: a stream whose air column rises in pitch (Cabe and Pittenger 2000)."""
    sound = stream(dice)
    n = len(sound)
    column = curve(n, ratio(dice, 300, 700), ratio(dice, 900, 2_500))
    return formants(sound, [column, 2.9 * column], 6)


def water(dice: Dice) -> Sound:
    """Water: a stream, drips, pouring."""
    return pick(dice, (stream, drops, pouring), (3, 2, 1))


def ocean(dice: Dice) -> Sound:
    """Waves: noise that swells, brightens as the wave breaks, and draws back hissing (Farnell 2010, chapter 38)."""
    n = length(SECONDS)
    total = np.zeros(n)
    for _ in range(2):
        peak = dice.uniform(0.1, 0.9)
        time = np.linspace(0, 1, n)
        wave = np.where(
            time < peak, np.exp(-((time - peak) ** 2) / 0.03), np.exp(-(time - peak) / dice.uniform(0.2, 0.6))
        )
        foam = formants(noise(dice, n, 0.3), [400 + ratio(dice, 800, 4_000) * wave, 3_000 + 3_000 * wave], 1.5)
        total += level(foam) * wave * (1 + 0.15 * wander(dice, n, 25))
    deep = band(noise(dice, n, 0.8), 40, ratio(dice, 200, 600), 1)
    return total + ratio(dice, 0.03, 0.5) * level(deep)


def fire(dice: Dice) -> Sound:
    """Fire: crackles of all sizes, hiss of gas, lapping flames below 200 Hz (Farnell 2010, chapter 34)."""
    n = length(SECONDS)
    total = (
        ratio(dice, 0.05, 0.5)
        * level(band(noise(dice, n, 0.8), 30, ratio(dice, 150, 500), 1))
        * np.exp(0.4 * wander(dice, n, 8))
    )
    total += ratio(dice, 0.01, 0.12) * level(band(noise(dice, n), 1_000, 7_500)) * np.exp(0.6 * wander(dice, n, 5))
    for _ in range(5):
        m = length(ratio(dice, 0.002, 0.02))
        snap = band(noise(dice, m), ratio(dice, 600, 3_500), 7_900, 1) * decay(m, ratio(dice, 0.004, 0.02))
        bursts = ratio(dice, 2, 22) * np.exp(wander(dice, n, 4))
        total += ratio(dice, 0.3, 1.5) * 0.3 * convolved(impulses(dice, n, bursts, 2), level(snap))[:n]
    return total


def tornado(dice: Dice) -> Sound:
    """Tornado: a roar of low noise that shudders, as survivors tell, like a train that passes."""
    n = length(SECONDS)
    roar = band(noise(dice, n, 0.8), 30, ratio(dice, 300, 1_200), 1) * np.exp(
        0.35 * wander(dice, n, ratio(dice, 5, 14))
    )
    howl = formants(noise(dice, n, 0.3), [ratio(dice, 250, 700) * np.exp(0.15 * wander(dice, n, 2))], 14)
    return level(roar) + ratio(dice, 0.1, 0.8) * level(howl)


def storm(dice: Dice) -> Sound:
    """Storm: rain, wind and thunder at once."""
    n = length(SECONDS)
    parts = [level(one(dice)) * ratio(dice, 0.3, 1.0) for one in (rain, wind, thunder)]
    result: Sound = np.sum([one[:n] for one in parts], axis=0)
    return result


KINDS = {
    "wind": wind,
    "rain": rain,
    "thunder": thunder,
    "storm": storm,
    "tornado": tornado,
    "water": water,
    "ocean": ocean,
    "fire": fire,
    "bubbles": bubbles,
}
