"""SVOX Pico as a synthesiser: a British and an American voice, a hundred times faster than they speak.

Assumes the unpacked wheel that `clavilux.training.lumia.data.assets` names; engine and voices are Apache-2.0. The same
take comes out the same but for noise 50 dB below its peak, which depends on what was said before in the process.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clavilux.training.lumia.data import assets

PICO_RATE = 16_000  # Hz
FULL_SCALE = 32768.0
VOLUME = 0.5  # at 1, its default, peaks are clipped


class Pico:
    """Text to speech in Pico's English voices."""

    def __init__(self, folder: Path) -> None:
        packages = str(assets.python_packages(folder, assets.PICO_WHEELS))
        if packages not in sys.path:
            sys.path.append(packages)
        self._engine = importlib.import_module("py_nanotts").NanoTTS()

    def say(self, text: str, voice: str, speed: float = 1.0, pitch: float = 1.0) -> NDArray[np.float32]:
        """Return `text` as mono samples in -1..1 at PICO_RATE; `voice` is "en-US" or "en-GB"."""
        spoken = self._engine.speak(text, voice, speed, pitch, VOLUME)
        return (np.frombuffer(spoken, np.int16) / FULL_SCALE).astype(np.float32)
