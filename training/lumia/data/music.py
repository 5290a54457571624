"""Music that means no thing: chords, phrases, arpeggios, bass lines and mixtures, rendered from a sound font.

They teach the encoder that music is none of the things it knows. An instrument that is a concept (a piano, a violin) or
sounds much like one plays in mixtures only; loops of the drum kit alone are labelled "drum". Held out for the test,
before anything is made: the programs with `p % 8 == 5`, two drum kits, and the keys with an even tonic.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from clavilux.training.lumia.data.clips import LabelledClip, Origin, Split, tidy
from clavilux.training.lumia.data.concepts import SOUNDS
from clavilux.training.lumia.data.midi import DRUM_CHANNEL, PASSAGE_SECONDS, Note, Passage, rendered

FONT = "FluidR3_GM.sf2"
ORIGIN = ("Debian fluid-soundfont-gm", "MIT")
TONAL = range(112)  # programs that play pitches; behind them are percussion and effects
HELD_OUT = 5  # programs with this remainder by 8 are for the test
CONCEPTS = {one.program for sounds in SOUNDS.values() for one in sounds if one.kind == "instrument"}
NEAR = {2, 9, 20, 23, 28, 30, 31, 44, 45, 49, 50, 51, 54, 58, 61, 67, 72, 77, 79, 91, 110}  # sound much like a concept
BASSES = (*range(32, 40), 43, 57, 58, 70, 87)
KITS: dict[Split, tuple[int, ...]] = {"train": (0, 8, 16, 25, 32, 48), "test": (24, 40)}
COUNTS: dict[Split, dict[str, int]] = {
    "train": {"chords": 260, "phrase": 260, "arpeggio": 200, "bass": 140, "drums": 120, "mixture": 720},
    "test": {"chords": 28, "phrase": 28, "arpeggio": 20, "bass": 14, "drums": 14, "mixture": 72},
}
SCALES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 10),
    (0, 2, 3, 5, 7, 8, 11),
)  # major, minor, dorian, mixolydian, harmonic minor
PROGRESSIONS = (
    (0, 3, 4, 0),
    (0, 4, 5, 3),
    (5, 3, 0, 4),
    (0, 5, 1, 4),
    (1, 4, 0, 0),
    (0, 6, 5, 4),
    (0, 0, 3, 4),
    (0, 2),
)
DRUMS = {"kick": (35, 36), "snare": (37, 38, 40), "hat": (42, 44, 46, 51), "more": (41, 43, 45, 47, 49, 54, 56, 70, 75)}
Part = Callable[["Song", int], list[Note]]


class Song:
    """Key, scale, progression and tempo of one passage, and the generator that all its parts draw from."""

    def __init__(self, dice: random.Random, split: Split) -> None:
        """Draw them; the tonic's pitch class is odd in training, even in the test."""
        self.dice = dice
        self.tonic = dice.choice(range(1 if split == "train" else 0, 12, 2))
        self.scale = dice.choice(SCALES)
        self.beat = 60 / dice.uniform(62, 184)  # s
        self.steps = dice.choice(PROGRESSIONS)
        self.bar = self.beat * dice.choice((1, 2, 2, 4))  # s a chord lasts

    def key(self, degree: int, octave: int) -> int:
        """Return the MIDI key of a degree of the scale, 0 the tonic, in or above an octave (5 is that of middle C)."""
        high, place = divmod(degree, len(self.scale))
        return min(120, 12 * (octave + high) + self.tonic + self.scale[place])

    def root(self, at: float) -> int:
        """Return the degree that the chord at this time stands on."""
        return self.steps[int(at / self.bar) % len(self.steps)]

    def grid(self, step: float) -> list[float]:
        """Return the times at which something may be struck, `step` beats apart."""
        return [i * step * self.beat for i in range(int(PASSAGE_SECONDS / (step * self.beat)) + 1)]

    def velocity(self) -> int:
        """Return how hard a key is struck."""
        return self.dice.randint(60, 118)


def chords(song: Song, channel: int) -> list[Note]:
    """Return chords of three or four notes, held or struck again."""
    octave, size = song.dice.choice((4, 4, 5)), song.dice.choice((3, 3, 4))
    step = song.dice.choice((0.5, 1.0, song.bar / song.beat, song.bar / song.beat))
    length, loud, turn = step * song.beat * song.dice.uniform(0.4, 1.0), song.velocity(), song.dice.randint(0, 2)
    return [
        Note(channel, song.key(song.root(at) + 2 * i - (7 if i >= size - turn else 0), octave), loud, at, length)
        for at in song.grid(step)
        if at < PASSAGE_SECONDS - 0.1
        for i in range(size)
    ]


def phrase(song: Song, channel: int) -> list[Note]:
    """Return a melody that walks over the scale and rests on the chords."""
    dice, at, degree, octave, notes = song.dice, 0.0, song.dice.randint(0, 7), song.dice.choice((4, 5, 5, 6)), []
    while at < PASSAGE_SECONDS - 0.1:
        seconds = song.beat * dice.choice((0.25, 0.5, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0))
        if dice.random() < 0.88:
            notes.append(Note(channel, song.key(degree, octave), song.velocity(), at, seconds * dice.uniform(0.6, 1.0)))
        at += seconds
        degree = max(-3, min(10, degree + dice.choice((-2, -1, -1, 0, 1, 1, 2, 4, -4))))
    return notes


