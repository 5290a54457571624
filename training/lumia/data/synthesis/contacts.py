"""Hands and feet on things: knocks, scrapes, grains, membranes (PhISEM: Cook 1997; van den Doel and Pai 1998)."""

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
    harmonics,
    impulses,
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
MEMBRANE = (1.0, 1.59, 2.14, 2.30, 2.65, 2.92, 3.16, 3.5)  # ideal circular membrane (Fletcher and Rossing 1998, 3.3)


def clap(dice: Dice) -> Sound:
    """Return one handclap: a burst of noise about the cavity of the hands, 500 to 3000 Hz (Repp 1987; Peltola 2007)."""
    n = length(ratio(dice, 0.015, 0.06))
    burst = noise(dice, n) * decay(n, ratio(dice, 0.01, 0.05))
    return level(formants(burst, [ratio(dice, 500, 3_000)], ratio(dice, 2, 6)) + 0.3 * band(burst, 2_000, 7_900))


def applause(dice: Dice) -> Sound:
    """Applause: people clap two to five times a second, each with hands of their own (Peltola 2007)."""
    total = np.zeros(length(SECONDS))
    people = int(ratio(dice, 1, 120))
    together = dice.random() < 0.15
    rate, when = ratio(dice, 2, 5), dice.uniform(0, 0.4)
    for _ in range(people):
        own, gain = clap(dice), ratio(dice, 0.15, 1.0)
        period = 1 / rate * (1.0 if together else ratio(dice, 0.7, 1.4))
        at = when + dice.normal(0, 0.03) if together else dice.uniform(0, period)
        while at < SECONDS:
            add(total, own, at, gain * ratio(dice, 0.7, 1.0))
            at += period * (1 + dice.normal(0, 0.05))
    crowd = ratio(dice, 0.02, 0.5) * people / 120
    hum = level(band(noise(dice, len(total), 0.3), 500, 4_500, 1))
    return room(dice, level(total) + crowd * hum, ratio(dice, 0.2, 2.0), ratio(dice, 0.05, 0.6))


def step(dice: Dice, ground: str) -> Sound:
    """Return one footstep: heel and sole on wood or stone, or the crushed grains of gravel and snow (Cook 2002)."""
    total = np.zeros(length(0.45))
    if ground == "hard":
        centre, t60 = ratio(dice, 120, 1_500), ratio(dice, 0.03, 0.12)
        add(total, knock(dice, length(0.2), centre, t60), 0.0, 1.0)
        add(total, knock(dice, length(0.2), 1.5 * centre, 0.6 * t60), ratio(dice, 0.05, 0.14), ratio(dice, 0.2, 0.7))
        return total
    n = len(total)
    pressed = curve(n, 0.0, 1.0, 0.25, 0.7, 0.0)
    m = length(ratio(dice, 0.002, 0.01))
    grain = band(noise(dice, m), ratio(dice, 500, 2_500), 7_900, 1) * decay(m, 0.008)
    return total + level(convolved(impulses(dice, n, ratio(dice, 400, 4_000) * pressed, 1.5), grain)[:n]) * np.sqrt(
        pressed
    )


def footprints(dice: Dice) -> Sound:
    """Footsteps: one to four a second on hard ground, gravel, snow or leaves."""
    total = np.zeros(length(SECONDS))
    ground, period = str(dice.choice(["hard", "grains"])), 1 / ratio(dice, 1.2, 4)
    feet = [step(dice, ground) for _ in range(4)]
    for i in range(int(SECONDS / period) + 1):
        add(total, level(feet[int(dice.integers(4))]), i * period + dice.normal(0, 0.015), ratio(dice, 0.6, 1.0))
    return room(dice, total, ratio(dice, 0.1, 1.0), ratio(dice, 0.03, 0.5))


def knocking(dice: Dice) -> Sound:
    """Knocks on a door: two to six, on a panel of 80 to 500 Hz."""
    total = np.zeros(length(SECONDS))
    centre, period, at = ratio(dice, 110, 500), ratio(dice, 0.12, 0.4), 0.05
    t60 = ratio(dice, 0.06, 0.25)
    for _ in range(int(dice.integers(2, 7))):
        add(total, knock(dice, length(0.4), centre, t60, 9), at, ratio(dice, 0.6, 1.0))
        at += period * ratio(dice, 0.9, 1.1)
    return room(dice, total, ratio(dice, 0.15, 0.8), ratio(dice, 0.05, 0.4))


