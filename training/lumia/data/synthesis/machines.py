"""Vehicles and their signals: engines, horns, sirens, propellers, jets, steam, explosions (Farnell 2010, part V)."""

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
    knock,
    length,
    level,
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


def siren(dice: Dice) -> Sound:
    """Siren: wail, yelp and two tones of ambulance, fire engine and police (300 to 1800 Hz; ISO 7731, DIN 14610)."""
    n = length(SECONDS)
    start = dice.random()
    low, high = ratio(dice, 350, 800), ratio(dice, 1.3, 3.0)
    sort = int(dice.integers(4))
    if sort == 0:  # wail: up and down within some seconds
        place = 0.5 - 0.5 * np.cos(2 * np.pi * (start + np.arange(n) / 16_000 * ratio(dice, 0.12, 0.5)))
    elif sort == 1:  # yelp
        place = 0.5 - 0.5 * np.cos(2 * np.pi * (start + np.arange(n) / 16_000 * ratio(dice, 2, 5)))
    elif sort == 2:  # two tones by turns
        place = np.round((phase(ratio(dice, 0.5, 1.6), n) + start) % 1.0)
        high = ratio(dice, 1.2, 1.6)
    else:  # an air-raid siren that winds up
        place = curve(n, *sorted(dice.uniform(0, 1, 3)))
    sound = level(harmonics(low * high**place, dice.uniform(3, 14)))
    return room(dice, soft(sound, ratio(dice, 0.5, 3)), ratio(dice, 0.2, 1.5), ratio(dice, 0.02, 0.5))


def firing(dice: Dice, speed: Sound, cylinders: int, rough: float) -> Sound:
    """Return an engine [n]: one pulse of each cylinder in two turns, unlike each other (Farnell 2010, chapter 45).

    `speed` [n] is in turns a second.
    """
    cycle = phase(speed * (1 + 0.015 * rough * wander(dice, len(speed), 12)), len(speed)) / 2
    strengths = dice.uniform(1 - 0.5 * rough, 1.0, cylinders)
    place = (cycle * cylinders) % cylinders
    pulse = np.exp(-(place % 1.0) * dice.uniform(3, 9)) * strengths[place.astype(int) % cylinders]
    explosions = pulse * (1 + 0.6 * rough * noise(dice, len(speed), 0.3)) - pulse.mean()
    pipe = ratio(dice, 60, 220)
    muffled = formants(explosions, [pipe, 3 * pipe, ratio(dice, 700, 1_800)], 3)
    clatter = band(noise(dice, len(speed)), 800, 6_000, 1) * pulse
    return level(muffled) + ratio(dice, 0.02, 0.3) * level(clatter)


def horn(dice: Dice) -> Sound:
    """Car horn: two reeds a third apart, 300 to 550 Hz, rich in partials, once or twice."""
    total = np.zeros(length(SECONDS))
    pitch, interval = ratio(dice, 280, 560), float(dice.choice([1.0, 1.19, 1.25, 1.33]))
    at = 0.0
    for _ in range(int(dice.integers(1, 4))):
        n = length(ratio(dice, 0.12, 1.2))
        steady = curve(n, 0.97, 1.0, 1.0, 1.0)
        blown = harmonics(pitch * steady, 4) + harmonics(pitch * interval * steady, 4)
        add(total, formants(level(blown), [1_200, 2_600], 3) * swell(n, 0.015, 0.03), at)
        at += n / 16_000 + ratio(dice, 0.06, 0.5)
    return soft(total, 2)


