"""The frozen text encoder, and its tokens on disk: each caption is encoded once, ever.

    <folder>/<key>/tokens.f32       one row of [N, D] float32 per caption, appended
    <folder>/<key>/captions.jsonl   the captions in the same order
    <folder>/<key>/about.json       whose tokens these are; the key is its hash

A caption counts when both files hold it whole: what a kill cut off is cut away before more is written. Writers take
turns by a lock, and first read what others wrote; readers may be many. As in the reference, captions are padded to
N + 1 tokens, the hidden states of the last layer are taken, and the first, BOS, is dropped. No attention mask is
passed, as diffusers' pipelines pass none, unless it is asked for: the reference's training passes one.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from clavilux.export.checkpoints.load import load_text_encoder, load_tokenizer
from clavilux.export.checkpoints.locate import Where, find, join, read_config, revision
from clavilux.export.checkpoints.weights import find_weights
from clavilux.export.models.text_encoder import CLIP_POSITIONS, MODEL_TYPES
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import Record

ROUND = 64  # captions encoded at once
KEY_BYTES = 8  # of a caption's hash, which stands for it in tensors
FLOAT_BYTES = 4
ABOUT = "about.json"


class Encoder(Protocol):
    """Text encoder: captions become tokens."""

    tokens: int  # N, without BOS
    width: int  # D

    def about(self) -> dict[str, Any]:
        """Return what the tokens depend on."""
        ...

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Return tokens, float32 [len(captions), N, D]."""
        ...


@dataclass(frozen=True)
class TextPlaces:
    """Places of a text encoder and its tokenizer, each a folder or a hub name."""

    encoder: Where
    tokenizer: Where

    @classmethod
    def from_checkpoint(cls, where: str, tokenizer: str | None = None) -> "TextPlaces":
        """Find both in a Stable Diffusion checkpoint, or beside or inside a CLIPTextModel's folder.

        Raises ClaviluxError when `where` is neither.
        """
        if find(where, "text encoder", "config.json") is None:
            return cls(join(where, "text_encoder"), tokenizer or join(where, "tokenizer"))
        if tokenizer is None and not _has_vocabulary(where):
            beside = (
                str(Path(where).parent / "tokenizer")
                if Path(where).is_dir()
                else where.rpartition("/")[0] + "/tokenizer"
            )
            if not Path(where).is_dir() or not Path(beside).is_dir():
                raise ClaviluxError(
                    f"text encoder {where} has no tokenizer in it or beside it; name one with --tokenizer"
                )
            tokenizer = beside
        return cls(where, tokenizer or where)


def _has_vocabulary(where: str) -> bool:
    return any(find(where, "tokenizer", file) is not None for file in ("tokenizer.json", "vocab.json"))


class ClipText:
    """A frozen CLIPTextModel; loaded when the first caption that is not cached needs it."""

    def __init__(
        self, places: TextPlaces, tokens: int, *, device: torch.device | None = None, masked: bool = False
    ) -> None:
        """Read the configuration alone. Raises ClaviluxError when the encoder is no CLIP or takes fewer tokens."""
        self.tokens = tokens
        self.masked = masked
        self.places = places
        self._device = device or torch.device("cpu")
        config = read_config(places.encoder, "text encoder")
        if config.get("model_type") not in MODEL_TYPES:
            raise ClaviluxError(
                f"text encoder {places.encoder} is a {config.get('model_type')!r} model; "
                f"expected {' or '.join(MODEL_TYPES)}"
            )
        self._settings = config.get("text_config", config)
        most = self._settings.get("max_position_embeddings", CLIP_POSITIONS)
        if tokens + 1 > most:
            raise ClaviluxError(
                f"{tokens} tokens and BOS are {tokens + 1}, but text encoder {places.encoder} takes {most}; "
                f"use --tokens {most - 1} or fewer"
            )
        self.width: int = self._settings["hidden_size"]
        self._loaded: tuple[Any, Any] | None = None

    def about(self) -> dict[str, Any]:
        """Return configuration, weights (sizes and times of files, or the hub's revision) and number of tokens."""
        weights = find_weights(self.places.encoder, "text encoder")
        states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in weights.paths]
        settings = {name: self._settings[name] for name in sorted(self._settings)}
        return {
            "settings": settings,
            "weights": revision(self.places.encoder) or states,
            "tokenizer": str(self.places.tokenizer),
            "tokens": self.tokens,
            **({"masked": True} if self.masked else {}),
        }

    @torch.inference_mode()
    def encode(self, captions: Sequence[str]) -> Tensor:
        """Return the last hidden states without BOS, float32 [len(captions), N, D].

        Raises ClaviluxError when the tokenizer is not the text encoder's.
        """
        tokenizer, model = self._load()
        with tokenizing(self.places.tokenizer):
            encoded = tokenizer.encode_batch(list(captions))
        ids = torch.tensor([one.ids for one in encoded], device=self._device)
        if int(ids.max()) >= (most := model.config.vocab_size):
            raise ClaviluxError(
                f"tokenizer {self.places.tokenizer} has more words than the {most} of text encoder "
                f"{self.places.encoder}; give its own with --tokenizer"
            )
        mask = torch.tensor([one.attention_mask for one in encoded], device=self._device) if self.masked else None
        hidden: Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state[:, 1:]
        return hidden.float().cpu()

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            prepared = load_tokenizer(self.places.tokenizer)
            tokenizer = prepared.tokenizer
            with tokenizing(self.places.tokenizer):
                tokenizer.enable_truncation(self.tokens + 1)
                padding = tokenizer.token_to_id(prepared.padding)
                tokenizer.enable_padding(length=self.tokens + 1, pad_id=padding, pad_token=prepared.padding)
            self._loaded = tokenizer, load_text_encoder(self.places.encoder).to(self._device)
        return self._loaded


