"""Phonemes of what clips say: targets for a head that hears speech sound by sound while the encoder learns.

Assumes hibari's wheel among the packages (`clavilux.training.lumia.data.assets`); its American phonemes serve for every
accent.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from clavilux.training.lumia.data.clips import LabelledClip
from clavilux.training.lumia.data.kokoro import load_hibari

NOT_SPOKEN = set("ˈˌ .,!?;:-'\"“”…—")
BLANK = 0  # CTC's


def phonemes_of(texts: Iterable[str], folder: Path) -> dict[str, str]:
    """Return each distinct text's phonemes, a character each, without stress, pauses and spaces."""
    hibari = load_hibari(folder)
    spoken = {text: "".join(hibari.phonemize(text)) for text in sorted(set(texts)) if text}
    return {text: "".join(letter for letter in sounds if letter not in NOT_SPOKEN) for text, sounds in spoken.items()}


def numbered(clips: Sequence[LabelledClip], spoken: dict[str, str]) -> tuple[list[list[int]], int]:
    """Return each clip's phonemes as numbers from 1, none for a clip without text, and how many numbers there are.

    0 is left for CTC's blank and counted.
    """
    letters = {letter: i for i, letter in enumerate(sorted(set("".join(spoken.values()))), start=BLANK + 1)}
    rows = [[letters[letter] for letter in spoken.get(clip.text, "")] for clip in clips]
    return rows, len(letters) + 1