def arpeggio(song: Song, channel: int) -> list[Note]:
    """Return the notes of the chords one after the other, in sixteenths, triplets or eighths."""
    octave, step = song.dice.choice((4, 5, 5)), song.dice.choice((0.25, 1 / 3, 0.5))
    order = song.dice.choice(((0, 2, 4, 7), (7, 4, 2, 0), (0, 4, 2, 4), (0, 2, 4, 7, 4, 2), (0, 7, 4, 9)))
    length = step * song.beat * song.dice.uniform(0.7, 2.5)
    return [
        Note(channel, song.key(song.root(at) + order[i % len(order)], octave), song.velocity(), at, length)
        for i, at in enumerate(song.grid(step))
        if at < PASSAGE_SECONDS - 0.05
    ]


def bass(song: Song, channel: int) -> list[Note]:
    """Return a bass line: roots, fifths and octaves, or a walk."""
    step, octave = song.dice.choice((0.5, 1.0, 1.0, 2.0)), song.dice.choice((2, 3, 3))
    moves = song.dice.choice(((0,), (0, 4), (0, 0, 7, 4), (0, 2, 4, 5), (0, 7)))
    length = step * song.beat * song.dice.uniform(0.5, 1.0)
    return [
        Note(channel, song.key(song.root(at) + moves[i % len(moves)], octave), song.velocity(), at, length)
        for i, at in enumerate(song.grid(step))
        if at < PASSAGE_SECONDS - 0.05 and song.dice.random() < 0.92
    ]


def drums(song: Song, channel: int = DRUM_CHANNEL) -> list[Note]:
    """Return a drum loop: bass drum and snare by turns, cymbals on a grid, now and then something else."""
    dice, notes = song.dice, []
    kick, snare, hat = (dice.choice(DRUMS[name]) for name in ("kick", "snare", "hat"))
    division, busy = dice.choice((2, 2, 4)), dice.uniform(0.0, 0.25)
    for i, at in enumerate(song.grid(0.25)):
        struck = {
            kick: i % 8 == 0 or dice.random() < busy,
            snare: i % 8 == 4 or dice.random() < 0.4 * busy,
            hat: i % (4 // division) == 0,
            dice.choice(DRUMS["more"]): dice.random() < busy,
        }
        notes += [Note(channel, key, song.velocity(), at, 0.2) for key, is_hit in struck.items() if is_hit]
    return [note for note in notes if note.start < PASSAGE_SECONDS - 0.05]


PARTS: dict[str, Part] = {"chords": chords, "phrase": phrase, "arpeggio": arpeggio, "bass": bass}


def programs(split: Split, among: Sequence[int] = TONAL) -> list[int]:
    """Return the programs that a side of the split may use."""
    return [program for program in among if (program % 8 == HELD_OUT) == (split == "test")]


def solo(sort: str, dice: random.Random, split: Split) -> Passage:
    """Return one part alone, of an instrument that is not and does not sound like a concept's."""
    among = BASSES if sort == "bass" else TONAL
    free = [program for program in programs(split, among) if program not in CONCEPTS | NEAR]
    return Passage(tuple(PARTS[sort](Song(dice, split), 0)), {0: dice.choice(free)}, reverb=dice.randint(0, 100))


def mixture(dice: random.Random, split: Split) -> Passage:
    """Return three to six parts, most with drums."""
    song = Song(dice, split)
    sorts = ["bass", dice.choice(("chords", "arpeggio")), "phrase"]
    sorts += dice.choices(("chords", "arpeggio", "phrase"), k=dice.randint(0, 2))
    chosen = {i: dice.choice(programs(split, BASSES if sort == "bass" else TONAL)) for i, sort in enumerate(sorts)}
    notes = [note for i, sort in enumerate(sorts) for note in PARTS[sort](song, i)]
    if dice.random() < 0.7:
        notes += drums(song)
        chosen[DRUM_CHANNEL] = dice.choice(KITS[split])
    return Passage(tuple(notes), chosen, reverb=dice.randint(0, 100))


def drum_loop(dice: random.Random, split: Split) -> Passage:
    """Return the drum kit alone."""
    kit = dice.choice(KITS[split])
    return Passage(tuple(drums(Song(dice, split))), {DRUM_CHANNEL: kit}, reverb=dice.randint(0, 100))


def passages(sort: str, seed: int, split: Split) -> list[Passage]:
    """Return the passages of a sort in COUNTS for one side of the split."""
    dice = random.Random(f"music {seed} {split} {sort}")
    count = COUNTS[split][sort]
    if sort == "mixture":
        return [mixture(dice, split) for _ in range(count)]
    if sort == "drums":
        return [drum_loop(dice, split) for _ in range(count)]
    return [solo(sort, dice, split) for _ in range(count)]


def music(seed: int, split: Split) -> Iterator[LabelledClip]:
    """Yield all clips of one side of the split: label "" and voice `music/chords` and so on; loops are a drum's."""
    for sort in COUNTS[split]:
        for samples, rate in rendered(FONT, passages(sort, seed, split)):
            label, voice = ("drum", "drums/loop") if sort == "drums" else ("", f"music/{sort}")
            yield LabelledClip(tidy(samples, rate, PASSAGE_SECONDS), label, Origin(voice, *ORIGIN))