@contextmanager
def tokenizing(where: Where) -> Iterator[None]:
    """Turn what a tokenizer raises that is not CLIP's into one line."""
    try:
        yield
    except Exception as error:  # tokenizers, written in Rust, raises no other kind
        line = f"tokenizer {where} cannot take captions ({error})"
        raise ClaviluxError(f"{line}; expected the text encoder's own: name it with --tokenizer") from error


def caption_key(caption: str) -> int:
    """Return a caption's hash, 0 to 2^63 - 1: equal captions, and in practice only these, have equal keys."""
    digest = hashlib.sha256(caption.encode()).digest()
    return int.from_bytes(digest[:KEY_BYTES]) >> 1


class TextCache:
    """Tokens of captions, read from disk and, where they are missing, encoded and appended."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        """Open or begin the cache of `encoder` below `folder`. Raises ClaviluxError when it cannot be written."""
        about = encoder.about()
        told = json.dumps(about, sort_keys=True, default=str)
        self.folder = folder / hashlib.sha256(told.encode()).hexdigest()[:16]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            line = f"text tokens cannot be written below {folder} ({error.strerror})"
            raise ClaviluxError(f"{line}; expected a folder: choose another --cache or OUT") from error
        if not Record.trusted(self.folder / ABOUT, about):
            Record(about).write(self.folder / ABOUT)
        self.encoder = encoder
        self._shape = (encoder.tokens, encoder.width)
        self._tokens_file, self._captions_file = self.folder / "tokens.f32", self.folder / "captions.jsonl"
        self._rows: dict[str, int] = {}
        self._by_key: dict[int, int] = {}
        self._table: NDArray[np.float32] = np.zeros((0, *self._shape), np.float32)
        self._count = self._caption_bytes = 0  # of what both files hold whole
        self._open()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, captions: Iterable[str]) -> int:
        """Encode those captions that are missing; return how many they were."""
        missing = self._missing(captions)
        if not missing:
            return 0
        with FileLock(self.folder / "lock"):
            if self._sizes() != (self._count * self._row_bytes(), self._caption_bytes):  # others wrote, or a kill cut
                self._open()
                self._cut()
                missing = self._missing(missing)
            for start in range(0, len(missing), ROUND):
                self._append(missing[start : start + ROUND])
            self._map()
        return len(missing)

    def _missing(self, captions: Iterable[str]) -> list[str]:
        return [caption for caption in dict.fromkeys(captions) if caption not in self._rows]

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Return tokens, float32 [len(captions), N, D]; captions that were never met are encoded now."""
        self.add(captions)
        return torch.from_numpy(self._table[[self._rows[caption] for caption in captions]])

    def by_key(self, keys: Sequence[int]) -> Tensor:
        """Return tokens, float32 [len(keys), N, D], of captions that the cache holds. Raises KeyError for others."""
        return torch.from_numpy(self._table[[self._by_key[key] for key in keys]])

    def _open(self) -> None:
        self._rows, self._by_key, self._count, self._caption_bytes = {}, {}, 0, 0
        self._admit(self._whole_captions())
        self._map()

    def _admit(self, captions: Iterable[str]) -> None:
        for caption in captions:
            self._rows[caption] = self._by_key[caption_key(caption)] = self._count
            self._count += 1
            self._caption_bytes += len(_line(caption))

    def _map(self) -> None:
        if self._count:
            self._table = np.memmap(self._tokens_file, np.float32, "r", shape=(self._count, *self._shape))

    def _sizes(self) -> tuple[int, ...]:
        """Return how long both files are now."""
        files = (self._tokens_file, self._captions_file)
        return tuple(file.stat().st_size if file.exists() else 0 for file in files)

    def _whole_captions(self) -> list[str]:
        """Return the captions that both files hold whole."""
        if not self._captions_file.exists() or not self._tokens_file.exists():
            return []
        lines = self._captions_file.read_bytes().split(b"\n")[:-1]
        rows = self._tokens_file.stat().st_size // self._row_bytes()
        return [json.loads(line) for line in lines[:rows]]

    def _cut(self) -> None:
        """Cut away what an earlier writer did not finish."""
        whole = {self._tokens_file: self._count * self._row_bytes(), self._captions_file: self._caption_bytes}
        for path, size in whole.items():
            with path.open("ab") as file:
                file.truncate(size)

    def _append(self, captions: Sequence[str]) -> None:
        tokens = self.encoder.encode(captions).contiguous()
        with self._tokens_file.open("ab") as file:
            file.write(tokens.numpy().astype(np.float32, copy=False).tobytes())
        with self._captions_file.open("ab") as file:
            file.write(b"".join(_line(caption) for caption in captions))
        self._admit(captions)

    def _row_bytes(self) -> int:
        return self._shape[0] * self._shape[1] * FLOAT_BYTES


def _line(caption: str) -> bytes:
    return json.dumps(caption).encode() + b"\n"