def driving(dice: Dice) -> Sound:
    """Car engine: starts, idles, accelerates or passes, with noise of the tyres."""
    n = length(SECONDS)
    sort = int(dice.integers(4))
    idle, fast = ratio(dice, 10, 17), ratio(dice, 25, 80)
    if sort == 0:  # passes, with Doppler's shift
        near = np.exp(-(((np.linspace(0, 1, n) - dice.uniform(0.3, 0.7)) / dice.uniform(0.08, 0.3)) ** 2))
        speed = fast * curve(n, 1.08, 1.07, dice.uniform(0.82, 0.95), 0.85)
        tyres = band(noise(dice, n, 0.4), 150, ratio(dice, 1_500, 5_000), 1)
        return (firing(dice, speed, 4, 0.3) + ratio(dice, 0.3, 3) * level(tyres)) * (0.05 + near)
    if sort == 1:  # starts
        m = length(dice.uniform(0.4, 1.0))
        turn = tone(ratio(dice, 5, 9), m)
        crank = level(formants(harmonics(ratio(dice, 60, 130) * (1 + 0.1 * turn), 3), [700, 2_300], 3)) * (
            0.6 + 0.4 * turn
        )
        engine = firing(dice, idle * curve(n - m, 1.0, 2.5, 1.5, 1.2), 4, 0.5)
        return np.concatenate([0.6 * crank, engine])
    speed = (
        idle * curve(n, *dice.uniform(0.9, 1.1, 3)) if sort == 2 else curve(n, idle, fast, dice.uniform(0.7, 1) * fast)
    )
    return firing(dice, speed, int(dice.choice([4, 4, 6])), dice.uniform(0.2, 0.8))


def car(dice: Dice) -> Sound:
    """Car: engine and horn."""
    return pick(dice, (driving, horn), (2, 1))


def motorcycle(dice: Dice) -> Sound:
    """Motorcycle: one or two cylinders, uneven, revved (15 to 100 turns a second)."""
    n = length(SECONDS)
    speed = ratio(dice, 18, 60) * curve(n, *dice.uniform(0.6, 2.0, int(dice.integers(3, 7))))
    sound = firing(dice, speed, int(dice.choice([1, 2, 2])), dice.uniform(0.3, 1.0))
    return soft(sound, dice.uniform(1, 5))


def tractor(dice: Dice) -> Sound:
    """Tractor: a slow diesel of two to four cylinders with knocks."""
    n = length(SECONDS)
    sound = firing(dice, ratio(dice, 7, 15) * curve(n, *dice.uniform(0.85, 1.2, 3)), int(dice.integers(2, 5)), 1.0)
    return soft(sound, dice.uniform(1, 4))


def steam(dice: Dice) -> Sound:
    """Steam engine: chuffs of noise, four to a turn, one of them louder, ever faster."""
    n = length(SECONDS)
    rate = ratio(dice, 2, 12) * curve(n, 1.0, ratio(dice, 0.8, 1.8))
    turn = phase(rate, n)
    accents = np.array([1.0, *dice.uniform(0.4, 0.9, 3)])[np.floor(turn).astype(int) % 4]
    chuff = np.exp(-(turn % 1.0) * dice.uniform(2, 6)) * accents
    sound = formants(noise(dice, n, 0.2), [ratio(dice, 200, 600), ratio(dice, 900, 2_500)], 2)
    result: Sound = level(sound) * chuff + ratio(dice, 0.005, 0.1) * noise(dice, n)
    return result


def whistle(dice: Dice) -> Sound:
    """Train whistle: a chord of three to five blown pipes or air horns, sliding up to pitch (Farnell 2010)."""
    n = length(ratio(dice, 0.5, 2.4))
    blown = curve(n, dice.uniform(0.7, 0.97), 1.0, 1.0, 1.0, dice.uniform(0.85, 0.98))
    base, tilt = ratio(dice, 240, 700), dice.uniform(3, 12)
    chord = [base * step for step in (1.0, 1.2, 1.5, 1.68, 2.0)[: int(dice.integers(1, 6))]]
    sound = np.sum([harmonics(pitch * blown, tilt) for pitch in chord], axis=0)
    air = band(noise(dice, n), 700, 7_000, 1)
    return (level(sound) + ratio(dice, 0.02, 0.3) * level(air)) * swell(n, 0.05, 0.15)


def wheels(dice: Dice) -> Sound:
    """Train on rails: pairs of clacks at the joints over rumble, and a squeal of flanges."""
    n = length(SECONDS)
    total = (
        ratio(dice, 0.1, 0.7)
        * level(band(noise(dice, n, 0.8), 40, ratio(dice, 300, 1_500), 1))
        * np.exp(0.2 * wander(dice, n, 6))
    )
    total += ratio(dice, 0.01, 0.15) * level(band(noise(dice, n), 1_000, 6_000, 1))
    period, share = ratio(dice, 0.25, 0.9), dice.uniform(0.12, 0.35)
    centre = ratio(dice, 200, 1_200)
    for i in range(int(SECONDS / period) + 1):
        for at in (0.0, share):
            add(
                total, knock(dice, length(0.2), centre, ratio(dice, 0.04, 0.15)), (i + at) * period, ratio(dice, 0.4, 1)
            )
    if dice.random() < 0.15:
        squeal = tone(ratio(dice, 1_500, 4_500) * np.exp(0.01 * wander(dice, n, 10)), n)
        total += ratio(dice, 0.02, 0.2) * squeal * swell(n, 0.6, 0.8) * np.exp(0.3 * wander(dice, n, 8))
    return total


