"""Carrier sentences: how a word is said, alone, at the end of a sentence, inside one, behind another, in the plural.

The label of a sentence is the last concept named in it, as the newest word of a window wins. What stands behind that
word is short (two syllables at most), so that the word lies whole in a clip that was cut to its last two seconds.
"""

import random
from collections.abc import Sequence

from clavilux.training.lumia.data.concepts import CONCEPTS, with_article

PLAIN = ("A {}.", "A {}.", "A {}.", "{}.", "The {}.", "My {}.")  # carrier phrases, the first the commonest
ENDING = (
    "Look, {a}!", "There is {the}.", "I see {a}.", "Um, {a}.", "This is {a}.", "Here comes {the}.", "Show me {a}.",
    "I want {a}.", "It is {a}!", "Is that {a}?", "And now, {the}.", "Where is {the}?", "I can hear {a}.",
    "Oh, {a}!", "Give me {the}.", "You are {a}.", "Erm, {the}.", "Just {a}.", "{word}!", "{word}?",
)  # fmt: skip
INSIDE = (
    "I see {a} and", "{a}, please.", "{the} is here.", "{a}, look.", "{the}, yes.", "{a}, um", "{the} again.",
    "{a} over there.", "{the}, I think.", "{word}, please.",
)  # fmt: skip
PAIRS = (
    "{other_the} and {the}.", "{other_a} and {a}.", "{other_a}, {a}.", "First {other_a}, then {a}.",
    "Not {other_a}, {a}.", "{other_word}, {word}.",
)  # fmt: skip
PLURAL = ("{words}.", "Two {words}.", "Many {words}.", "The {words}.", "Look at the {words}!", "Three little {words}.")
SHARES = {"plain": 0.55, "ending": 0.2, "inside": 0.08, "pair": 0.08, "plural": 0.09}
"""Shares of the ways to say a word. A word without a plural is said plainly instead."""

ALREADY_PLURAL = (
    "applause", "bubbles", "cherries", "chips", "drums", "fireworks", "footprints", "footsteps", "french fries",
    "glasses", "grapes", "hands", "headphones", "jeans", "lips", "maracas", "noodles", "pants", "scissors", "sweets",
    "spectacles", "tears", "trousers", "dice", "cattle",
)  # fmt: skip
IRREGULAR = (
    "mouse", "goose", "tooth", "wolf", "leaf", "maple leaf", "knife", "loaf", "scarf", "sheep", "deer", "fish",
    "jellyfish", "snowman", "police", "bow and arrow",
)  # fmt: skip
NEVER_MANY = (
    "happy", "sad", "angry", "fear", "crying", "laughing", "laughter", "sleeping", "snoring", "singing", "clapping",
    "fishing", "boxing", "archery", "tennis", "chess", "halloween", "earth", "saturn", "sunshine",
)  # fmt: skip
WITH_OES = ("tomato", "potato", "mosquito", "volcano", "tornado")
HISSING = ("s", "x", "z", "ch", "sh")
VOWELS = "aeiou"


def saying(word: str, name: str, dice: random.Random) -> str:
    """Return a sentence whose last named concept is `name`, said as `word`: its name or a synonym."""
    way = dice.choices(tuple(SHARES), tuple(SHARES.values()))[0]
    many = plural(word)
    if way == "plural" and many:
        return _capital(dice.choice(PLURAL).format(words=many))
    if way == "ending":
        return _capital(dice.choice(ENDING).format(**_forms(word)))
    if way == "inside":
        return _capital(dice.choice(INSIDE).format(**_forms(word)))
    if way == "pair":
        other = dice.choice([one.name for one in CONCEPTS if one.name != name])
        forms = {f"other_{form}": text for form, text in _forms(other).items()}
        return _capital(dice.choice(PAIRS).format(**forms, **_forms(word)))
    return plainly(word, dice)


def plainly(word: str, dice: random.Random) -> str:
    """Return "A dog.", "The dog.", "My dog." or "dog."."""
    frame = dice.choice(PLAIN)
    return f"{with_article(word)}." if frame == "A {}." else frame.format(word)


def _forms(word: str) -> dict[str, str]:
    article = with_article(word)
    return {"word": word, "a": article[0].lower() + article[1:], "the": f"the {word}"}


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def plural(word: str) -> str:
    """Return the plural with -s or -es, or "" for a word that has none, another one, or is one already."""
    if word in ALREADY_PLURAL + IRREGULAR + NEVER_MANY:
        return ""
    if word.endswith(HISSING) or word in WITH_OES:
        return f"{word}es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return f"{word[:-1]}ies"
    return f"{word}s"


def last_words(text: str, share: float) -> str:
    """Return the words at the end of `text` that the last `share` (0..1) of its sound holds, by their letters.

    A rough measure: letters take equal times. The last word always stays.
    """
    words = text.split()
    while len(words) > 1 and _letters(words) > share * _letters(text.split()):
        words.pop(0)
    return " ".join(words)


def _letters(words: Sequence[str]) -> int:
    return sum(map(len, words))
