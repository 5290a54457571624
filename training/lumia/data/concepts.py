"""Concepts of the default bundle, with their pictures and words, and the sounds that some of them make.

Assumes nothing; plain data. The names of recordings are the titles inside OpenSFX's `.cat` file, the names of samples
are files of Sonic Pi, and bank and program numbers belong to FluidR3 (General MIDI) and FluidR3 GS.
"""

from dataclasses import dataclass
from typing import Literal

from clavilux.training.lumia.data.vocabulary import CATEGORIES

SHORT_LETTERS = 4
SHORT_SOUNDING = (  # words of more letters that have three phonemes at most in American English
    "sheep", "mouse", "goose", "whale", "shell", "earth", "peach", "maize", "cheese", "knife", "house", "yacht",
    "sleigh", "chess", "phone", "chair", "watch", "tooth",
)  # fmt: skip
Kind = Literal["recording", "sample", "effect", "instrument", "drums"]


@dataclass(frozen=True)
class SoundSource:
    """One source of a concept's sound; what `name`, `bank` and `program` mean depends on the kind."""

    kind: Kind
    name: str = ""  # title of a recording, or file name of a sample without its suffix
    bank: int = 0  # GS bank of an effect
    program: int = 0  # MIDI program, 0..127
    keys: tuple[int, int] = (60, 60)  # lowest and highest MIDI key that make sense

    @property
    def source(self) -> str:
        """Return what tells this source from every other, as a voice's name does for speech."""
        place = self.name or f"{self.bank}.{self.program}.{self.keys[0]}"
        return f"{self.kind}/{place}"