def creak(dice: Dice) -> Sound:
    """Creak of a hinge: stick and slip, pulses of 20 to 400 Hz that speed up and down (Farnell 2010, chapter 29)."""
    n = length(dice.uniform(0.6, 2.2))
    rate = ratio(dice, 25, 300) * np.exp(0.5 * wander(dice, n, ratio(dice, 1, 5)))
    slips = np.diff(np.floor(phase(rate, n)), prepend=0.0) * dice.uniform(0.5, 1.0, n)
    panel = [ratio(dice, 300, 700), ratio(dice, 900, 1_700), ratio(dice, 2_000, 3_800)]
    return formants(slips, panel, ratio(dice, 5, 15)) * swell(n, 0.1, 0.2) * np.exp(0.3 * wander(dice, n, 5))


def slam(dice: Dice) -> Sound:
    """Slam of a door: latch, thump, rattle."""
    total = np.zeros(length(1.3))
    at = dice.uniform(0.03, 0.3)
    add(total, knock(dice, length(0.1), ratio(dice, 1_200, 3_500), 0.04), at * dice.random(), 0.3)
    add(total, knock(dice, length(0.8), ratio(dice, 70, 220), ratio(dice, 0.15, 0.5), 10), at, 1.0)
    n = length(0.5)
    add(
        total,
        level(band(noise(dice, n, 0.5), 50, ratio(dice, 600, 3_000), 1) * decay(n, ratio(dice, 0.1, 0.4))),
        at,
        0.8,
    )
    for late in dice.exponential(0.08, int(dice.integers(0, 4))):
        add(total, knock(dice, length(0.1), ratio(dice, 1_000, 3_000), 0.05), at + 0.05 + float(late), 0.25)
    return room(dice, total, ratio(dice, 0.2, 1.5), ratio(dice, 0.1, 0.6))


def door(dice: Dice) -> Sound:
    """Door: knocks, creaks, slams, or a creak and then a slam."""

    def both(dice: Dice) -> Sound:
        return np.concatenate([0.4 * level(creak(dice)), level(slam(dice))])

    return pick(dice, (knocking, creak, slam, both), (3, 3, 3, 1))


def hammer(dice: Dice) -> Sound:
    """Hammer: blows on nail, wood or anvil, one to five a second."""
    total = np.zeros(length(SECONDS))
    metal, period, at = dice.random(), 1 / ratio(dice, 1.2, 5), dice.uniform(0, 0.2)
    pitch, wood = ratio(dice, 900, 3_500), ratio(dice, 150, 900)
    partials = np.sort(pitch * np.exp(dice.uniform(0, 1.3, 6)))
    n = length(0.8)
    last = float(dice.choice([0.3, 1.2, 2.3]))
    while at < last:
        ring = modes(n, partials, (ratio(dice, 0.05, 1.0) * metal * pitch / partials), [1.0] * 6)
        blow = level(knock(dice, n, wood, ratio(dice, 0.03, 0.12))) * (1.2 - metal) + metal * level(ring)
        add(total, blow, at, ratio(dice, 0.5, 1))
        at += period * ratio(dice, 0.85, 1.15)
    return room(dice, total, ratio(dice, 0.1, 0.8), ratio(dice, 0.02, 0.4))


def hand_saw(dice: Dice) -> Sound:
    """Hand saw: strokes to and fro, teeth 50 to 300 a second through wood."""
    n = length(SECONDS)
    stroke = np.abs(tone(ratio(dice, 0.5, 1.8), n, dice.random()))
    teeth = level(harmonics(ratio(dice, 70, 300) * (0.35 + stroke), 2)) * (1 + 0.5 * wander(dice, n, 200))
    forward = np.where(tone(ratio(dice, 0.5, 1.8), n) > 0, 1.0, dice.uniform(0.4, 1.0))
    rasp = level(teeth * noise(dice, n)) + 0.5 * teeth
    wood = [ratio(dice, 500, 1_200), ratio(dice, 1_500, 3_000), ratio(dice, 3_500, 5_500)]
    return formants(rasp, wood, 3) * stroke ** dice.uniform(0.5, 1.5) * forward


def power_saw(dice: Dice) -> Sound:
    """Chainsaw and circular saw: a two-stroke's or a blade's whine that sags in the wood."""
    n = length(SECONDS)
    pitch = ratio(dice, 90, 700) * curve(n, *dice.uniform(0.7, 1.15, 5))
    whine = level(harmonics(pitch * (1 + 0.02 * wander(dice, n, 40)), dice.uniform(1, 5)))
    rough = 1 + dice.uniform(0.1, 0.7) * wander(dice, n, 120)
    cut = band(noise(dice, n), 1_000, 7_500, 1)
    return soft(formants(whine * rough, [ratio(dice, 600, 1_500), 3_000], 2), 3) + ratio(dice, 0.05, 0.5) * level(cut)


