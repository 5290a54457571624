"""Reaction: does what is seen follow what is heard? Films of clicks, drums, bands, a sweep, a piano and words.

    apt-get install fluidsynth fluid-soundfont-gm espeak-ng
    pip install 'clavilux[bench,cpu]'
    python -m clavilux.benchmarks.studies.reaction --set react=1

Each sound is played as `clavilux render` plays it, and what a room would see of it is measured, with the light, the
effects and the flash limiter, in 8-bit sRGB:

* metronome: change per frame within 100 ms after a click against that between clicks, and when the change is greatest;
* songs: correlation of onset strength (log-mel flux of the sound) with the change of the picture, both at 30 frames a
  second over 100 ms (a Hann window), at the best lag of 0 to 100 ms, which is told;
* loudness: mean luminance of a piano and of the same piano 12 dB quieter;
* sweep: rank correlation (Spearman) of pitch with the height of the light beside the picture, or in it where the
  bundle paints light;
* words: of the pictures in the 0.6 s after words of a synthetic voice, the percentage that show the word: of the
  bundle's own pictures of all its concepts, that of the word is nearest. With `react` 0, and as it is set.

Prints a table and, last, a line of JSON.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.benchmarks.command_line import ended, require, stopwatch
from clavilux.benchmarks.studies.pulse import SOUND_FONT, sound_of
from clavilux.benchmarks.studies.reaction_figures import (
    change,
    correlation,
    descriptor,
    height_of_light,
    onset_strength,
    peak_after,
    rank_correlation,
)
from clavilux.export.options import Progress
from clavilux.runtime.commands.options import add_model_options, parameters_from
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.output.film import Film
from clavilux.runtime.output.screen import Screen
from clavilux.runtime.playing.render import paint, render_frames
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.sound_file import Clip, read_clip

ROWS, COLUMNS = 180, 320  # pixels of the films
FRAME_RATE = 30.0  # 1/s
CLICK_RATE = 60.0  # 1/s, of the metronome's film
CLICK_SECONDS = 0.5  # between two clicks: 120 a minute
BEATS_BEFORE = 8  # clicks until the beat is known
AFTER_CLICK = 0.1  # s
SECONDS = 16.0  # of every song, from its second second on
QUIETER = 10 ** (-12 / 20)
MIDDLE_C = 261.6  # Hz
QUIET_SAMPLE = 0.01  # below it a word has not begun, or is over
SWEEP = (80.0, 2500.0)  # Hz
WORDS = 60  # of the bundle's concepts, evenly
SILENCE_BEFORE, SILENCE_AFTER = 0.3, 0.7  # s, round a word
SHOWN_FOR = 0.6  # s from the end of a word
WORD_RATE = 15.0  # 1/s, of its film

Open = Callable[[], Instrument]


def film(instrument: Instrument, clip: Clip, parameters: Parameters, rate: float) -> NDArray[np.uint8]:
    """Return what a room sees of a clip, uint8 [frames, ROWS, COLUMNS, 3]."""
    screen = Film(ROWS, COLUMNS)
    return np.stack([screen.draw(frame) for frame in render_frames(instrument, clip, rate, parameters)])


def metronome(seconds: float = 14.0) -> Clip:
    """Return clicks, 120 a minute: 6 ms of a decaying tone each."""
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    time = np.arange(round(0.03 * SAMPLE_RATE)) / SAMPLE_RATE
    click = 0.7 * np.sin(2 * np.pi * 1200 * time) * np.exp(-time / 0.006)
    for start in np.arange(CLICK_SECONDS, seconds - 0.1, CLICK_SECONDS):
        first = round(start * SAMPLE_RATE)
        samples[first : first + len(click)] = click
    return Clip(samples[:, None], SAMPLE_RATE)


def piano(gain: float) -> Clip:
    """Return eight seconds of broken chords, tones with decaying harmonics, at `gain` of about -12 dBFS."""
    samples = np.zeros(8 * SAMPLE_RATE, np.float32)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for note, pitch in enumerate([0, 4, 7, 12, 7, 4, -3, 0, 4, 9, 4, 0, -5, -1, 2, 7] * 2):
        first = note * SAMPLE_RATE // 4
        hertz = MIDDLE_C * 2 ** (pitch / 12)
        tone = np.zeros(len(time))
        for k in range(1, 6):
            tone += np.sin(2 * np.pi * k * hertz * time) * np.exp(-3 * k * time) / k
        room = samples[first : first + SAMPLE_RATE]
        room += 0.25 * gain * tone[: len(room)].astype(np.float32)
    return Clip(samples[:, None], SAMPLE_RATE)


def sweep(seconds: float = 12.0) -> tuple[Clip, Callable[[float], float]]:
    """Return a sine that rises through `SWEEP`, and its pitch in Hz by time in seconds."""
    low, high = SWEEP

    def pitch(time: float) -> float:
        return float(low * (high / low) ** (time / seconds))

    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(low * (high / low) ** (time / seconds)) / SAMPLE_RATE
    return Clip((0.3 * np.sin(phase)).astype(np.float32)[:, None], SAMPLE_RATE), pitch


class Study:
    """The measurements, each on an instrument that nothing has been played on."""

    def __init__(self, open_new: Open, parameters: Parameters) -> None:
        self._open = open_new
        self._parameters = parameters

    def metronome(self) -> dict[str, float]:
        """Return the ratio of change after clicks to that between them, and when it is greatest, in ms."""
        shown = change(film(self._open(), metronome(), self._parameters, CLICK_RATE))
        times = np.arange(len(shown)) / CLICK_RATE
        beats = np.round(times / CLICK_SECONDS)
        since = (times / CLICK_SECONDS) % 1.0 * CLICK_SECONDS
        known = (times >= (1 + BEATS_BEFORE) * CLICK_SECONDS) & (times < times[-1] - CLICK_SECONDS)
        after = known & (since > 0) & (since <= AFTER_CLICK)
        between = known & (since > AFTER_CLICK)
        peaks = [peak_after(shown, times, beat * CLICK_SECONDS) for beat in np.unique(beats[known])]
        return {
            "ratio": float(shown[after].mean() / shown[between].mean()),
            "change": float(shown[after].mean()),
            "seen_ms": 1000 * float(np.median(peaks)),
        }

    def song(self, path: Path) -> tuple[float, float]:
        """Return the correlation of a song's onset strength with change, and its lag in seconds."""
        whole = read_clip(path)
        clip = Clip(whole.samples[2 * whole.rate : round((2 + SECONDS) * whole.rate)], whole.rate)
        shown = change(film(self._open(), clip, self._parameters, FRAME_RATE))
        return correlation(onset_strength(clip, FRAME_RATE, len(shown)), shown, FRAME_RATE)

    def loudness(self) -> float:
        """Return by how much of 255 the picture is darker for a piano 12 dB quieter."""
        loud, quiet = (
            film(self._open(), piano(gain), self._parameters, FRAME_RATE)[60:].mean() for gain in (1.0, QUIETER)
        )
        return float(loud - quiet)

    def sweep(self) -> float:
        """Return the rank correlation of pitch with the height of the light beside the picture, or that it paints."""
        (clip, pitch), instrument = sweep(), self._open()
        pictures = film(instrument, clip, self._parameters, FRAME_RATE)[15:]
        heights = [height_of_light(picture, inside=instrument.bundle.light) for picture in pictures]
        return rank_correlation(
            np.array([pitch((15 + k) / FRAME_RATE) for k in range(len(heights))]), np.array(heights)
        )

    def words(self) -> dict[str, float]:
        """Return the percentage of pictures that show their word: with `react` 0, as it is set, and the difference."""
        instrument = self._open()
        names = instrument.bundle.concepts
        own = np.stack([descriptor(picture) for picture in pictures_of_concepts(instrument)])
        chosen = np.linspace(0, len(names), min(WORDS, len(names)), endpoint=False).astype(int)
        still = self._parameters.merge({"react": 0.0})
        rates = []
        for parameters in (still, self._parameters):
            shown = [self._shows(spoken(names[index]), own, int(index), parameters) for index in chosen]
            rates.append(100 * float(np.mean(shown)))
        return {"still": rates[0], "moved": rates[1], "difference": rates[1] - rates[0]}

    def _shows(self, clip: Clip, own: NDArray[np.float64], index: int, parameters: Parameters) -> float:
        """Return the share of the pictures after a word that are nearest to that of concept `index`."""
        first = round((clip.seconds - SILENCE_AFTER) * WORD_RATE)
        shown = film(self._open(), clip, parameters, WORD_RATE)[first : first + round(SHOWN_FOR * WORD_RATE)]
        return float(np.mean([np.argmax(own @ descriptor(picture)) == index for picture in shown]))


