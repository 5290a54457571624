"""The cached embeddings of a bundle: given ones are taken, missing ones are computed with the exported encoder."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from clavilux.export.models.usual_sounds import room, usual_sounds
from clavilux.runtime.bundle.bundle import Conditioning
from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.samples import Samples

Embedding = NDArray[np.float32]
EmbedSound = Callable[[Samples], Embedding]
"""16 kHz samples of one window -> tokens, float32 [L - 1, D]."""

SEED = 0
SOUNDS_FOR_STATISTICS = 16
NAMES = ("bos", "negative", "idle", "token_mean", "token_std", "concepts", "light")


def read_given(path: str | Path | None) -> dict[str, Embedding]:
    """Return the arrays in the safetensors file at `path`, as float32.

    Raises ExportError when it cannot be read or holds a name that no bundle knows.
    """
    if path is None:
        return {}
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ExportError(f"conditioning {path} is not a safetensors file: {error}") from error
    unknown = sorted(set(arrays) - set(NAMES))
    if unknown:
        raise ExportError(f"conditioning {path} holds {unknown[0]!r}; expected only {', '.join(NAMES)}")
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def check_concepts(given: Mapping[str, Embedding], names: Sequence[str]) -> None:
    """Raise ExportError unless `given` holds one concept embedding per name."""
    found = len(given["concepts"]) if "concepts" in given else 0
    if found != len(names):
        raise ExportError(f"{len(names)} concepts are named, the conditioning holds {found}; expected equal numbers")


def check_shapes(given: Mapping[str, Embedding], count: int, width: int) -> None:
    """Raise ExportError unless each of `given` fits prompts of `count` tokens, BOS included, that are `width` wide."""
    shapes = {
        "bos": (width,),
        "concepts": (len(given.get("concepts", ())), count - 1, width),
        "light": (len(LIGHT_NUMBERS), width),
    }
    for name, array in given.items():
        shape = shapes.get(name, (count, width))
        if array.shape != shape:
            raise ExportError(f"conditioning: {name!r} has shape {list(array.shape)}; expected {list(shape)}")


def make_conditioning(
    given: Mapping[str, Embedding], bos: Embedding | None, hiss: Embedding, encode: EmbedSound, window_samples: int
) -> Conditioning:
    """Return complete conditioning: `given` entries as they are, the others computed.

    The negative embedding is the reference's: BOS and `hiss`, what the encoder makes of white noise, one seeded draw.
    Idle is the same for the hush of a room; statistics run over a fixed set of synthetic sounds. Raises ExportError
    without a BOS embedding, which only a text encoder or the given file can tell.
    """
    bos = given.get("bos", bos)
    if bos is None:
        raise ExportError("there is no BOS embedding; give a text encoder, or a conditioning file that holds 'bos'")

    def prompt(samples: Samples) -> Embedding:
        return np.concatenate([bos[None], encode(samples)]).astype(np.float32)

    computed: dict[str, Callable[[], Embedding]] = {
        "negative": lambda: np.concatenate([bos[None], hiss]).astype(np.float32),
        "idle": lambda: prompt(room(window_samples, SEED)),
    }
    arrays = {name: given[name] if name in given else compute() for name, compute in computed.items()}
    mean, std = _statistics(given, prompt, window_samples)
    light, concepts = given.get("light"), given.get("concepts")
    return Conditioning(bos=bos, token_mean=mean, token_std=std, concepts=concepts, light=light, **arrays)


def _statistics(
    given: Mapping[str, Embedding], prompt: Callable[[Samples], Embedding], window_samples: int
) -> tuple[Embedding, Embedding]:
    """Return mean and standard deviation of each token over usual sounds; both given, or both computed."""
    if "token_mean" in given and "token_std" in given:
        return given["token_mean"], given["token_std"]
    prompts = np.stack([prompt(sound) for sound in usual_sounds(window_samples, SOUNDS_FOR_STATISTICS)])
    return prompts.mean(axis=0), prompts.std(axis=0)