def saw(dice: Dice) -> Sound:
    """Saw: by hand and by power."""
    return pick(dice, (hand_saw, power_saw), (2, 1))


def membrane(dice: Dice, pitch: float, t60: float) -> Sound:
    """Return a struck membrane: a circular head's modes, dropping, and the stick (Fletcher and Rossing 1998)."""
    n = length(min(1.6, 1.2 * t60))
    drop = 1 + dice.uniform(0, 0.5) * decay(n, ratio(dice, 0.08, 0.3))
    total = ratio(dice, 0.05, 0.5) * noise(dice, n, 0.2) * decay(n, 0.03)
    for k, partial in enumerate(MEMBRANE[: int(dice.integers(2, 9))]):
        gain, seconds = dice.uniform(0.3, 1) / (1 + 0.6 * k), t60 / (1 + 0.8 * k)
        total += gain * tone(pitch * partial * drop, n) * decay(n, seconds)
    return level(total)


def snare(dice: Dice) -> Sound:
    """Return a snare drum: a membrane and wires of noise."""
    n = length(ratio(dice, 0.15, 0.4))
    wires = band(noise(dice, n), ratio(dice, 700, 2_500), 7_900, 1) * decay(n, ratio(dice, 0.1, 0.4))
    head = membrane(dice, ratio(dice, 150, 280), 0.2)
    return level(wires + 0.6 * np.pad(head, (0, max(0, n - len(head))))[:n])


def cymbal(dice: Dice) -> Sound:
    """Return a hi-hat or cymbal: noise and dense inharmonic modes above 2 kHz."""
    t60 = ratio(dice, 0.06, 2.0)
    n = length(min(1.5, t60))
    pitches = np.exp(dice.uniform(np.log(2_000), np.log(7_500), 24))
    ring = modes(n, pitches, [t60] * 24, dice.uniform(0, 1, 24))
    return level(0.6 * level(ring) + band(noise(dice, n), 3_000, 7_900) * decay(n, t60))