def spoken(word: str) -> Clip:
    """Return a word in the voice of espeak-ng, with silence round it."""
    command = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", word.replace("_", " ")]
    told = subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603
    sound, rate = soundfile.read(io.BytesIO(told), dtype="float32", always_2d=True)
    loud = np.flatnonzero(np.abs(sound[:, 0]) > QUIET_SAMPLE)
    word_sound = sound[loud[0] : loud[-1] + 1]
    before, after = (np.zeros((round(part * rate), 1), np.float32) for part in (SILENCE_BEFORE, SILENCE_AFTER))
    return Clip(np.concatenate([before, word_sound, after]), rate)


def pictures_of_concepts(instrument: Instrument) -> Iterator[NDArray[np.uint8]]:
    """Yield the bundle's own picture of each of its concepts, on the wall of the films."""
    concepts = instrument.bundle.conditioning.concepts
    for tokens in () if concepts is None else concepts:
        screen = Screen(ROWS, COLUMNS)
        screen.show(paint(instrument, tokens, instrument.defaults), -1.0)
        yield screen.draw(0.0, {})


def songs(folder: Path, sound_font: Path) -> Iterator[tuple[str, Path]]:
    """Render ten songs: name and WAV file of each."""
    from clavilux.benchmarks.studies.pulse_songs import KINDS

    for kind, seeds in (
        ("steady", (1, 3, 5, 7)),
        ("syncopated", (1, 3, 5)),
        ("drifting", (1, 3)),
        ("slow piano", (1,)),
    ):
        for seed in seeds:
            song = KINDS[kind](seed)
            yield f"{kind}, {song.style}, {seed}", sound_of(song, folder, sound_font)