def train(dice: Dice) -> Sound:
    """Train: steam, whistle, wheels, or the whistle over one of the others."""
    sound = pick(dice, (steam, wheels, whistle), (3, 3, 2))
    if dice.random() < 0.3:
        sound = np.pad(level(sound), (0, max(0, length(SECONDS) - len(sound))))
        add(sound, whistle(dice), dice.uniform(0, 1), ratio(dice, 0.2, 1))
    return room(dice, sound, ratio(dice, 0.2, 1.0), ratio(dice, 0.01, 0.3))


def ship(dice: Dice) -> Sound:
    """Ship's horn: 70 to 350 Hz, long, rich in partials, with echoes over water."""
    n = length(dice.uniform(0.9, 2.5))
    blown = curve(n, dice.uniform(0.85, 1.0), 1.0, 1.0, 0.97)
    pitches = ratio(dice, 70, 340) * np.array([1.0, 1.26, 1.5])[: int(dice.choice([1, 1, 2, 3]))]
    sound = np.sum([harmonics(pitch * blown, dice.uniform(2, 6)) for pitch in pitches], axis=0)
    horn = formants(level(sound), [ratio(dice, 300, 700), ratio(dice, 1_000, 1_900)], 3)
    air = 0.03 * band(noise(dice, n), 500, 5_000)
    return room(dice, (level(horn) + air) * swell(n, 0.1, 0.2), ratio(dice, 0.6, 3), ratio(dice, 0.1, 0.5))


def helicopter(dice: Dice) -> Sound:
    """Helicopter: blade slap of 8 to 28 Hz, rotor noise, whine of the turbine (Lowson 1965)."""
    n = length(SECONDS)
    turn = phase(ratio(dice, 8, 28) * (1 + 0.01 * wander(dice, n, 2)), n) % 1.0
    slap = np.exp(-turn * dice.uniform(4, 20))
    wash = band(noise(dice, n, dice.uniform(0.3, 0.8)), 50, ratio(dice, 500, 4_000), 1)
    thump = band(slap - slap.mean(), 20, ratio(dice, 200, 900))
    whine = level(harmonics(np.full(n, ratio(dice, 500, 2_500)), 12)) + level(
        harmonics(np.full(n, ratio(dice, 90, 250)), 6)
    )
    near = curve(n, *dice.uniform(0.5, 1.0, 3))
    return (
        level(wash * (ratio(dice, 0.02, 0.3) + slap))
        + ratio(dice, 0.1, 1.5) * level(thump)
        + ratio(dice, 0.003, 0.06) * whine
    ) * near


def propeller(dice: Dice) -> Sound:
    """Propeller plane: a drone of 50 to 180 Hz from blades and exhaust, beating, coming near or passing."""
    n = length(SECONDS)
    shift = curve(n, 1.0, dice.uniform(0.85, 1.15))
    pitch = ratio(dice, 50, 180)
    drone = np.sum(
        [harmonics(pitch * shift * detuned, dice.uniform(2, 7)) for detuned in (1.0, ratio(dice, 0.98, 1.02))], axis=0
    )
    body = formants(level(drone), [ratio(dice, 150, 500), ratio(dice, 700, 1_800)], 2)
    wash = band(noise(dice, n, 0.6), 80, 3_000, 1)
    return (level(body) + ratio(dice, 0.05, 0.5) * level(wash)) * curve(n, *dice.uniform(0.2, 1.0, 3))


