"""What the default bundle knows: its concepts, their pictures, their words and their sounds.

Assumes nothing; plain data. The names of recordings are the titles inside OpenSFX's `.cat` file, the names of samples
are files of Sonic Pi, and bank and program numbers belong to FluidR3 (General MIDI) and FluidR3 GS.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["recording", "sample", "effect", "instrument", "drums"]


@dataclass(frozen=True)
class Sound:
    """One source of a concept's sound; what `name`, `bank` and `program` mean depends on the kind."""

    kind: Kind
    name: str = ""  # title of a recording, or file name of a sample without its suffix
    bank: int = 0  # GS bank of an effect
    program: int = 0  # MIDI program, 0..127
    keys: tuple[int, int] = (60, 60)  # lowest and highest MIDI key that make sense


@dataclass(frozen=True)
class Concept:
    """Something that can be said, perhaps heard, and shown."""

    name: str  # one word, lower case: the caption
    code: str  # hex code of its emoji, the file name in the Fluent collection
    sounds: tuple[Sound, ...] = ()

    @property
    def phrase(self) -> str:
        """Return the word with its article, as a sentence: every synthesiser is understood better that way."""
        return f"{'An' if self.name[0] in 'aeiou' else 'A'} {self.name}."


def _recording(title: str) -> Sound:
    return Sound("recording", name=title)


def _sample(name: str) -> Sound:
    return Sound("sample", name=name)


def _effect(bank: int, program: int, low: int = 54, high: int = 66) -> Sound:
    return Sound("effect", bank=bank, program=program, keys=(low, high))


def _instrument(program: int, low: int, high: int) -> Sound:
    return Sound("instrument", program=program, keys=(low, high))


CONCEPTS: tuple[Concept, ...] = (
    Concept("dog", "1f436", (_effect(1, 123),)),
    Concept("cat", "1f431"),
    Concept("horse", "1f434", (_recording("Horse"), _effect(2, 123))),
    Concept("cow", "1f42e", (_recording("Cow"),)),
    Concept("sheep", "1f411", (_recording("Sheep"),)),
    Concept("lion", "1f981", (_recording("Tropical: Lion roar"),)),
    Concept("bird", "1f426", (_recording("Tropical: Bird (1)"), _recording("Tropical: Bird (2)"), _effect(3, 123))),
    Concept("elephant", "1f418"),
    Concept("butterfly", "1f98b"),
    Concept("train", "1f682", (_recording("Steam train station departure"), _effect(6, 125))),
    Concept("car", "1f697", (_effect(1, 125), _effect(3, 125), _recording("Modern car horn"))),
    Concept("helicopter", "1f681", (_instrument(125, 54, 66),)),
    Concept("rocket", "1f680", (_effect(7, 125), _recording("Modern jet take off"))),
    Concept("umbrella", "2614", (_effect(1, 122),)),
    Concept("thunder", "26a1", (_effect(2, 122),)),
    Concept("telephone", "260e-fe0f", (_instrument(124, 60, 72), _effect(1, 124))),
    Concept("bell", "1f514", (_instrument(14, 55, 79), _sample("perc_bell"), _sample("perc_bell2"))),
    Concept("drum", "1f941", (Sound("drums", keys=(35, 50)), _sample("drum_roll"), _sample("drum_tom_mid_hard"))),
    Concept("guitar", "1f3b8", (_instrument(24, 40, 70), _instrument(26, 40, 70), _sample("guit_em9"))),
    Concept("piano", "1f3b9", (_instrument(0, 40, 84), _instrument(1, 40, 84))),
    Concept("trumpet", "1f3ba", (_instrument(56, 55, 80), _instrument(57, 48, 72))),
    Concept("violin", "1f3bb", (_instrument(40, 55, 90), _instrument(48, 50, 80))),
    Concept("fire", "1f525"),
    Concept("ocean", "1f30a", (_instrument(122, 54, 66),)),
    Concept("flower", "1f33b"),
    Concept("mountain", "1f3d4-fe0f"),
    Concept("moon", "1f319"),
    Concept("rainbow", "1f308"),
)
NAMES: tuple[str, ...] = tuple(concept.name for concept in CONCEPTS)

# Words and sentences that mean none of the concepts: they teach the encoder to stay idle.
OTHER_PHRASES: tuple[str, ...] = (
    "A window.", "The number seven.", "Hello there.", "Good evening.", "A pencil.", "Yes, of course.", "Please wait.",
    "A shoe.", "The kitchen.", "Tomorrow.", "A bottle.", "Is it working?", "One, two, three.", "A jacket.",
    "Maybe later.", "The office.",
)  # fmt: skip
