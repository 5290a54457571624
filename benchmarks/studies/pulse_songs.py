"""Songs with known beats: written as MIDI by seeded generators, played by fluidsynth with a General MIDI sound font.

Drums in several styles, bass and chords, as humans play them: notes and strengths deviate. Part of
`clavilux.benchmarks.studies.pulse`, whose truth these notes are.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]  # seconds

SECONDS = 36.0  # of each song
TAIL = 2.0  # of them, without a new note
JITTER = {True: 0.006, False: 0.010}  # s, standard deviation: drums, and all else
STRENGTH_JITTER = 8.0  # of MIDI's 127
DRUMS = 9  # MIDI channel
TICK = 0.0005  # s
TICKS_PER_BEAT = 960
JUMPS_AT = 0.45  # of the song
BREAK = (14.0, 20.5)  # s
RENDER_RATE = 44_100  # Hz

KICK, SNARE, RIM, CLAP, HAT, OPEN_HAT, RIDE, SHAKER, BLOCK = 36, 38, 37, 39, 42, 46, 51, 70, 76

# One bar each: "x" a note, "o" a soft one. Sixteen steps are a bar of four beats, twelve one of four in triplets.
STEADY = {
    "rock": {KICK: "x.......x.x.....", SNARE: "....x.......x...", HAT: "x.o.x.o.x.o.x.o."},
    "house": {KICK: "x...x...x...x...", CLAP: "....x.......x...", OPEN_HAT: "..x...x...x...x."},
    "hip-hop": {KICK: "x..x....x.x.....", SNARE: "....x.......x...", HAT: "xoxoxoxoxoxoxoxo"},
    "motown": {KICK: "x.....x.x.....x.", SNARE: "x...x...x...x...", HAT: "x.x.x.x.x.x.x.x."},
    "shuffle": {KICK: "x.....x.....", SNARE: "...x.....x..", RIDE: "x.ox.ox.ox.o"},
    "ballad": {KICK: "x.......x.......", RIM: "....x.......x...", HAT: "x.o.x.o.x.o.x.o."},
}
SYNCOPATED = {
    "funk": {KICK: "x..x..x...x..x..", SNARE: "....x..o.o..x..o", HAT: "x.x.x.x.x.x.x.x."},
    "break": {KICK: "x.x.......xx....", SNARE: "....x..o.o..x..o", RIDE: "x.x.x.x.x.x.x.x."},
    "bossa": {KICK: "x..ox..ox..ox..o", RIM: "x..x..x...x..x..", SHAKER: "xoxoxoxoxoxoxoxo"},
    "dembow": {KICK: "x...x...x...x...", SNARE: "...x..x....x..x.", HAT: "x.x.x.x.x.x.x.x."},
    "two-step": {KICK: "x.........x.....", SNARE: "....x.......x...", HAT: "x.xx.xx.x.xx.xx."},
    "son": {KICK: "x.....x.x.....x.", RIM: "x..x..x...x.x...", SHAKER: "x.o.x.o.x.o.x.o."},
}
BASS_LINES = ("x.......x.......", "x.x.x.x.x.x.x.x.", "x..x..x.x..x..x.", "x.....x.x...x...")
COMPING = ("x...............", "x.......x.......", "..x...x...x...x.", "x..x..x...x.x...", "x...x...x...x...")
PROGRESSIONS = ((0, 7, 9, 5), (0, 5, 7, 5), (9, 5, 0, 7), (0, 9, 2, 7))  # semitones above the key
MINOR = {2, 4, 9}  # degrees, in semitones, whose chords are minor
CHORD_SOUNDS = (0, 4, 16, 25, 27, 48)  # piano, electric piano, organ, two guitars, strings
BASSES = (32, 33, 38)


@dataclass(frozen=True)
class Note:
    """One note as it is played."""

    time: float  # s
    pitch: int
    strength: int  # 1 to 127
    channel: int
    length: float  # s


@dataclass
class Song:
    """Notes with the truth about them."""

    kind: str
    style: str
    seed: int
    beats: Times
    programs: dict[int, int] = field(default_factory=dict)  # by channel
    notes: list[Note] = field(default_factory=list)
    jump: float | None = None  # s, where the tempo changes at once
    silent: tuple[float, float] | None = None  # s, where nothing is played

    @property
    def onsets(self) -> Times:
        """Beginnings of notes, in seconds; those within 30 ms are one."""
        merged: list[float] = []
        for time in sorted(note.time for note in self.notes):
            if not merged or time - merged[-1] > 0.03:
                merged.append(time)
        return np.array(merged)


class _Band:
    """Players: they fill a song bar by bar."""

    def __init__(self, song: Song, random: np.random.Generator) -> None:
        self._song = song
        self._random = random
        self._key = int(random.integers(40, 52))
        self._chords = PROGRESSIONS[random.integers(len(PROGRESSIONS))]

    def drums(self, pattern: dict[int, str]) -> None:
        for pitch, steps in pattern.items():
            for bar in range(self._bars):
                self._line(bar, steps, lambda soft: [(DRUMS, *_drum(pitch, soft))], 0.1)  # noqa: B023

    def bass(self, steps: str) -> None:
        self._song.programs[0] = int(self._random.choice(BASSES))
        for bar in range(self._bars):
            root = self._key - 12 + self._degree(bar)
            self._line(bar, steps, lambda _: [(0, root, 95)], 0.2)  # noqa: B023

    def chords(self, steps: str) -> None:
        self._song.programs[1] = int(self._random.choice(CHORD_SOUNDS))
        for bar in range(self._bars):
            chord = self._chord(bar)
            self._line(bar, steps, lambda _: [(1, pitch, 75) for pitch in chord], 0.4)  # noqa: B023

    def slow_piano(self, steps: str) -> None:
        """Broken chords: a deep note on the beat, the others between."""
        self._song.programs[1] = 0
        for bar in range(self._bars):
            chord = self._chord(bar)
            for beat in range(4):
                low = chord[0] - 12 if beat % 2 == 0 else chord[2] - 12
                self._play(bar, beat, [(1, low, 80), (1, chord[beat % 3], 70)], 1.0)
            for place, step in enumerate(steps):
                if step == "x" and place % 4:
                    self._play(bar, place / 4, [(1, chord[place // 2 % 3] + 12, 55)], 0.6)

    @property
    def _bars(self) -> int:
        return (len(self._song.beats) - 1) // 4

    def _degree(self, bar: int) -> int:
        return self._chords[bar % len(self._chords)]

    def _chord(self, bar: int) -> list[int]:
        degree = self._degree(bar)
        root = self._key + 12 + degree
        return [root, root + (3 if degree in MINOR else 4), root + 7]

    def _line(self, bar: int, steps: str, sounds: Callable[[bool], list[tuple[int, int, int]]], length: float) -> None:
        for place, step in enumerate(steps):
            if step != ".":
                self._play(bar, 4 * place / len(steps), sounds(step == "o"), length)

    def _play(self, bar: int, beat: float, sounds: list[tuple[int, int, int]], length: float) -> None:
        """Play (channel, pitch, strength) at a beat of a bar, a little beside it."""
        beats = self._song.beats
        place = 4 * bar + beat
        time = float(np.interp(place, np.arange(len(beats)), beats))
        if self._song.silent and self._song.silent[0] <= time < self._song.silent[1]:
            return
        for channel, pitch, strength in sounds:
            late = float(self._random.normal(0, JITTER[channel == DRUMS]))
            loud = int(np.clip(self._random.normal(strength, STRENGTH_JITTER), 20, 127))
            self._song.notes.append(Note(max(0.0, time + late), pitch, loud, channel, length))


def _drum(pitch: int, soft: bool) -> tuple[int, int]:
    loud = {KICK: 110, SNARE: 105, CLAP: 105, RIM: 95}.get(pitch, 75)
    return pitch, loud * 6 // 10 if soft else loud


def beats_at(tempo: Callable[[float], float]) -> Times:
    """Return beats from 0.5 s on, for a tempo (beats per minute) that depends on the time."""
    times = [0.5]
    while times[-1] < SECONDS - TAIL:
        times.append(times[-1] + 60 / tempo(times[-1]))
    return np.array(times)


def _band(kind: str, seed: int, beats: Times, styles: dict[str, dict[int, str]], silent: bool = False) -> Song:
    random = np.random.default_rng([seed, 1])
    style = list(styles)[seed // 2 % len(styles)]
    song = Song(kind, style, seed, beats, silent=BREAK if silent else None)
    band = _Band(song, random)
    band.drums(styles[style])
    band.bass(str(random.choice(BASS_LINES)))
    band.chords(str(random.choice(COMPING)))
    return song


def _draw(seed: int, low: float, high: float) -> float:
    """Return a tempo, evenly among logarithms."""
    return float(low * (high / low) ** np.random.default_rng([seed, 2]).random())


def steady(seed: int) -> Song:
    """Return a song that keeps its tempo."""
    tempo = _draw(seed, 78, 160)
    return _band("steady", seed, beats_at(lambda _: tempo), STEADY)


def syncopated(seed: int) -> Song:
    """Return a song whose accents lie beside the beats."""
    tempo = _draw(seed, 84, 140)
    return _band("syncopated", seed, beats_at(lambda _: tempo), SYNCOPATED)


def drifting(seed: int) -> Song:
    """Return a song whose tempo goes up and down by 12 %."""
    tempo = _draw(seed, 85, 145)
    turn = np.random.default_rng([seed, 3]).uniform(14, 28)  # s
    return _band("drifting", seed, beats_at(lambda t: tempo * (1 + 0.12 * np.sin(2 * np.pi * t / turn))), STEADY)


def jumping(seed: int) -> Song:
    """Return a song with another tempo from one beat on."""
    random = np.random.default_rng([seed, 4])
    first = _draw(seed, 85, 150)
    other = first * float(random.uniform(1.15, 1.4)) ** (1 if first < 113 else -1)
    beats = beats_at(lambda t: first if t < JUMPS_AT * SECONDS else other)
    song = _band("jump", seed, beats, STEADY)
    song.jump = float(beats[beats >= JUMPS_AT * SECONDS][0])
    return song


def metronome(seed: int) -> Song:
    """Return clicks of a wood block."""
    tempo = _draw(seed, 70, 180)
    song = Song("metronome", "clicks", seed, beats_at(lambda _: tempo))
    _Band(song, np.random.default_rng([seed, 6])).drums({BLOCK: "x...x...x...x..."})
    return song


def slow_piano(seed: int) -> Song:
    """Return a piano alone, slow."""
    random = np.random.default_rng([seed, 5])
    tempo = _draw(seed, 56, 76)
    song = Song("slow piano", "arpeggio", seed, beats_at(lambda t: tempo * (1 + 0.03 * np.sin(t / 2))))
    _Band(song, random).slow_piano(str(random.choice(["x.x.x.x.x.x.x.x.", "x...x.x.x...x.x.", "x...x...x.x.x.x."])))
    return song


def breaking(seed: int) -> Song:
    """Return a song that is silent for six seconds and goes on as if it had not been."""
    tempo = _draw(seed, 90, 140)
    return _band("break", seed, beats_at(lambda _: tempo), STEADY | SYNCOPATED, silent=True)


KINDS: dict[str, Callable[[int], Song]] = {
    "metronome": metronome,
    "steady": steady,
    "syncopated": syncopated,
    "drifting": drifting,
    "jump": jumping,
    "slow piano": slow_piano,
    "break": breaking,
}


def write_midi(song: Song, path: Path) -> None:
    """Write a song as a MIDI file."""
    events = [(0.0, mido.Message("program_change", channel=one, program=sound)) for one, sound in song.programs.items()]
    for note in song.notes:
        common = {"channel": note.channel, "note": note.pitch}
        events.append((note.time, mido.Message("note_on", velocity=note.strength, **common)))
        events.append((note.time + note.length, mido.Message("note_off", **common)))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(TICK * TICKS_PER_BEAT * 1e6))])
    now = 0
    for time, message in sorted(events, key=lambda one: one[0]):
        tick = round(time / TICK)
        track.append(message.copy(time=tick - now))
        now = tick
    file = mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT)
    file.tracks.append(track)
    file.save(path)


def render(program: str, sound_font: Path, midi: Path, sound: Path) -> None:
    """Play a MIDI file into a WAV file, stereo, 44.1 kHz. Raises CalledProcessError when fluidsynth fails."""
    command = [program, "-ni", "-q", "-g", "0.6", "-r", str(RENDER_RATE), "-F", str(sound), str(sound_font), str(midi)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