@dataclass(frozen=True)
class Concept:
    """Something that can be said, perhaps heard, and shown."""

    name: str  # lower case, one or two words: the caption
    code: str  # hex code of its emoji, the file name in the Fluent collection
    category: str
    synonyms: tuple[str, ...] = ()
    sounds: tuple[SoundSource, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Return the name and its synonyms."""
        return (self.name, *self.synonyms)

    @property
    def phrase(self) -> str:
        """Return the name as a sentence: every synthesiser is understood better that way."""
        return f"{with_article(self.name)}."


def with_article(word: str) -> str:
    """Return "A dog" or "An elephant"."""
    return f"{'An' if word[0] in 'aeiou' else 'A'} {word}"


def is_short(word: str) -> bool:
    """Return whether a word gives little to hear: four letters at most, or three phonemes."""
    return len(word) <= SHORT_LETTERS or word in SHORT_SOUNDING


def _recordings(*titles: str) -> tuple[SoundSource, ...]:
    return tuple(SoundSource("recording", name=title) for title in titles)


def _samples(*names: str) -> tuple[SoundSource, ...]:
    return tuple(SoundSource("sample", name=name) for name in names)


def _effects(program: int, *banks: int) -> tuple[SoundSource, ...]:
    return tuple(SoundSource("effect", bank=bank, program=program, keys=(54, 66)) for bank in banks)


def _instruments(low: int, high: int, *programs: int) -> tuple[SoundSource, ...]:
    return tuple(SoundSource("instrument", program=program, keys=(low, high)) for program in programs)


SOUNDS: dict[str, tuple[SoundSource, ...]] = {
    "dog": _effects(123, 1),
    "horse": _recordings("Horse") + _effects(123, 2),
    "cow": _recordings("Cow"),
    "sheep": _recordings("Sheep"),
    "lion": _recordings("Tropical: Lion roar"),
    "monkey": _recordings("Tropical: Monkeys"),
    "bird": _recordings("Tropical: Bird (1)", "Tropical: Bird (2)") + _effects(123, 3) + _instruments(54, 72, 123),
    "crow": _samples("misc_crow"),
    "ocean": _instruments(54, 66, 122),
    "rain": _effects(122, 1),
    "thunder": _effects(122, 2),
    "wind": _recordings("Wind", "Heavy wind") + _effects(122, 3),
    "water": _effects(122, 4),
    "bubbles": _effects(122, 5) + _recordings("Toyland: Bubble generated"),
    "train": _recordings("Steam train station departure", "Steam (of steam engine)",
                         "Diesel/electric train station departure") + _effects(125, 6),
    "bus": _recordings("Modern bus start", "Old bus start"),
    "truck": _recordings("Truck/old bus start, pull away"),
    "car": _recordings("Modern car horn") + _effects(125, 1, 2, 3, 4),
    "siren": _effects(125, 5),
    "airplane": _recordings("Propeller plane start", "Early jet take off") + _effects(125, 7),
    "helicopter": _instruments(54, 66, 125),
    "rocket": _recordings("Modern jet take off", "Mach 1+ Jet take off"),
    "flying saucer": _effects(125, 8),
    "ship": _recordings("Ship horn", "Ferry horn"),
    "traffic light": _recordings("Level crossing"),
    "explosion": _recordings("Explosion", "Big crash") + _effects(127, 3),
    "saw": _recordings("Lumber mill: Chainsaw", "Sawmill"),
    "gear": _recordings("Mining machinery"),
    "money": _recordings("Cash till") + _samples("perc_till"),
    "applause": _recordings("Applause") + _instruments(54, 66, 126) + (SoundSource("drums", keys=(39, 39)),),
    "laughter": _effects(126, 1),
    "scream": _effects(126, 2),
    "boxing": _effects(126, 3),
    "heart": _effects(126, 4),
    "footprints": _effects(126, 5),
    "door": _effects(124, 2, 3) + _samples("perc_door"),
    "telephone": _instruments(60, 72, 124) + _effects(124, 1) + _samples("mehackit_phone1", "mehackit_phone2"),
    "wind chime": _effects(124, 5),
    "robot": _samples(*(f"mehackit_robot{i}" for i in range(1, 6)), "glitch_robot1", "glitch_robot2"),
    "ghost": _samples("ambi_haunted_hum"),
    "bell": _instruments(55, 79, 14) + _samples("perc_bell", "perc_bell2", "elec_bell"),
    "church": _instruments(36, 76, 19),
    "circus": _instruments(55, 80, 82),
    "drum": (SoundSource("drums", keys=(35, 50)), *_instruments(40, 55, 47, 116, 117),
             *_samples("drum_roll", "drum_tom_mid_hard", "drum_snare_hard", "loop_amen", "loop_tabla", "tabla_ghe1")),
    "maracas": (SoundSource("drums", keys=(69, 70)), SoundSource("drums", keys=(82, 82))),
    "guitar": _instruments(40, 70, 24, 25, 26, 27, 29) + _samples("guit_em9", "guit_e_slide", "guit_e_fifths"),
    "banjo": _instruments(48, 74, 105),
    "piano": _instruments(36, 88, 0, 1, 3) + _samples("ambi_piano"),
    "trumpet": _instruments(52, 80, 56, 57, 59),
    "horn": _instruments(41, 70, 60),
    "saxophone": _instruments(44, 76, 64, 65, 66),
    "flute": _instruments(60, 90, 73, 74, 75, 78),
    "accordion": _instruments(50, 80, 21, 22),
    "violin": _instruments(50, 90, 40, 41, 42, 48),
    "microphone": _instruments(48, 74, 52, 53) + _samples("ambi_choir"),
    "music": _instruments(50, 86, 10, 11, 12, 46),
}  # fmt: skip


def _concepts() -> tuple[Concept, ...]:
    rows = [(category, *row.split("/")) for category, text in CATEGORIES.items() for row in text.split("\n") if row]
    return tuple(
        Concept(name, code, category, tuple(word.strip() for word in more.split(",") if word), SOUNDS.get(name, ()))
        for category, name, code, more in rows
    )


CONCEPTS: tuple[Concept, ...] = _concepts()
NAMES: tuple[str, ...] = tuple(concept.name for concept in CONCEPTS)

# Words and sentences that mean none of the concepts: they teach the encoder to stay idle.
OTHER_PHRASES: tuple[str, ...] = (
    "The number seven.", "Hello there.", "Good evening.", "Yes, of course.", "Please wait.", "The kitchen.",
    "Tomorrow.", "A bottle.", "Is it working?", "One, two, three.", "Maybe later.", "The office.",
    "Thank you very much.", "Where are we going?", "I do not know.", "A question.", "Monday morning.",
    "The other side.", "Who said that?", "Twenty five.", "An answer.", "Nothing at all.",
    "It was raining yesterday, I think.", "Can you hear me?", "Good morning.", "Good night, everyone.",
    "See you soon.", "How are you?", "I am fine, thanks.", "What is your name?", "My name is Peter.",
    "Nice to meet you.", "Excuse me.", "I am sorry.", "No problem.", "Never mind.", "Wait a minute.",
    "Come over here.", "Go away.", "Sit down, please.", "Stand up.", "Turn it off.", "Turn it on again.",
    "A little louder.", "Not so fast.", "Be quiet.", "Listen to this.", "Say it again.", "Once more.",
    "That is enough.", "Very well.", "Of course not.", "I agree with you.", "That is wrong.", "You are right.",
    "Let me think.", "Give me that.", "Take it easy.", "Help me, please.", "What time is it?",
    "It is half past nine.", "On Tuesday afternoon.", "Last Wednesday.", "Next year.", "Every single day.",
    "A long time ago.", "In the middle of the week.", "Seventeen.", "Ninety nine.", "Four hundred.",
    "Eleven and twelve.", "The first of May.", "December.", "August.", "Spring and summer.", "Autumn.", "Winter.",
    "The weather.", "A street.", "The garden.", "A wall.", "The floor.", "The ceiling.", "The bathroom.",
    "A cupboard.", "The garage.", "A pocket.", "The table.", "A bag.", "The basement.", "The school.", "A teacher.",
    "The doctor.", "My brother.", "Her sister.", "A neighbour.", "The children.", "A grandmother.", "Our family.",
    "The people.", "A friend of mine.", "The president.", "A story.", "A sentence.", "The word.", "A paragraph.",
    "The language.", "English.", "A secret.", "An idea.", "The reason.", "A mistake.", "The truth.", "A dream.",
    "The future.", "History.", "A number.", "The beginning.", "The end.", "Somewhere else.", "Over there.",
    "Upstairs.", "To the left.", "Straight on.", "Back and forth.", "Up and down.", "Inside.", "Between.", "Slowly.",
    "Quickly.", "Often.", "Always.", "Blue and green.", "Yellow.", "Purple.", "Something red.", "Dark brown.",
    "Beautiful.", "Interesting.", "Strange.", "Difficult.", "Heavy.", "Empty.", "Expensive.", "Together.", "Alone.",
    "Running and jumping.", "Walking.", "He is writing.", "She was talking.", "They were waiting.", "We should go.",
    "I forgot it.", "I remember.", "Did you see it?", "Why not?", "How much is it?", "Who is there?", "Which one?",
    "What do you mean?", "Is anybody here?", "Are you ready?", "Ready, steady, go.", "Let us begin.",
    "Testing, testing.", "Check, one, two.", "Um, well, you know.", "Hmm.", "Uh.", "Oh dear.", "Aha.", "Okay.",
    "Right.", "So, anyway.", "Because of that.", "Although.", "However.", "If you like.", "As I said before.",
    "Ladies and gentlemen.", "Welcome back.", "Congratulations.", "Good luck.", "Cheers.", "Bless you.", "La la la.",
    "Butter.", "Sugar.", "Salt.", "Breakfast.", "Dinner.", "Supper.", "Paper.", "Plastic.", "Iron.", "Glue.",
    "A carpet.", "A pillow.", "Electricity.", "Gravity.", "An accident.", "Medicine.", "Science.", "Religion.",
    "The government.", "Business.", "A ticket.", "The station.", "The airport.", "A village.", "The country.",
    "A forest.", "The desert.", "A river.",
)  # fmt: skip
