"""espeak-ng in the same process: a hundred times faster than starting the program for every word.

Assumes the Debian package `libespeak-ng1` (or the same library elsewhere). One thread of a process may use it: the
library keeps its state in globals, so that each synthesiser tells it anew who listens, how and by what voice it speaks.
Function and constant names are those of `speak_lib.h`.
"""

import ctypes
import ctypes.util
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.errors import ClaviluxError

AUDIO_OUTPUT_SYNCHRONOUS = 2  # espeak_Synth returns when all samples have been handed over
CHARS_UTF8, SSML_OFF, POS_CHARACTER = 1, 0, 1
IPA = 2  # phonemes in the International Phonetic Alphabet
RATE, PITCH = 1, 3  # espeak_PARAMETER: words per minute, and 0..100
FULL_SCALE = 32768.0
STOPS = ".!?"


class Properties(ctypes.Structure):
    """Key that a voice is chosen by: the header's espeak_VOICE."""

    _fields_: ClassVar = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """Text to speech in espeak-ng's voices."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise ClaviluxError("the library espeak-ng was not found; install the package libespeak-ng1")
        self._library = ctypes.CDLL(name)
        self.rate: int = self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, None, 0)  # Hz
        if self.rate <= 0:
            raise ClaviluxError("espeak-ng did not start; install the package espeak-ng-data")
        self._library.espeak_Info.restype = ctypes.c_char_p
        data = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(data))
        variants = Path(data.value.decode() if data.value else "") / "voices" / "!v"
        self.variants = frozenset(file.name for file in variants.iterdir()) if variants.is_dir() else frozenset()
        self._parts: list[NDArray[np.int16]] = []
        self._callback = Callback(self._keep)  # must outlive the library's use of it

    def say(self, text: str, voice: str, words_per_minute: int = 160, pitch: int = 50) -> NDArray[np.float32]:
        """Return `text` as mono samples in -1..1 at `rate` Hz; `voice` is a language, or language+variant.

        Raises ClaviluxError for a voice that espeak-ng does not have.
        """
        self._choose(voice)
        self._library.espeak_SetParameter(RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(PITCH, pitch, 0)
        self._parts.clear()
        self._library.espeak_SetSynthCallback(self._callback)  # another synthesiser's may be gone by now
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, POS_CHARACTER, 0, CHARS_UTF8 | SSML_OFF, None, None)
        samples = np.concatenate(self._parts) if self._parts else np.zeros(0, np.int16)
        return (samples / FULL_SCALE).astype(np.float32)

    def phonemes(self, text: str, voice: str) -> str:
        """Return the phonemes of `text` in the International Phonetic Alphabet, and the stop that it ends with."""
        self._choose(voice)
        translate = self._library.espeak_TextToPhonemes
        translate.restype = ctypes.c_char_p
        rest = ctypes.c_char_p(text.encode())
        clauses: list[str] = []
        while rest.value:  # the library moves it a clause forward, and to nothing at the end
            clauses.append((translate(ctypes.byref(rest), CHARS_UTF8, IPA) or b"").decode())
        return f"{', '.join(clauses)}{text[-1] if text[-1] in STOPS else ''}"

    def _choose(self, voice: str) -> None:
        _, _, variant = voice.partition("+")
        if variant and variant not in self.variants:  # espeak-ng itself would take the language's own voice, silently
            raise ClaviluxError(f"espeak-ng has no variant {variant!r}; `espeak-ng --voices=variant` lists them")
        if self._library.espeak_SetVoiceByName(voice.encode()) == 0:
            return
        by_language = Properties(languages=voice.encode())  # as the program does: a language need not be a voice's name
        if self._library.espeak_SetVoiceByProperties(ctypes.byref(by_language)) != 0:
            raise ClaviluxError(f"espeak-ng has no voice {voice!r}; `espeak-ng --voices=en` lists the English ones")

    def _keep(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0