def jet(dice: Dice) -> Sound:
    """Jet: roar whose peak follows Strouhal's number (Lighthill 1952), whine of the fan, the ground's echo."""
    n = length(SECONDS)
    roar = formants(
        noise(dice, n, dice.uniform(0.3, 0.7)), [ratio(dice, 150, 600) * curve(n, *dice.uniform(0.6, 1.5, 3))], 1.2
    )
    whine = level(harmonics(ratio(dice, 900, 3_200) * curve(n, 1.0, dice.uniform(0.7, 1.3)), 14))
    delay = np.clip(curve(n, *dice.uniform(10, 60, 2)), 1, None)
    echo = np.interp(np.arange(n) - delay, np.arange(n), roar)
    return (level(roar + 0.6 * echo) + ratio(dice, 0.01, 0.5) * whine) * curve(n, *dice.uniform(0.15, 1.0, 4))


def airplane(dice: Dice) -> Sound:
    """Airplane: propellers and jets."""
    return pick(dice, (propeller, jet), (1, 1))


def rocket(dice: Dice) -> Sound:
    """Rocket: ignition and a growing roar with crackle (Ffowcs Williams 1975: skewed pressure)."""
    n = length(SECONDS)
    roar = band(noise(dice, n, dice.uniform(0.4, 0.9)), 30, ratio(dice, 800, 5_000), 1)
    crackle = np.maximum(0, noise(dice, n, 0.2)) ** 3
    grown = curve(n, dice.uniform(0.02, 0.5), 1.0, 1.0, dice.uniform(0.2, 1.0))
    return (level(roar) + ratio(dice, 0.2, 2) * level(band(crackle, 300, 7_000, 1))) * grown


def fireworks(dice: Dice) -> Sound:
    """Fireworks: a whistling rise, a bang, and crackles that rain down."""
    total = np.zeros(length(SECONDS))
    at = 0.0
    if dice.random() < 0.6:
        n = length(dice.uniform(0.4, 1.2))
        rise = tone(ratio(dice, 900, 3_500) * curve(n, 1.0, ratio(dice, 0.6, 1.6)), n) + 0.5 * noise(dice, n)
        add(total, rise * swell(n, 0.1, 0.02), 0, ratio(dice, 0.1, 0.6))
        at = n / 16_000
    for _ in range(int(dice.integers(1, 5))):
        n = length(1.5)
        bang = band(noise(dice, n, 0.5), 40, ratio(dice, 1_000, 6_000), 1) * decay(n, ratio(dice, 0.15, 1.0))
        add(total, level(bang), at, ratio(dice, 0.4, 1.0))
        at += dice.exponential(0.4)
    for when in dice.uniform(0.2, 1.6, int(dice.choice([0, 30, 150]))):
        n = length(0.015)
        snap = band(noise(dice, n), 1_000, 7_900) * decay(n, 0.01)
        add(total, level(snap), float(when) + 0.3, dice.exponential(0.25))
    return room(dice, total, ratio(dice, 0.3, 2), ratio(dice, 0.05, 0.5))


def explosion(dice: Dice) -> Sound:
    """Explosion: a blast, its rumble, falling debris (Farnell 2010, chapter 53)."""
    n = length(dice.uniform(1.0, 2.5))
    blast = noise(dice, n, 0.3) * decay(n, ratio(dice, 0.1, 0.6))
    boom = band(noise(dice, n, 1.0), 20, ratio(dice, 100, 500), 1) * decay(n, ratio(dice, 0.8, 3))
    sound = level(blast) + ratio(dice, 0.5, 2) * level(boom)
    for when in dice.exponential(0.6, int(dice.integers(0, 30))):
        add(sound, knock(dice, length(0.1), ratio(dice, 300, 3_000), 0.05), 0.2 + float(when), dice.exponential(0.08))
    return room(dice, soft(sound, ratio(dice, 1, 8)), ratio(dice, 0.3, 2.5), ratio(dice, 0.05, 0.5))


def bomb(dice: Dice) -> Sound:
    """Bomb: a whistle that falls, then the explosion."""
    n = length(dice.uniform(0.8, 1.6))
    fall = tone(ratio(dice, 1_400, 3_000) * curve(n, 1.0, 0.85, ratio(dice, 0.3, 0.5)), n) * swell(n, 0.15, 0.02)
    return np.concatenate([0.4 * fall, explosion(dice)])


KINDS = {
    "siren": siren,
    "car": car,
    "motorcycle": motorcycle,
    "tractor": tractor,
    "train": train,
    "ship": ship,
    "helicopter": helicopter,
    "airplane": airplane,
    "rocket": rocket,
    "fireworks": fireworks,
    "explosion": explosion,
    "bomb": bomb,
}
