"""The text side of the default bundle: a small CLIPTextModel with its tokenizer, and the table of target tokens.

Every concept has a seeded direction; directions are pushed apart, so that none resembles another. Each number of the
light has one too, at right angles to all of those, so that a thing and its light are a sum, and a light alone is as far
from every name as idle is. The text encoder learns to give at every position the direction of what a caption names, the
middle of two where it names two, the idle direction where it names none, and what its words for light add. Its output
on the names, BOS dropped, is what the audio encoder is then aligned with. Assumes the vocabulary of
`clavilux.training.lumia.data.concepts` and `clavilux.training.lumia.data.light_words`.
"""

import json
import random
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, normalize
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES, OTHER_PHRASES, with_article
from clavilux.training.lumia.data.light_words import LIGHT_WORDS, LightWord, numbers_of_words
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 2000  # entries at most, BOS and EOS included
WORD_END = "</w>"
TEMPLATES = (
    "{}", "{}", "{}", "a {}", "the {}", "my {}", "a picture of {}", "the sound of {}", "i hear {}", "show me {}",
    "this is {}", "look at the {}", "{} at night", "a big {}", "a small {} here",
)  # fmt: skip
PAIRS = ("{} and {}", "a {} and a {}", "{} with {}", "{} {}", "the {} on the {}", "{} in the {}")
NAMES_WEIGHT = 8  # how much more a name counts for the vocabulary than a word of a template
LAYERS, HEADS = 2, 4
ARTICLES, LOWER = 0.2, 0.8  # shares of words with an article of their own, and of captions in lower case
CHATTER = 0.3  # share of captions with words round them that mean nothing
PAIRED, UNKNOWN = 0.25, 0.2  # shares of captions with two concepts, and with none
LIT = 0.4  # share of captions with words for light
BEFORE = 0.4  # share of these where the words for light come first
LIGHTS = ("{} light", "in {} light", "{}", "{} colours", "the light is {}")
MOST_LIGHTS = 3  # words for light in one caption
LIGHT_LENGTH = 2.5  # of what a number of the light adds at 1; names have the root of the width
PLAIN_PHRASES = tuple(  # that mean none of the concepts, and no light either
    phrase
    for phrase in OTHER_PHRASES
    if not {word for one in LIGHT_WORDS for word in one.words} & set(re.findall("[a-z]+", phrase.lower()))
)
SPREADING = 400  # steps in which directions are pushed apart
SHARPNESS = 12.0  # how much the nearest neighbours count in that


def directions(count: int, width: int, seed: int) -> Tensor:
    """Return seeded vectors [count, width], float32, of mean 0 and variance 1, with small cosines to each other.

    They descend the log of the summed exponentials of their squared cosines, a smooth maximum.
    """
    dice = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, width, generator=dice).requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(SPREADING):
        flat = normalize(vectors - vectors.mean(dim=1, keepdim=True), dim=1)
        cosines = (flat @ flat.T).abs().tril(-1)
        optimizer.zero_grad()
        torch.autograd.backward((SHARPNESS * cosines).exp().sum().log())
        optimizer.step()
    flat = normalize((vectors - vectors.mean(dim=1, keepdim=True)).detach(), dim=1)
    result: Tensor = flat * width**0.5
    return result


@dataclass(frozen=True)
class Space:
    """Directions of everything that a token says."""

    names: Tensor  # [K + 1, D], of mean 0 and variance 1; idle last
    light: Tensor  # [9, D], at right angles to each other and to all names


def space(count: int, width: int, seed: int) -> Space:
    """Return the seeded directions of `count` names, idle included, and of the light's numbers; width > 10."""
    dice = torch.Generator().manual_seed(seed)
    free = torch.randn(width, width, generator=dice)
    free[:, 0] = 1.0  # so that all other axes have mean 0
    axes = torch.linalg.qr(free).Q.T[1:]
    light, rest = axes[: len(LIGHT_NUMBERS)], axes[len(LIGHT_NUMBERS) :]
    names = normalize(directions(count, len(rest), seed), dim=1) @ rest
    return Space(names * width**0.5, LIGHT_LENGTH * light)


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write CLIP's tokenizer with a vocabulary of its own, learnt from the captions, into `folder`, and return it.

    As in CLIP's: bytes, bytes that end a word, then a merge each, BOS and EOS the last two.
    """
    words = [word for concept in CONCEPTS for name in concept.words for word in name.split()] * NAMES_WEIGHT
    words += [word for one in LIGHT_WORDS for word in one.words] * NAMES_WEIGHT
    words += [word for text in (*TEMPLATES, *PAIRS, *LIGHTS) for word in text.replace("{}", "").split()]
    letters = sorted(bytes_to_unicode().values())
    base = [*letters, *(letter + WORD_END for letter in letters)]
    merges = learn_merges(words, VOCABULARY - len(base) - 2)
    entries = [*base, *("".join(pair) for pair in merges), BOS, EOS]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, pad_token=EOS)
    tokenizer.save_pretrained(folder)  # with its settings, which others read it by
    return tokenizer


def bytes_to_unicode() -> dict[int, str]:
    """Return the printable letter that stands for each byte in CLIP's and GPT-2's vocabularies."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + i) for i, byte in enumerate(rest)}


