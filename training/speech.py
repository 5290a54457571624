"""Spoken words in many synthetic voices, split by voice and by whole engine before anything is made.

Voices: flite and espeak-ng (programs), Kokoro and hibari (ONNX models). hibari is distilled from Kokoro's voice
af_heart, so neither is ever trained on. Assumes the packages that `training.assets` names.
"""

import random
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from training import assets
from training.clips import ClipBank, tidy
from training.concepts import CONCEPTS, OTHER_PHRASES
from training.kokoro import KOKORO_RATE, Kokoro, load_hibari

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")
ESPEAK_TRAINED = (
    "", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f4", "klatt", "klatt3", "klatt4", "klatt6",
    "Adam", "Alicia", "Annie", "David", "Ed", "Gene2", "Lee", "Linda", "Mario", "Max", "Mike", "Pablo", "Rob",
    "Steph", "Tweaky", "Zac",
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
    def name(self) -> str:
        """Return engine and voice, as a bank stores them."""
        return f"{self.engine}/{self.voice}"


def training_takes(seed: int, per_concept: dict[str, int]) -> list[Take]:
    """Return the takes to train on: for each engine, that many per concept, plus phrases that mean none."""
    dice = random.Random(seed)
    takes = []
    for engine, count in per_concept.items():
        for concept in CONCEPTS:
            voices = _shuffled_voices(engine, count, dice)
            takes += [_varied(engine, voice, _framed(concept.name, dice), concept.name, dice) for voice in voices]
        others = [phrase for phrase in OTHER_PHRASES for _ in range(max(1, count // 8))]
        takes += [_varied(engine, _training_voice(engine, dice), phrase, "", dice) for phrase in others]
    return takes


def held_out_takes() -> list[Take]:
    """Return the takes to measure on: every concept as "A word." in every voice that was never trained on."""
    voices = [("flite", voice) for voice in FLITE_HELD_OUT]
    voices += [("espeak", f"{ACCENTS[i % 2]}+{variant}") for i, variant in enumerate(ESPEAK_HELD_OUT)]
    voices += [("hibari", "heart")] + [("kokoro", voice) for voice in KOKORO_HELD_OUT]
    return [Take(engine, voice, one.phrase, one.name) for engine, voice in voices for one in CONCEPTS]


def _shuffled_voices(engine: str, count: int, dice: random.Random) -> list[str]:
    return [_training_voice(engine, dice) for _ in range(count)]


def _training_voice(engine: str, dice: random.Random) -> str:
    if engine == "flite":
        return dice.choice(FLITE_TRAINED)
    if engine == "espeak":
        return f"{dice.choice(ACCENTS)}+{dice.choice(ESPEAK_TRAINED)}"
    pair = dice.sample(KOKORO_TRAINED, 2)
    return pair[0] if dice.random() < 0.6 else "+".join(pair)  # a blend is one more speaker


def _framed(name: str, dice: random.Random) -> str:
    frame = dice.choice(FRAMES)
    article = "An {}." if frame == "A {}." and name[0] in "aeiou" else frame
    return article.format(name)


def _varied(engine: str, voice: str, text: str, label: str, dice: random.Random) -> Take:
    return Take(engine, voice, text, label, speed=dice.uniform(0.85, 1.3), pitch=dice.uniform(0.75, 1.35))


def synthesize(takes: Sequence[Take], folder: Path) -> ClipBank:
    """Say every take, in order, and return the tidied clips; programs run two at a time, models one by one."""
    bank = ClipBank()
    with ThreadPoolExecutor(2) as pool:
        programs = pool.map(_by_program, [take for take in takes if take.engine in ("flite", "espeak")])
        models = _by_models([take for take in takes if take.engine in ("kokoro", "hibari")], folder)
        for take in takes:
            samples, rate = next(programs if take.engine in ("flite", "espeak") else models)
            bank.add(tidy(samples, rate), take.label, take.name)
    return bank


def _by_program(take: Take) -> tuple[NDArray[np.float32], int]:
    with tempfile.TemporaryDirectory() as folder:
        wave = str(Path(folder) / "take.wav")
        assets.run(_flite(take, wave) if take.engine == "flite" else _espeak(take, wave))
        samples, rate = soundfile.read(wave, dtype="float32")
    return samples, rate


def _flite(take: Take, wave: str) -> list[str]:
    settings = ["--setf", f"duration_stretch={1 / take.speed:.3f}"]
    if take.pitch != 1.0:
        settings += ["--setf", f"int_f0_target_mean={115 * take.pitch:.1f}"]  # 115 Hz: the male voices' own mean
    return ["flite", "-voice", take.voice, *settings, "-t", take.text, "-o", wave]


def _espeak(take: Take, wave: str) -> list[str]:
    accent, _, variant = take.voice.partition("+")
    voice = f"{accent}+{variant}" if variant else accent
    pitch, speed = (
        round(50 * take.pitch),
        round(160 * take.speed),
    )  # 50 and 160 words per minute: about espeak's defaults
    return ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "-w", wave, take.text]


def _by_models(takes: Sequence[Take], folder: Path) -> Iterator[tuple[NDArray[np.float32], int]]:
    kokoro: Kokoro | None = None
    hibari: Any = None
    for take in takes:
        if take.engine == "kokoro":
            kokoro = kokoro or Kokoro(folder)
            yield kokoro.say(take.text, take.voice, take.speed), KOKORO_RATE
        else:
            hibari = hibari or load_hibari(folder)
            yield np.asarray(hibari(take.text), np.float32), hibari.sample_rate
