"""Material for `clavilux.benchmarks.studies.hearing`: sounds that have no name, made by seeded generators.

Noises of five colours, mains hum, fans, voices that say none of the known words, a babble of them, and music of
instruments that lumia was not trained on. Speech is flite's and espeak-ng's, music is fluidsynth's.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from clavilux.benchmarks.studies.pulse_songs import render
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.speech import ENGINES, Take

Mono = NDArray[np.float32]  # [n] at 16 kHz

COLOURS = {
    "white": 0.0,
    "pink": -1.0,
    "brown": -2.0,
    "blue": 1.0,
    "violet": 2.0,
}  # exponent of the power over frequency
LEVELS = (-50.0, -35.0, -20.0)  # dBFS
LOWEST = 20.0  # Hz of coloured noise
HARMONICS = (1.0, 0.5, 0.35, 0.2, 0.15, 0.1, 0.08, 0.05)  # amplitudes of a hum
VOICES = (
    ("flite", "slt"), ("flite", "kal"), ("flite", "awb"), ("flite", "rms"), ("espeak", "en-us+f2"),
    ("espeak", "en-gb+m3"), ("espeak", "en-gb-scotland+f4"), ("espeak", "en-us+m7"),
)  # fmt: skip
PROGRAMS = (5, 13, 37, 45, 61, 69, 77, 85, 93, 101, 109)  # held out by lumia's training, and no thing of it
TICKS = 480  # of a quarter note
BAR = 4 * TICKS
PROGRESSION = (0, 0, 7, 7, 9, 9, 5, 5)  # semitones above the key, a bar each
MINOR = 9  # the degree whose chord is minor
SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
SENTENCES = (
    "The committee agreed that nobody would decide anything before Thursday afternoon.",
    "Most of what we remember is what somebody else has told us afterwards.",
    "It was neither the first nor the last time that such a question had been asked.",
    "Perhaps they should have explained why the results were so different this year.",
    "Several members thought the proposal went too far, while others found it too cautious.",
    "Although it seemed impossible at first, the method turned out to be quite reliable.",
    "We shall continue the discussion as soon as everybody has read the second chapter.",
    "There is hardly any reason to believe that things would improve without effort.",
    "You might want to consider whether this answer really follows from what was said.",
    "Nothing in particular happened during those three weeks, except that it became colder.",
    "The average value increases slowly, but the difference between both groups remains.",
    "Many people prefer to work in the morning because they can concentrate better.",
    "According to the report, the number of errors has fallen by almost eleven percent.",
    "In general, a rule with too many exceptions is not worth keeping.",
    "He spoke quietly and slowly, as if each sentence had been prepared a long time ago.",
    "Whoever arrives early enough can choose freely between several possibilities.",
    "Some of these ideas are older than the language in which we describe them.",
    "The latter argument is more convincing, though it depends on an assumption.",
    "They promised to send the documents, yet none of us ever received them.",
    "Later on, when everything was quiet again, she began to tell her story.",
    "Economists disagree about the causes, and they disagree about the consequences too.",
    "If the temperature stays below this limit, the process takes about twice as long.",
    "What matters most is that you understand the purpose of the whole exercise.",
    "I would rather wait another hour than explain it to them once more.",
    "Every generation believes that its own problems are entirely new.",
    "The translation is correct, but it does not sound natural to a native speaker.",
    "Between those extremes there are many intermediate forms worth mentioning.",
    "It is difficult to say exactly when this habit became common practice.",
    "Without further information we cannot tell which of them was responsible.",
)


def at_level(samples: NDArray[np.floating], level: float) -> Mono:
    """Return samples with a root mean square of `level` dBFS."""
    power = float(np.square(samples, dtype=np.float64).mean())
    made: Mono = (samples * (10 ** (level / 20) / np.sqrt(power))).astype(np.float32)
    return made


def noise(seed: int, seconds: float, exponent: float) -> NDArray[np.float64]:
    """Return noise whose power goes with the frequency to the power of `exponent`."""
    count = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), LOWEST)
    shaped = spectrum * (frequencies / 1000) ** (exponent / 2)
    shaped[0] = 0
    made: NDArray[np.float64] = np.fft.irfft(shaped, count)
    return made


def hum(seed: int, seconds: float, mains: float) -> NDArray[np.float64]:
    """Return hum of `mains` Hz with its harmonics, and a trace of hiss."""
    dice = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    parts = [
        dice.uniform(0.4, 1.2) * amplitude * np.sin(2 * np.pi * mains * k * time + dice.uniform(0, 2 * np.pi))
        for k, amplitude in enumerate(HARMONICS, start=1)
    ]
    made: NDArray[np.float64] = np.sum(parts, axis=0) + 1e-3 * dice.standard_normal(len(time))
    return made


def fan(seed: int, seconds: float) -> NDArray[np.float64]:
    """Return the rush of a fan that turns unevenly, and the tone of its blades."""
    dice = np.random.default_rng(seed)
    rush = noise(seed, seconds, -1.3)
    time = np.arange(len(rush)) / SAMPLE_RATE
    uneven = 1 + 0.15 * np.sin(2 * np.pi * dice.uniform(0.3, 2.0) * time)
    blades = dice.uniform(40.0, 160.0)
    tone = [np.sin(2 * np.pi * blades * k * time + dice.uniform(0, 2 * np.pi)) / k for k in (1, 2, 3, 4)]
    made: NDArray[np.float64] = rush / rush.std() * uneven + 0.25 * np.sum(tone, axis=0)
    return made


def speech(seed: int, seconds: float, voices: Sequence[tuple[str, str]] = VOICES, pause: float = 1.0) -> Mono:
    """Return sentences without a known word, by one voice after the other, with pauses up to `pause` seconds."""
    dice = np.random.default_rng(seed)
    say = {engine: ENGINES[engine](Path()) for engine in {engine for engine, _ in voices}}
    parts: list[Mono] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE:
        engine, voice = voices[int(dice.integers(len(voices)))]
        for _ in range(dice.integers(2, 5)):
            text = SENTENCES[int(dice.integers(len(SENTENCES)))]
            samples, rate = say[engine](Take(engine, voice, text, "", speed=float(dice.uniform(0.9, 1.2))))
            said = soxr.resample(samples, rate, SAMPLE_RATE)
            silence = np.zeros(round(dice.uniform(0.15, 1.0) * pause * SAMPLE_RATE), np.float32)
            parts += [at_level(said, dice.uniform(-30, -18)), silence]
    return np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]


def babble(seed: int, seconds: float) -> Mono:
    """Return eight voices at once."""
    voices = [speech(100 * seed + k, seconds, [voice], pause=0.15) for k, voice in enumerate(VOICES)]
    return at_level(np.sum(voices, axis=0), -24.0)


def music(seed: int, seconds: float, font: Path) -> Mono:
    """Return a bass, chords and a tune, whose instruments change every eight bars."""
    dice = np.random.default_rng(seed)
    quarters = float(dice.uniform(70, 140))  # a minute
    song = mido.MidiFile(ticks_per_beat=TICKS)
    bars = int(seconds * quarters / 240) + 1
    for channel, part in enumerate((_bass, _chords, _tune)):
        track = _track(dice, channel, part, bars)
        track.insert(0, mido.MetaMessage("set_tempo", tempo=round(60e6 / quarters)))
        song.tracks.append(track)
    with tempfile.TemporaryDirectory() as folder:
        song.save(Path(folder) / "song.mid")
        render("fluidsynth", font, Path(folder) / "song.mid", Path(folder) / "song.wav")
        samples, rate = soundfile.read(Path(folder) / "song.wav", dtype="float32")
    played = soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE)[: round(seconds * SAMPLE_RATE)]
    return at_level(played, dice.uniform(-26, -16))


Notes = list[tuple[int, int, list[int]]]  # beginning and length in ticks, keys
Part = Callable[[np.random.Generator, int], Notes]


def _bass(_dice: np.random.Generator, root: int) -> Notes:
    return [(beat * TICKS, TICKS - 20, [root - 12]) for beat in range(4)]


def _chords(_dice: np.random.Generator, root: int) -> Notes:
    return [(0, BAR - 20, [root, root + 4, root + 7])]


def _tune(dice: np.random.Generator, root: int) -> Notes:
    notes, at = [], 0
    while at < BAR:
        length = int(dice.choice([TICKS // 2, TICKS // 2, TICKS, 3 * TICKS // 2, 2 * TICKS]))
        if dice.random() < 0.8:
            notes.append((at, length, [root + int(dice.choice(SCALE))]))
        at += length
    return notes


def _track(dice: np.random.Generator, channel: int, part: Part, bars: int) -> mido.MidiTrack:
    """Return a track of one part; each bar stands on its degree of the progression."""
    key = int(dice.integers(40, 52)) + (12 if channel else 0)
    events: list[tuple[int, int, mido.Message]] = []
    for bar in range(bars):
        if bar % 8 == 0:
            program = int(dice.choice(PROGRAMS))
            events.append((bar * BAR, 0, mido.Message("program_change", program=program, channel=channel)))
        degree = PROGRESSION[bar % len(PROGRESSION)]
        for start, length, keys in part(dice, key + degree):
            for pitch in keys:
                note = pitch - (1 if degree == MINOR and pitch == key + degree + 4 else 0)
                loud = int(dice.integers(60, 110))
                for when, kind, velocity in ((start, "note_on", loud), (start + length, "note_off", 0)):
                    message = mido.Message(kind, note=note, velocity=velocity, channel=channel)
                    events.append((bar * BAR + when, 1, message))
    track, last = mido.MidiTrack(), 0
    for when, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=when - last))
        last = when
    return track


def material(seed: int, minutes: float, font: Path) -> dict[str, list[Mono]]:
    """Return the sounds of each kind; speech and music are `minutes` long, the others fixed."""
    half, many = 30.0, round(minutes)
    return {
        "noise": [
            at_level(noise(seed + 10 * k - int(level), half, exponent), level)
            for k, exponent in enumerate(COLOURS.values())
            for level in LEVELS
        ],
        "hum": [at_level(hum(seed + int(mains), half, mains), level) for mains in (50.0, 60.0) for level in (-50, -30)],
        "fans": [at_level(fan(seed + k, half), level) for k, level in enumerate((-50.0, -38.0, -28.0))],
        "babble": [babble(seed + k, 60.0) for k in range(2)],
        "speech": [speech(seed, 60.0 * minutes)],
        "music": [music(seed + k, 60.0, font) for k in range(2 * many)],
    }