def learn_merges(words: Sequence[str], count: int) -> list[tuple[str, str]]:
    """Return up to `count` merges, commonest pair first, of equals the first in the alphabet.

    Byte-pair encoding, Sennrich et al. 2016, section 3.2; the library's trainer breaks ties differently in every run.
    """
    spelt = {(*word[:-1], word[-1] + WORD_END): times for word, times in Counter(words).items()}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for parts, times in spelt.items():
            for pair in pairwise(parts):
                pairs[pair] += times
        if not pairs:
            break
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        spelt = {_merged(parts, merges[-1]): times for parts, times in spelt.items()}
    return merges


def _merged(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    for part in parts:
        if found and (found[-1], part) == pair:
            found[-1] += part
        else:
            found.append(part)
    return tuple(found)


def build(tokenizer: CLIPTokenizer, width: int, length: int) -> CLIPTextModel:
    """Return the untrained text encoder for prompts of `length` tokens, BOS included."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=width,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation="eager",
        )
    )


def ids_of(tokenizer: CLIPTokenizer, captions: Sequence[str], length: int) -> Tensor:
    """Return ids [B, length] int64: BOS, the caption, EOS to the end."""
    found = tokenizer(list(captions), padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    ids: Tensor = found.input_ids
    return ids


def fit(
    model: CLIPTextModel, tokenizer: CLIPTokenizer, known: Space, recipe: Recipe, checkpoint: Path, batch: int = 64
) -> None:
    """Train in place towards the directions of names, the last one for captions that name no concept, and of light."""
    length = model.config.max_position_embeddings

    def loss(step: int) -> Tensor:
        captions, weights, lights = drawn(random.Random(f"captions {recipe.seed} {step}"), batch)
        target = normalize(weights @ known.names, dim=1) * known.names.shape[1] ** 0.5 + lights @ known.light
        device = device_of(model)
        tokens = model(input_ids=ids_of(tokenizer, captions, length).to(device)).last_hidden_state[:, 1:]
        return mse_loss(tokens, target.to(device)[:, None].expand_as(tokens))

    train(model, loss, recipe, checkpoint)


def drawn(dice: random.Random, count: int) -> tuple[list[str], Tensor, Tensor]:
    """Return captions and what they say: weights of names [count, K + 1], each row of sum 1, and lights [count, 9]."""
    captions, lights, weights = [], [], torch.zeros(count, len(NAMES) + 1)
    for row in weights:
        found, lit = _chosen(dice), _lights(dice)
        captions.append(_caption([dice.choice(CONCEPTS[i].words) for i in found], lit, dice))
        lights.append(numbers_of_words(lit))
        for i in found or [len(NAMES)]:
            row[i] += 1 / max(1, len(found))
    return captions, weights, torch.stack(lights)


def _lights(dice: random.Random) -> tuple[LightWord, ...]:
    """Return words for light that do not contradict each other, mostly none."""
    chosen: list[LightWord] = []
    for word in dice.sample(LIGHT_WORDS, dice.randint(1, MOST_LIGHTS) if dice.random() < LIT else 0):
        if not any(word.about & other.about for other in chosen):
            chosen.append(word)
    return tuple(chosen)


def _chosen(dice: random.Random) -> list[int]:
    kind = dice.random()
    count = 0 if kind < UNKNOWN else 2 if kind < UNKNOWN + PAIRED else 1
    return dice.sample(range(len(NAMES)), count)


def _caption(words: list[str], lights: tuple[LightWord, ...], dice: random.Random) -> str:
    how = " ".join(dice.choice(light.words) for light in lights)
    if not words:
        return dice.choice(LIGHTS).format(how) if lights else _nothing(dice)
    template = dice.choice(TEMPLATES if len(words) == 1 else PAIRS)
    caption = template.format(*(with_article(word) if dice.random() < ARTICLES else word for word in words))
    if lights:
        caption = f"{how} {caption}" if dice.random() < BEFORE else f"{caption} {dice.choice(LIGHTS).format(how)}"
    if dice.random() < CHATTER:
        around = [caption, _nothing(dice)]
        dice.shuffle(around)
        caption = " ".join(around).strip()
    return caption.lower() if dice.random() < LOWER else caption


def _nothing(dice: random.Random) -> str:
    kind = dice.randrange(3)
    if kind == 0:
        return ""
    if kind == 1:
        return dice.choice(PLAIN_PHRASES)
    return " ".join(
        "".join(dice.choices(string.ascii_lowercase, k=dice.randint(2, 8))) for _ in range(dice.randint(1, 3))
    )


@torch.no_grad()
def token_table(model: CLIPTextModel, tokenizer: CLIPTokenizer) -> tuple[Tensor, Tensor]:
    """Return the first token [D] of every prompt, and the tokens [K + 1, N, D] of every name and, last, of nothing."""
    ids = ids_of(tokenizer, [*NAMES, ""], model.config.max_position_embeddings)
    tokens = model.eval()(input_ids=ids).last_hidden_state
    return tokens[0, 0].clone(), tokens[:, 1:].clone()