def _run(arguments: argparse.Namespace) -> None:
    require(["mido", "mir_eval"])
    progress = stopwatch()

    def open_new() -> Instrument:
        return open_instrument(arguments.bundle, device=arguments.device, threads=arguments.threads)

    instrument = open_new()
    parameters = instrument.defaults.merge(parameters_from(arguments.set), instrument.ranges)
    study = Study(open_new, parameters)
    result: dict[str, Any] = {}
    for name in arguments.only:
        if name == "songs":
            result[name] = _songs(study, arguments, progress)
        else:
            result[name] = getattr(study, name)()
        progress(f"{name}: {_told(result[name])}")
    print(json.dumps(result))


def _songs(study: Study, arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in songs(Path(folder), arguments.sound_font):
            value, lag = study.song(path)
            found[name] = round(value, 3)
            progress(f"{name}: {value:.2f}, {1000 * lag:.0f} ms after")
    return {"mean": round(float(np.mean(list(found.values()))), 3)} | found


def _told(value: float | Mapping[str, float]) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number:.3g}" for name, number in value.items())
    return f"{value:.3g}"


def main() -> int:
    """Run the study; return 0, or 2 after a line about a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("metronome", "songs", "loudness", "sweep", "words")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="what is measured (all)")
    parser.add_argument("--sound-font", type=Path, default=SOUND_FONT, help=f"({SOUND_FONT})")
    add_model_options(parser)
    arguments = parser.parse_args()
    return ended("reaction", lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