def kit(dice: Dice) -> Sound:
    """Drum kit: a pattern of sixteenths for bass drum, snare and cymbal, or a fill on the toms."""
    total = np.zeros(length(SECONDS))
    grid = 60 / ratio(dice, 75, 190) / 4
    kick, hit, hat = membrane(dice, ratio(dice, 45, 80), ratio(dice, 0.2, 0.6)), snare(dice), cymbal(dice)
    toms = [membrane(dice, ratio(dice, 80, 260), ratio(dice, 0.2, 0.7)) for _ in range(3)]
    fill = dice.random() < 0.3
    for i in range(int(SECONDS / grid) + 1):
        at = i * grid + dice.normal(0, 0.003)
        if fill and dice.random() < 0.8:
            add(total, toms[(i // 4) % 3], at, ratio(dice, 0.5, 1))
            continue
        if i % 8 == 0 or dice.random() < 0.12:
            add(total, kick, at, 1.0)
        if i % 8 == 4 or dice.random() < 0.05:
            add(total, hit, at, 0.8)
        if i % 2 == 0 or dice.random() < 0.2:
            add(total, hat, at, ratio(dice, 0.1, 0.35))
    return total


def hand_drums(dice: Dice) -> Sound:
    """Hand drums: bongos, congas, djembe, tabla: two or three heads of 90 to 500 Hz, tones and slaps."""
    total = np.zeros(length(SECONDS))
    low = ratio(dice, 70, 320)
    heads = [
        membrane(dice, low * high, ratio(dice, 0.1, 0.6))
        for high in (1.0, ratio(dice, 1.2, 1.7), ratio(dice, 1.8, 2.6))
    ]
    grid, at = 60 / ratio(dice, 80, 200) / 4, 0.0
    while at < 2.4:
        add(total, heads[int(dice.integers(3))], at, ratio(dice, 0.3, 1))
        at += grid * int(dice.choice([1, 1, 2, 2, 3]))
    return total


def roll(dice: Dice) -> Sound:
    """Roll on a snare drum, tom or timpano: 12 to 30 strokes a second."""
    total = np.zeros(length(SECONDS))
    one = snare(dice) if dice.random() < 0.6 else membrane(dice, ratio(dice, 70, 220), ratio(dice, 0.3, 1.2))
    rate, at = ratio(dice, 12, 30), 0.0
    loud = curve(length(SECONDS), *dice.uniform(0.3, 1.0, 3))
    while at < 2.4:
        add(total, one, at, float(loud[int(at * 16_000)]) * ratio(dice, 0.6, 1))
        at += ratio(dice, 0.9, 1.1) / rate
    return total


def blows(dice: Dice) -> Sound:
    """Single strokes on one drum."""
    total = np.zeros(length(SECONDS))
    one, at = membrane(dice, ratio(dice, 50, 300), ratio(dice, 0.3, 1.5)), 0.0
    while at < 2.2:
        add(total, one, at, ratio(dice, 0.5, 1))
        at += ratio(dice, 0.25, 1.2)
    return total


def drum(dice: Dice) -> Sound:
    """Drum: kit, hand drums, rolls, single strokes."""
    return room(
        dice, pick(dice, (kit, hand_drums, roll, blows), (4, 3, 2, 2)), ratio(dice, 0.1, 0.8), ratio(dice, 0.02, 0.3)
    )


def maracas(dice: Dice) -> Sound:
    """Maracas: beans in a gourd with a resonance near 3.2 kHz, shaken in rhythm (PhISEM: Cook 1997)."""
    n = length(SECONDS)
    grid = 60 / ratio(dice, 70, 190) / float(dice.choice([2, 4, 4]))
    shaken = np.zeros(n)
    for i in range(int(SECONDS / grid) + 1):
        m = length(min(grid, ratio(dice, 0.05, 0.15)))
        add(shaken, swell(m, 0.02, 0.03), i * grid + dice.normal(0, 0.004), float(dice.choice([1.0, 0.5, 0.8])))
    beans = impulses(dice, n, ratio(dice, 1_000, 6_000) * shaken) * shaken
    return band(formants(beans, [ratio(dice, 2_300, 5_000)], ratio(dice, 2, 5)), 1_200, 8_000)


def arrow(dice: Dice) -> Sound:
    """Bow and arrow: the string twangs (Karplus and Strong 1983, in its modal form), a whoosh, the arrow hits."""
    n = length(dice.uniform(0.9, 1.8))
    total = np.zeros(n)
    pitch = ratio(dice, 60, 220)
    hertz = [pitch * k for k in range(1, 16)]
    twang = modes(n, hertz, [ratio(dice, 0.15, 0.6) / k**0.5 for k in range(1, 16)], [1 / k**0.7 for k in range(1, 16)])
    snap = noise(dice, n) * decay(n, 0.03)
    creaking = length(0.3)
    add(total, 0.15 * level(creak(dice))[:creaking], 0.0)
    loose = 0.3 if dice.random() < 0.5 else 0.02
    add(total, level(twang) + 0.6 * level(snap), loose)
    m = length(ratio(dice, 0.1, 0.35))
    whoosh = formants(noise(dice, m), [curve(m, 900, 2_500, 1_200)], 3) * swell(m, 0.03, 0.06)
    add(total, level(whoosh), loose + 0.03, ratio(dice, 0.2, 0.9))
    add(total, level(knock(dice, length(0.4), ratio(dice, 120, 600), ratio(dice, 0.05, 0.2))), loose + m / 16_000, 1.0)
    return total


def camera(dice: Dice) -> Sound:
    """Camera: mirror up, shutter, mirror down, perhaps the winding motor."""
    total = np.zeros(length(1.6))
    for shot in range(int(dice.integers(1, 4))):
        at = shot * ratio(dice, 0.3, 0.5)
        gap, centre = ratio(dice, 0.04, 0.16), ratio(dice, 900, 3_500)
        for when, gain in ((0.0, 1.0), (0.4 * gap, 0.4), (gap, 0.9)):
            click = level(knock(dice, length(0.12), centre * ratio(dice, 0.8, 1.3), ratio(dice, 0.01, 0.04)))
            add(total, click, at + when, gain * ratio(dice, 0.7, 1))
    if dice.random() < 0.5:
        n = length(ratio(dice, 0.2, 0.8))
        motor = level(harmonics(ratio(dice, 150, 500) * curve(n, 0.6, 1.0, 1.0, 0.8), 3)) + 0.4 * noise(dice, n)
        add(total, level(formants(motor, [1_500, 3_500], 3) * swell(n, 0.03, 0.05)), 0.2, ratio(dice, 0.1, 0.6))
    return total


def scissors(dice: Dice) -> Sound:
    """Scissors: blades slide with a rising scrape and meet with a click, one to four times a second."""
    total = np.zeros(length(SECONDS))
    at, period, pitch = 0.0, 1 / ratio(dice, 1, 4), ratio(dice, 2_000, 4_500)
    last = float(dice.choice([0.1, 1.0, 2.2]))
    while at < last:
        n = length(min(0.8 * period, ratio(dice, 0.08, 0.3)))
        scrape = formants(noise(dice, n), [pitch * curve(n, 0.7, 1.2), 6_000], 4) * curve(n, 0.1, 0.6, 1.0)
        add(total, level(scrape), at, ratio(dice, 0.1, 0.6))
        hertz = pitch * dice.uniform(0.7, 1.8, 5)
        click = modes(length(0.15), hertz, [ratio(dice, 0.02, 0.12)] * 5, [1.0] * 5)
        add(
            total,
            level(click) + 0.3 * level(knock(dice, length(0.15), 1_500, 0.02)),
            at + n / 16_000,
            ratio(dice, 0.6, 1),
        )
        at += period * ratio(dice, 0.8, 1.2)
    return total


def typing(dice: Dice) -> Sound:
    """Typing: four to twelve keys a second, down and up, a space bar now and then; a typewriter's bell sometimes."""
    total = np.zeros(length(SECONDS))
    at, rate, centre, t60 = 0.0, ratio(dice, 3, 12), ratio(dice, 600, 3_500), ratio(dice, 0.008, 0.05)
    while at < 2.4:
        wide = 0.5 if dice.random() < 0.15 else 1.0
        add(
            total, level(knock(dice, length(0.1), centre * wide * ratio(dice, 0.85, 1.2), t60)), at, ratio(dice, 0.5, 1)
        )
        up = level(knock(dice, length(0.06), 1.4 * centre, 0.6 * t60))
        add(total, up, at + ratio(dice, 0.04, 0.11), ratio(dice, 0.1, 0.4))
        at += dice.gamma(3.0, 1 / (3 * rate))
    return total


def coins(dice: Dice) -> Sound:
    """Coins: small discs that ring at 3 to 7 kHz and bounce ever faster (van den Doel and Pai 1998), or a handful."""
    total = np.zeros(length(dice.uniform(1.0, 2.5)))
    for _ in range(int(dice.choice([1, 2, 4, 10, 20]))):
        pitch, t60 = ratio(dice, 2_000, 5_500), ratio(dice, 0.05, 0.6)
        hertz = [pitch * step for step in (1.0, 1.03, 1.73, 2.33, 2.9)]
        ping = level(modes(length(0.7), hertz, [t60] * 5, dice.uniform(0.3, 1, 5)))
        at, gap, gain = dice.uniform(0, 1.2), ratio(dice, 0.06, 0.25), ratio(dice, 0.3, 1)
        for _ in range(int(dice.integers(1, 9))):
            add(total, ping + 0.2 * level(knock(dice, length(0.05), 2_500, 0.01))[0], at, gain)
            at, gap, gain = at + gap, gap * 0.75, gain * 0.7
    return total


def balloon(dice: Dice) -> Sound:
    """Balloon: rubber squeaks by stick and slip, air that flaps out, or a pop."""
    sort = int(dice.integers(3))
    if sort == 0:
        n = length(0.5)
        pop = band(noise(dice, n), 60, 7_900, 1) * decay(n, ratio(dice, 0.03, 0.15))
        return room(dice, pop, ratio(dice, 0.2, 1.0), ratio(dice, 0.1, 0.5))
    n = length(dice.uniform(0.6, 2.2))
    if sort == 1:
        pitch = ratio(dice, 400, 1_600) * np.exp(0.35 * wander(dice, n, 6))
        return level(formants(harmonics(np.clip(pitch, 100, 5_000), 4), [1_500, 3_200], 4)) * np.clip(
            wander(dice, n, 6), 0, 1
        )
    pitch = ratio(dice, 120, 500) * curve(n, *dice.uniform(0.7, 1.4, 6))
    rasp = harmonics(pitch, 2) * (1 + 0.5 * noise(dice, n, 0.4))
    return level(formants(rasp, [900, 2_200, 4_000], 3)) * swell(n, 0.02, 0.1)


KINDS = {
    "applause": applause,
    "footprints": footprints,
    "door": door,
    "hammer": hammer,
    "saw": saw,
    "drum": drum,
    "maracas": maracas,
    "bow and arrow": arrow,
    "camera": camera,
    "scissors": scissors,
    "keyboard": typing,
    "money": coins,
    "balloon": balloon,
}
