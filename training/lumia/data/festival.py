"""Festival as a synthesiser: one process that is spoken to in Scheme, a few milliseconds a take.

Assumes the Debian packages festival, festvox-kallpc16k, festvox-kdlpc16k (diphones) and festvox-us-slt-hts (a hidden
Markov model's voice). Words and parameters are those of the Festival manual (Black, Taylor and Caley, 1999).
"""

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.runtime.errors import ClaviluxError

DIPHONES = {"kal": "kal_diphone", "ked": "ked_diphone"}  # speaker: festival's name of the voice
HTS = {"slt": "cmu_us_slt_arctic_hts"}
HERTZ = 105  # mean pitch of both diphone voices
DONE = "take is there"


class Festival:
    """Text to speech in festival's English voices."""

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                ["festival", "--pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except FileNotFoundError:
            raise ClaviluxError("the program festival was not found; install the package festival") from None
        self._input, self._output = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)

    def say(self, text: str, speaker: str, speed: float = 1.0, pitch: float = 1.0) -> tuple[NDArray[np.float32], int]:
        """Return `text` as mono samples in -1..1 with their rate in Hz; `pitch` moves the diphone voices only.

        Raises ClaviluxError when festival ends or has no such voice.
        """
        voice = DIPHONES.get(speaker) or HTS[speaker]
        with tempfile.TemporaryDirectory() as folder:
            wave = Path(folder) / "take.wav"
            self._tell(_script(text, voice, speed, pitch, wave))
            if not wave.exists():
                raise ClaviluxError(f"festival has no voice {voice}; install the package that provides it")
            samples, rate = soundfile.read(wave, dtype="float32")
        return samples, rate

    def _tell(self, script: str) -> None:
        """Run a script and wait until it has ended, well or not."""
        with suppress(BrokenPipeError):  # the output then ends, and says so
            self._input.write(f'(unwind-protect {script} nil)\n(begin (format t "{DONE}\\n") (fflush nil))\n')
            self._input.flush()
        for line in self._output:
            if line.strip() == DONE:
                return
        raise ClaviluxError(f"festival ended with exit code {self._process.wait()} while it spoke")

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._input.close()
        self._output.close()
        self._process.wait()


def _script(text: str, voice: str, speed: float, pitch: float, wave: Path) -> str:
    """Return the Scheme expression that writes a take as a wave file."""
    steps = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {1 / speed:.3f})"]
    if voice in DIPHONES.values():
        mean = f"(target_f0_mean {HERTZ * pitch:.1f}) (target_f0_std {14 * pitch:.1f})"
        steps.append(f"(set! int_lr_params '({mean} (model_f0_mean 170) (model_f0_std 34)))")
    said = text.replace("\\", " ").replace('"', " ")
    steps += [f'(set! take (utt.synth (Utterance Text "{said}")))', f'(utt.save.wave take "{wave}" \'riff)']
    return f"(begin {' '.join(steps)})"
