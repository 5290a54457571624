"""Hearing of a bundle: how often it names what has no name, and how many words in voices it never heard it names.

    python -m clavilux.benchmarks.studies.hearing --minutes 5
    python -m clavilux.benchmarks.studies.hearing --minutes 5 --live    # half an hour, as on a stage; no words

Sounds go through an instrument with a hop of 40 ms, which is about what lumia has live; its screen is black, so that no
picture is painted and minutes pass quickly. With `--live` they go through an engine, as fast as they sound, and it
paints. A name counts when the frame tells it. Prints a table and a last line of JSON; needs the extras `bench` and
`train`, flite, espeak-ng, fluidsynth and a General MIDI sound font.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

import numpy as np

from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies.hearing_material import Mono, at_level, material
from clavilux.runtime.conditioning.concepts import ConceptIndex
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.playing.engine import Engine
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data.clips import LabelledClip
from clavilux.training.lumia.data.speech import held_out_takes, synthesize

HOP = 0.04  # s
SEED = 5000
FONTS = Path("/usr/share/sounds/sf2")
BEFORE, AFTER = 0.8, 0.6  # s of silence around a word
DECIDED = 0.28  # s after a word's end: the 0.2 s of lumia's own measure, and the 80 ms that evidence may take
VOICES = ("flite", "espeak")
CLIPPED, QUIET = 6.0, -60.0  # dB over full scale; dBFS
ROOM = -50.0  # dBFS of the noise of a room


@dataclass(frozen=True)
class Naming:
    """One kind of sound without a name."""

    kind: str
    minutes: float
    names: float  # a minute; one that is told again counts again
    share: float  # of the time in which any name was told


@dataclass(frozen=True)
class Words:
    """One way of saying words."""

    how: str
    words: int
    nearest: float  # share whose concept is the nearest 0.2 s after their end
    named: float  # share that is told, `DECIDED` after their end
    delay: tuple[float, float] | None  # s after the word's end until it is told, 0 for before: median, 90th percentile
    warnings: tuple[str, ...]  # that the frames told


def player(bundle: str | None) -> Instrument:
    """Return an instrument to play one sound on."""
    return open_instrument(bundle)


def played(instrument: Instrument, sound: Mono) -> Iterator[Frame]:
    """Yield a frame for each hop of `sound`, float32 [n] at 16 kHz."""
    parameters = instrument.defaults.merge({"hop": HOP, "blackout": True}, instrument.ranges)
    step = round(HOP * SAMPLE_RATE)
    for start in range(0, len(sound) - step + 1, step):
        instrument.push(sound[start : start + step, None], SAMPLE_RATE, start / SAMPLE_RATE)
        yield instrument.step((start + step) / SAMPLE_RATE, parameters)


def told(frames: Sequence[str | None]) -> int:
    """Return how often a name came that was not there the frame before."""
    return sum(now is not None and now != before for before, now in zip([None, *frames], frames, strict=False))


Play = Callable[[Instrument, Mono], list[str | None]]
"""Plays a sound, float32 [n] at 16 kHz, and returns the name that each frame told."""


def quickly(instrument: Instrument, sound: Mono) -> list[str | None]:
    """Play by the instrument's own clock, without pictures."""
    return [_name(frame) for frame in played(instrument, sound)]


def live(instrument: Instrument, sound: Mono) -> list[str | None]:
    """Play through an engine that paints, in blocks of a hop, each when its last sample would sound.

    Raises BenchError when the engine stops by itself: what it does not tell would pass for silence.
    """
    names: list[str | None] = []
    step, never = round(HOP * SAMPLE_RATE), Event()
    with Engine(instrument) as engine:
        while not (engine.ready.wait(HOP) or engine.failure):
            pass
        engine.subscribe(lambda frame: names.append(_name(frame)))
        began = engine.clock.now()
        for start in range(0, len(sound), step):
            block = sound[start : start + step]
            engine.clock.wait_until(began + (start + len(block)) / SAMPLE_RATE, never)
            engine.hear(block, SAMPLE_RATE)
    if engine.failure:
        raise BenchError(f"the engine stopped by itself: {engine.failure!r}")
    return names


def _name(frame: Frame) -> str | None:
    return frame.heard.name if frame.heard else None


def naming(kind: str, sounds: Sequence[Mono], bundle: str | None, play: Play = quickly) -> Naming:
    """Return how often sounds of a kind are named."""
    names = [play(player(bundle), sound) for sound in sounds]
    minutes = sum(map(len, sounds)) / SAMPLE_RATE / 60
    named = sum(name is not None for one in names for name in one)
    return Naming(kind, round(minutes, 2), sum(map(told, names)) / minutes, named / max(1, sum(map(len, names))))


def words(how: str, clips: Sequence[LabelledClip], bundle: str | None) -> Words:
    """Return how clips of words, each with its label, are named."""
    results = [_word(clip, player(bundle)) for clip in clips]
    delays = [delay for _, _, delay, _ in results if delay is not None]
    return Words(
        how,
        len(clips),
        sum(nearest for nearest, *_ in results) / len(clips),
        sum(named for _, named, *_ in results) / len(clips),
        (float(np.median(delays)), float(np.percentile(delays, 90))) if delays else None,
        tuple(sorted({warning for *_, warnings in results for warning in warnings})),
    )


