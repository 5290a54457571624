"""Pulse against the truth: beats and onsets of rendered songs, whose notes are known.

    apt-get install fluidsynth fluid-soundfont-gm
    pip install 'clavilux[bench,cpu]'
    python -m clavilux.benchmarks.studies.pulse --seeds report

Songs of seven kinds (a metronome, steady, syncopated, drifting, with a jump of the tempo, slow piano, with a break of
six seconds) are heard as a stream. Beats are scored by mir_eval within 70 ms from the sixth second on (F, and CMLt and
AMLt for wrong metrical levels), onsets within 50 ms. A beat is where the phase begins anew, as a listener sees it. The
constants of the tracker were chosen on even seeds ("tune"); figures are told for odd ones ("report"). Prints a table
and, last, a line of JSON.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean

import numpy as np
import soundfile

from clavilux.benchmarks.command_line import ended, require, stopwatch
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies.pulse_songs import KINDS, Song, Times, render, write_midi
from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.pulse import PULSE_RATE, Pulse
from clavilux.runtime.sound.resample import Resampler
from clavilux.runtime.sound.samples import as_sound

SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SEEDS = {"tune": range(0, 60, 2), "report": range(1, 60, 2)}
BEAT_WINDOW, ONSET_WINDOW = 0.07, 0.05  # s
IN_A_ROW = 4  # beats that must be right for a tempo to be found again
OCTAVE = 1.4  # a tempo that is so many times too fast or too slow is another level


@dataclass(frozen=True)
class Score:
    """One song's figures."""

    kind: str
    style: str
    seed: int
    tempo: float  # beats per minute, median of the truth
    beats: float  # F within 70 ms
    continuous: float  # CMLt: share of beats in right runs, at the right level
    any_level: float  # AMLt: the same, double, half and off-beat allowed
    octave: bool  # half or more of the time at another level
    lock: float | None  # s after a jump until IN_A_ROW beats are right
    onsets: float  # F within 50 ms
    latency: tuple[float, ...]  # s from each onset that was found until it was told
    cpu: float  # seconds a second of sound


def told_beats(readings: Sequence[Pulse]) -> Times:
    """Return when the phase began anew, in seconds."""
    found = []
    for before, now in pairwise(readings):
        if before.tempo and now.tempo and now.beat_phase < before.beat_phase - 0.5:
            found.append((now.index + 1) / PULSE_RATE - now.beat_phase * 60 / now.tempo)
    return np.array(found)


def told_onsets(readings: Sequence[Pulse]) -> Times:
    """Return when onsets were told, in seconds."""
    return np.array([(one.index + 1) / PULSE_RATE for one in readings if one.onset])


def lock_time(truth: Times, found: Times, jump: float) -> float:
    """Return the seconds from the first beat in the new tempo until beats are right in a row."""
    after = truth[truth >= jump]
    right = [bool(len(found)) and bool(np.abs(found - beat).min() <= BEAT_WINDOW) for beat in after]
    for first in range(len(after) - IN_A_ROW):
        if all(right[first : first + IN_A_ROW]):
            return float(after[first] - jump)
    return float(after[-1] - jump)


def latencies(truth: Times, found: Times) -> tuple[float, ...]:
    """Return how long after its sound each onset was told, in seconds."""
    nearest = [float(one - truth[np.abs(truth - one).argmin()]) for one in found] if len(truth) else []
    return tuple(one for one in nearest if abs(one) <= ONSET_WINDOW)


def score(song: Song, readings: Sequence[Pulse], cpu: float) -> Score:
    """Compare readings with what was played."""
    import mir_eval

    beats, onsets = told_beats(readings), told_onsets(readings)
    end = max(note.time for note in song.notes) + BEAT_WINDOW  # behind that the clock may run on
    truth, found = (mir_eval.beat.trim_beats(times[times < end]) for times in (song.beats, beats))
    _, continuous, _, any_level = mir_eval.beat.continuity(truth, found)
    times = (np.array([one.index for one in readings]) + 1) / PULSE_RATE
    true_tempo = 60 / np.interp(times, song.beats[:-1], np.diff(song.beats))
    ratio = np.array([one.tempo for one in readings]) / true_tempo
    played = (times > 5) & (times < end)
    other_level = (ratio[played] > OCTAVE) | (ratio[played] < 1 / OCTAVE)
    return Score(
        kind=song.kind,
        style=song.style,
        seed=song.seed,
        tempo=float(60 / np.median(np.diff(song.beats))),
        beats=float(mir_eval.beat.f_measure(truth, found, BEAT_WINDOW)),
        continuous=float(continuous),
        any_level=float(any_level),
        octave=bool(other_level.mean() > 0.5),
        lock=None if song.jump is None else lock_time(song.beats, beats, song.jump),
        onsets=float(mir_eval.onset.f_measure(song.onsets, onsets, window=ONSET_WINDOW)[0]),
        latency=latencies(song.onsets, onsets),
        cpu=cpu,
    )


