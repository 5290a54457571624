"""What the bundle hears, measured on voices never trained on: whole words, sliding windows, noise, and sounds.

    python -m training.evaluate runtime/bundles/lumia --work DIR      (DIR as given to training.lumia; prints a table)

A clip counts as right when the nearest concept, by mean cosine over the tokens, is the one said. Idle is no candidate.
Chance is one in the number of concepts. The measured encoder is the bundle's own ONNX graph.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from training.clips import SAMPLE_RATE, ClipBank, load_bank
from training.concepts import NAMES
from training.features import windows
from training.targets import similarities

WHOLE = 3200  # samples of silence after a whole word: 0.2 s
SLIDING = tuple(range(0, 19_200, 3200))  # ends of windows after the word's end: 0 to 1 s, every hop
ROOM_NOISE = 0.003  # deviation of white noise, full scale 1: about 35 dB under a word
Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Score:
    """One row of the report."""

    what: str
    clips: int
    right: float  # share of windows whose nearest concept is right


def bundle_encoder(bundle: Path) -> Encode:
    """Return the bundle's encoder as a function of mel windows [n, T, 80] giving tokens [n, N, D]."""
    session = ort.InferenceSession(str(bundle / "audio_encoder.onnx"), providers=["CPUExecutionProvider"])

    def encode(frames: Tensor) -> Tensor:
        outputs = [session.run(None, {"features": one[None].numpy()})[0] for one in frames]
        return torch.from_numpy(np.concatenate(outputs))

    return encode


def concept_table(bundle: Path) -> Tensor:
    """Return the bundle's concept tokens [K, N, D]."""
    return torch.from_numpy(load_file(bundle / "conditioning.safetensors")["concepts"])


def answers(encode: Encode, table: Tensor, sounds: Sequence[NDArray[np.float32]], offsets: Sequence[int]) -> Tensor:
    """Return the nearest concept [clips, offsets] for windows that end `offset` samples after each sound."""
    rows = [similarities(encode(windows(sound, list(offsets))), table).argmax(dim=1) for sound in sounds]
    return torch.stack(rows)


def score(what: str, found: Tensor, bank: ClipBank) -> Score:
    """Return the share of right answers among `found` [clips, offsets]."""
    truth = torch.tensor([NAMES.index(label) for label in bank.labels])
    return Score(what, len(bank), float((found == truth[:, None]).float().mean()))


def in_a_room(sounds: Sequence[NDArray[np.float32]], seed: int) -> list[NDArray[np.float32]]:
    """Return each sound with two seconds of faint noise before, and noise through and half a second after it."""
    dice = np.random.default_rng(seed)
    padded = [np.pad(sound, (2 * SAMPLE_RATE, SAMPLE_RATE // 2)) for sound in sounds]
    return [(one + ROOM_NOISE * dice.standard_normal(len(one))).astype(np.float32) for one in padded]


def report(encode: Encode, table: Tensor, speech: ClipBank, sounds: ClipBank) -> list[Score]:
    """Return every score: per engine and overall, whole words, sliding windows, a noisy room, and sounds."""
    engines = sorted({voice.split("/")[0] for voice in speech.voices})
    found = answers(encode, table, speech.sounds, [WHOLE])
    parts = {
        engine: [i for i, voice in enumerate(speech.voices) if voice.startswith(engine + "/")] for engine in engines
    }
    scores = [score(f"{engine}, whole word", found[parts[engine]], speech.only(engine + "/")) for engine in engines]
    scores.append(score("all held-out voices, whole word", found, speech))
    noisy = answers(encode, table, in_a_room(speech.sounds, 0), [WHOLE - SAMPLE_RATE // 2])
    scores.append(score("all held-out voices, whole word, noisy room", noisy, speech))
    sliding = answers(encode, table, speech.sounds, SLIDING)
    for i, offset in enumerate(SLIDING):
        name = f"all held-out voices, sliding window, {offset / SAMPLE_RATE:.1f} s after the word"
        scores.append(score(name, sliding[:, i : i + 1], speech))
    scores.append(
        score("sounds: other keys, or the same take 12 % higher", answers(encode, table, sounds.sounds, [0]), sounds)
    )
    return scores


def table_of(scores: Sequence[Score]) -> str:
    """Return the scores as a Markdown table."""
    rows = [f"| {one.what} | {one.clips} | {100 * one.right:.1f} % |" for one in scores]
    head = ["| measured on | clips | right |", "|---|---|---|"]
    return "\n".join([*head, *rows, f"| chance | | {100 / len(NAMES):.1f} % |"])


def confusions(found: Tensor, bank: ClipBank) -> list[str]:
    """Return the commonest mistakes, as "said as heard: times"."""
    wrong: dict[str, int] = {}
    for label, index in zip(bank.labels, found[:, 0].tolist(), strict=True):
        if NAMES[index] != label:
            wrong[f"{label} as {NAMES[index]}"] = wrong.get(f"{label} as {NAMES[index]}", 0) + 1
    return [f"{pair}: {times}" for pair, times in sorted(wrong.items(), key=lambda item: -item[1])]


def measure(bundle: Path, work: Path) -> list[Score]:
    """Return the report of a bundle on the held-out clips that `training.lumia` left in `work`."""
    speech, sounds = load_bank(work / "speech_held_out.safetensors"), load_bank(work / "sounds_held_out.safetensors")
    return report(bundle_encoder(bundle), concept_table(bundle), speech, sounds)


def main() -> None:
    """Print the table of a bundle."""
    parser = argparse.ArgumentParser(description="What a bundle hears, measured on voices never trained on.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="the folder that training.lumia worked in")
    options = parser.parse_args()
    print(table_of(measure(options.bundle, options.work)))


if __name__ == "__main__":
    main()