def _word(clip: LabelledClip, instrument: Instrument) -> tuple[bool, bool, float | None, set[str]]:
    """Return whether a word is the nearest, whether it is named, after how many seconds, and the warnings."""
    index = ConceptIndex(instrument.bundle.concepts, instrument.bundle.conditioning.concepts)
    end = len(clip.sound) / SAMPLE_RATE - AFTER
    nearest, named = False, False
    since: float | None = None
    delay: float | None = None
    warnings: set[str] = set()
    for frame in played(instrument, clip.sound):
        after = (frame.heard_until or 0.0) - end
        warnings |= set(frame.listening.warnings)
        hop = instrument._hop  # the nearest concept whatever the evidence is told by no frame
        if hop.tokens is not None and after <= 0.2:
            found = index.nearest(hop.tokens)
            nearest = found is not None and found.name == clip.label
        is_named = _name(frame) == clip.label
        since = (max(0.0, after) if since is None else since) if is_named else None
        if after <= DECIDED:
            named, delay = is_named, since
    return nearest, named, delay, warnings


def said(clips: Sequence[LabelledClip], gain: float | None = None, level: float | None = None) -> list[LabelledClip]:
    """Return clips with silence around; `gain` in dB over full scale is cut off there, `level` in dBFS."""
    around = [round(seconds * SAMPLE_RATE) for seconds in (BEFORE, AFTER)]
    result = []
    for clip in clips:
        sound = clip.sound
        if gain is not None:
            sound = np.clip(sound / np.abs(sound).max() * 10 ** (gain / 20), -1, 1).astype(np.float32)
        if level is not None:
            sound = at_level(sound, level)
        result.append(LabelledClip(np.pad(sound, around), clip.label, clip.origin, clip.text))
    return result


def in_a_room(clips: Sequence[LabelledClip], seconds: float = 3.0) -> list[LabelledClip]:
    """Return clips after so many seconds of a room's noise, which goes on through them."""
    dice, made = np.random.default_rng(SEED), []
    for clip in clips:
        sound = np.pad(clip.sound, (round(seconds * SAMPLE_RATE), 0))
        hiss = at_level(dice.standard_normal(len(sound)), ROOM)
        made.append(LabelledClip(sound + hiss, clip.label, clip.origin, clip.text))
    return made


def line(row: Naming | Words) -> str:
    """Return a row of the report for people."""
    if isinstance(row, Naming):
        told_for = f"{row.names:5.1f} names a minute, {100 * row.share:4.1f} % of the time"
        return f"{row.kind:10} {row.minutes:5.1f} min  {told_for}"
    told = "never told" if row.delay is None else "{:.0f} ms after the end ({:.0f} ms in 90 %)".format(*_ms(row.delay))
    warned = f", warnings: {' '.join(row.warnings)}" if row.warnings else ""
    return (
        f"{row.how:24} {row.words:4} words  nearest {100 * row.nearest:.1f} %, named {100 * row.named:.1f} %, "
        f"{told}{warned}"
    )


def _ms(delays: tuple[float, float]) -> list[float]:
    return [1000 * delay for delay in delays]


def study(arguments: argparse.Namespace) -> None:
    """Play everything, and print what was told."""
    if not (fonts := sorted(FONTS.glob("*GM*.sf2"))):
        raise BenchError(f"no General MIDI sound font in {FONTS}; install fluid-soundfont-gm")
    rows: list[Naming | Words] = []
    for kind, sounds in material(arguments.seed, arguments.minutes, fonts[-1]).items():
        rows.append(naming(kind, sounds, arguments.bundle, live if arguments.live else quickly))
        print(line(rows[-1]), flush=True)
    rows += [] if arguments.live else words_said(arguments)
    print(json.dumps([asdict(row) for row in rows]))


def words_said(arguments: argparse.Namespace) -> list[Words]:
    """Play words in every way, and print what was told."""
    rows: list[Words] = []
    takes = [take for take in held_out_takes() if take.engine in arguments.voices.split(",")][:: arguments.every]
    clips = list(synthesize(takes, arguments.work))
    ways = {
        "words": said(clips),
        "words in a room, -50 dBFS": in_a_room(said(clips)),
        "words 6 dB too loud": said(clips, gain=CLIPPED),
        "words at -60 dBFS": said(clips, level=QUIET),
    }
    for how, spoken in ways.items():
        rows.append(words(how, spoken, arguments.bundle))
        print(line(rows[-1]), flush=True)
    return rows


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description="Measure how often a bundle names sounds that have no name, and words."
    )
    parser.add_argument("--bundle", metavar="FOLDER", help="which one (default: lumia)")
    parser.add_argument("--minutes", type=float, default=5.0, metavar="N", help="of speech, twice as many of music (5)")
    parser.add_argument("--live", action="store_true", help="through an engine, as fast as it sounds; no words")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"of the sounds ({SEED})")
    parser.add_argument("--voices", default=",".join(VOICES), help="whose words: flite, espeak, hibari, kokoro")
    parser.add_argument("--every", type=int, default=4, metavar="N", help="one word of so many (4)")
    parser.add_argument(
        "--work", type=Path, default=Path("hearing"), metavar="FOLDER", help="where voices are fetched to"
    )
    arguments = parser.parse_args()
    return ended("hearing", lambda: study(arguments))


if __name__ == "__main__":
    sys.exit(main())