def hear(path: Path) -> tuple[list[Pulse], float]:
    """Return the readings of a WAV file, and the seconds of processor that a second of it took."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = Resampler(rate, sound.shape[1]).push(as_sound(sound, rate))
    tracker = PulseTracker()
    began = time.process_time()
    readings = tracker.push(samples)
    return readings, (time.process_time() - began) * PULSE_RATE / len(readings)


def songs(kinds: Sequence[str], seeds: Sequence[int]) -> Iterator[Song]:
    """Give every song that is asked for."""
    for kind in kinds:
        for seed in seeds:
            yield KINDS[kind](seed)


def sound_of(song: Song, folder: Path, sound_font: Path) -> Path:
    """Return the song's WAV file, rendered unless it is in the folder. Raises BenchError without fluidsynth."""
    path = folder / f"{song.kind.replace(' ', '-')}-{song.seed}.wav"
    program = shutil.which("fluidsynth")
    if path.exists():
        return path
    if program is None or not sound_font.exists():
        raise BenchError(f"no fluidsynth or no {sound_font}; run: apt-get install fluidsynth fluid-soundfont-gm")
    write_midi(song, path.with_suffix(".mid"))
    try:
        render(program, sound_font, path.with_suffix(".mid"), path)
    except subprocess.CalledProcessError as error:
        raise BenchError(f"fluidsynth failed: {error.stderr.decode(errors='replace').strip()}") from error
    return path


def table(scores: Sequence[Score]) -> str:
    """Return a row for each kind, and one for all."""
    rows = [
        f"{'kind':12} {'songs':>5} {'beats F':>8} {'worst':>6} {'CMLt':>6} {'AMLt':>6}"
        f" {'octave':>7} {'onsets F':>9} {'lock s':>7}"
    ]
    for kind in [*dict.fromkeys(one.kind for one in scores), "all"]:
        some = [one for one in scores if kind in (one.kind, "all")]
        lock = [one.lock for one in some if one.lock is not None]
        rows.append(
            f"{kind:12} {len(some):5} {mean(one.beats for one in some):8.3f} {min(one.beats for one in some):6.2f}"
            f" {mean(one.continuous for one in some):6.2f} {mean(one.any_level for one in some):6.2f}"
            f" {sum(one.octave for one in some):4}/{len(some):<2} {mean(one.onsets for one in some):9.3f}"
            f" {f'{max(lock):7.1f}' if lock else '      -'}"
        )
    return "\n".join(rows)


def summary(scores: Sequence[Score]) -> dict[str, object]:
    """Return the figures for the line of JSON."""
    kinds = list(dict.fromkeys(one.kind for one in scores))
    late = np.concatenate([one.latency for one in scores])
    locks = [one.lock for one in scores if one.lock is not None]
    return {
        "beats": {kind: round(mean(one.beats for one in scores if one.kind == kind), 3) for kind in kinds},
        "octave_errors": sum(one.octave for one in scores),
        "songs": len(scores),
        "lock_seconds": [round(one, 2) for one in locks],
        "onsets": round(mean(one.onsets for one in scores), 3),
        "onset_latency_ms": {f"p{share}": round(1000 * float(np.percentile(late, share)), 1) for share in (50, 95)},
        "cpu_share": round(mean(one.cpu for one in scores), 4),
    }


def _run(arguments: argparse.Namespace) -> None:
    require(["mido", "mir_eval"])
    progress = stopwatch()
    scores = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for song in songs(arguments.kinds, SEEDS[arguments.seeds]):
            scores.append(score(song, *hear(sound_of(song, folder, arguments.sound_font))))
            last = scores[-1]
            progress(
                f"{last.kind:11} {last.style:9} seed {last.seed:2}, {last.tempo:5.1f}/min: beats {last.beats:.2f}, AMLt"
                f" {last.any_level:.2f}, onsets {last.onsets:.2f}{', other level' if last.octave else ''}"
            )
    print(table(scores))
    late = np.concatenate([one.latency for one in scores]) * 1000
    print(f"onsets are told after {np.median(late):.0f} ms, 95 % within {np.percentile(late, 95):.0f} ms (aim 25)")
    print(f"processor: {100 * mean(one.cpu for one in scores):.2f} % of a core (aim 2)")
    print(json.dumps(summary(scores)))


def main() -> int:
    """Run the study; return 0, or 2 after a line about a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", choices=SEEDS, default="report", help="half of the songs (report)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of songs (all)")
    parser.add_argument("--sound-font", type=Path, default=SOUND_FONT, help=f"({SOUND_FONT})")
    parser.add_argument("--folder", type=Path, help="for songs, which are taken from there when they are there")
    arguments = parser.parse_args()
    return ended("pulse", lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
