"""Two streams: an audio encoder that learns, and text tokens that stand still; the losses that bring them together.

The reference's loss comes first and is the default; what goes beyond it is a weight or a number that is 0 by default.
Text is frozen, so a text token remembered from an earlier batch is exactly what it would be now: a memory of negatives
that is never stale, unlike a memory of what was heard, which lags behind the encoder by the batches since.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import all_gather, get_world_size, is_available, is_initialized
from torch.nn.functional import cross_entropy, mse_loss, normalize

from clavilux.runtime.sound.format import MEL_BINS

TEMPERATURE = 0.15  # of the contrast, as in the reference
MIN_NORM = 1e-6  # a token's norm is taken for no less, so that its logarithm is finite


@dataclass(frozen=True)
class Objective:
    """Weights of what training pulls at; the defaults are the reference's."""

    temperature: float = TEMPERATURE
    negatives: int = 0  # captions remembered from earlier batches
    mask_duplicates: bool = False  # other clips with the same caption are no negatives
    symmetric: float = 0.0  # weight of the contrast in the other direction, text to audio
    regression: float = 0.0  # weight of the mean squared distance
    norms: float = 0.0  # weight of the squared difference of log norms
    gather: bool = False  # take the captions of all processes for negatives


def sequence_contrast(
    tokens: Tensor, candidates: Tensor, temperature: float = TEMPERATURE, same: Tensor | None = None
) -> Tensor:
    """Return the reference's contrast, a scalar >= 0, of tokens [B, L, D] against candidates [K, L, D], K >= B.

    logits[i, j, l] = cos(tokens[i, l], candidates[j, l]) / temperature; cross-entropy over j with target i, mean over i
    and every position l: InfoNCE (van den Oord et al. 2018, section 2.3) at each place of the sequence. `same`, bool
    [B, K], names candidates that mean the same as clip i; these are left out, but for the target itself.
    """
    cosines = torch.einsum("ild,jld->ijl", normalize(tokens, dim=-1), normalize(candidates, dim=-1))
    logits = cosines / temperature
    targets = torch.arange(len(tokens), device=tokens.device)
    if same is not None:
        others = same.clone()
        others[targets, targets] = False
        logits = logits.masked_fill(others[..., None], float("-inf"))
    return cross_entropy(logits, targets[:, None].expand(-1, tokens.shape[1]))


def attention_mask(input_features: Tensor) -> Tensor:
    """Return SeamlessM4TFeatureExtractor's mask, int64 [B, frames / 2], of features [B, frames / 2, 160].

    A pair of frames counts when its second one is heard. Padding is 0 in every bin, which no frame of a sound that
    changes at all is once it is normalised.
    """
    return input_features[..., MEL_BINS:].ne(0).any(dim=-1).long()


def norm_term(tokens: Tensor, text: Tensor) -> Tensor:
    """Return the mean squared difference of log norms of tokens and text [B, L, D], a scalar.

    A contrast of cosines leaves norms free, but a UNet was trained on those of its text encoder. Logarithms weigh
    twice too long as much as half too short.
    """
    lengths = [one.norm(dim=-1).clamp(min=MIN_NORM).log() for one in (tokens, text)]
    return mse_loss(*lengths)


class Memory(nn.Module):
    """The newest tokens of earlier batches, a ring; as buffers they are part of every checkpoint.

    A queue of negatives as in MoCo (He et al. 2020, section 3.2) without its second encoder, and a cross-batch memory
    (Wang et al. 2020, "Cross-Batch Memory for Embedding Learning", section 3.2), across accumulation steps too.
    """

    keys: Tensor  # [size] int64: which caption, see text_cache.caption_key
    text: Tensor  # [size, L, D]
    audio: Tensor  # [size or 0, L, D]: what was heard then
    written: Tensor  # [] int64: tokens ever written

    def __init__(self, size: int, shape: tuple[int, int], *, audio: bool) -> None:
        """Make room for `size` captions of tokens `shape` = (L, D), and for as many sounds where `audio` says so."""
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("text", torch.zeros(size, *shape))
        self.register_buffer("audio", torch.zeros(size if audio else 0, *shape))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    def held(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys, text and audio of what was written so far: views, which the next writing changes."""
        count = min(int(self.written), len(self.keys))
        return self.keys[:count], self.text[:count], self.audio[:count]

    @torch.no_grad()
    def remember(self, keys: Tensor, text: Tensor, audio: Tensor) -> None:
        """Write a batch, keys [B], text and audio [B, L, D], over the oldest; of a larger one the last alone."""
        size = len(self.keys)
        keys, text, audio = keys[-size:], text[-size:], audio[-size:]
        places = (int(self.written) + torch.arange(len(keys), device=keys.device)) % size
        self.keys[places], self.text[places] = keys, text.to(self.text.dtype)
        if len(self.audio):
            self.audio[places] = audio.detach().to(self.audio.dtype)
        self.written += len(keys)


class TwoStream(nn.Module):
    """The encoder with its losses: what `transformers.Trainer` trains.

    `forward` takes what the collator makes and returns {"loss": scalar, "tokens": float32 [B, L, D]}.
    """

    def __init__(self, encoder: Any, objective: Objective, shape: tuple[int, int], *, masked: bool = False) -> None:
        """Take a Wav2Vec2BertModel whose windows give tokens of `shape` = (L, D).

        `masked`: it does not attend to padding behind a sound.
        """
        super().__init__()
        self.encoder = encoder
        self.objective = objective
        self.shape = shape
        self.masked = masked
        needed = objective.negatives
        self.memory = Memory(needed, shape, audio=objective.symmetric > 0) if needed else None
        # The memory is the same in every process by itself; DDP would send it round before each batch.
        self._ddp_params_and_buffers_to_ignore = [
            name for name, _ in self.named_buffers() if name.startswith("memory.")
        ]

    def forward(self, input_features: Tensor, text: Tensor, captions: Tensor) -> dict[str, Tensor]:
        """Return loss and tokens of features [B, frames / 2, 160], text [B, L, D], keys [B].

        Only training looks into the memory and writes it; when evaluating, the loss is the batch's alone.
        """
        mask = {"attention_mask": attention_mask(input_features)} if self.masked else {}
        tokens: Tensor = self.encoder(input_features=input_features, **mask).last_hidden_state.float()
        with torch.autocast(tokens.device.type, enabled=False):  # half-precision cosines tell fewer negatives apart
            return {"loss": self._loss(tokens, text, captions) + self._mask_weight(), "tokens": tokens}

    def _mask_weight(self) -> Tensor | float:
        """Return 0 that depends on SpecAugment's mask: processes wait for its gradient, also where no frame drew it."""
        mask = getattr(self.encoder, "masked_spec_embed", None)
        return 0.0 * mask.sum() if self.training and mask is not None and mask.requires_grad else 0.0

    def _loss(self, tokens: Tensor, text: Tensor, keys: Tensor) -> Tensor:
        objective, loss = self.objective, self._contrast(tokens, text, keys)
        if objective.regression:
            loss = loss + objective.regression * mse_loss(tokens, text)
        if objective.norms:
            loss = loss + objective.norms * norm_term(tokens, text)
        return loss

    def _contrast(self, tokens: Tensor, text: Tensor, keys: Tensor) -> Tensor:
        objective = self.objective
        all_keys, all_text, all_audio = keys, text, tokens
        if self.training:
            all_keys, all_text, all_audio = self._with_others(keys, text, tokens)
        same = keys[:, None] == all_keys[None, :] if objective.mask_duplicates else None
        loss = sequence_contrast(tokens, all_text, objective.temperature, same)
        if objective.symmetric:
            same = same[:, : len(all_audio)] if same is not None else None
            loss = loss + objective.symmetric * sequence_contrast(text, all_audio, objective.temperature, same)
        return loss

    def _with_others(self, keys: Tensor, text: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys, text and audio of the batch, then of other processes, then of the memory, which is written."""
        objective, memory = self.objective, self.memory
        found, present = (keys, text, tokens), (keys, text, tokens.detach())
        if objective.gather or memory is not None:
            others, present = _of_all_processes(present)
            if objective.gather:
                found = _joined(found, others)
        if memory is not None:
            found = _joined(found, memory.held())
            memory.remember(*present)
        return found


def _joined(first: tuple[Tensor, Tensor, Tensor], then: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    keys, text, audio = (torch.cat(pair) for pair in zip(first, then, strict=True))
    return keys, text, audio


def _of_all_processes(
    own: tuple[Tensor, Tensor, Tensor],
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Return what the other processes have, and what all have together, in the same order everywhere.

    Assumes that all have batches of one size, as accelerate deals them out. Nothing here carries a gradient.
    """
    if not (is_available() and is_initialized()) or get_world_size() == 1:
        keys, text, audio = (one[:0] for one in own)
        return (keys, text, audio), own
    parts = [_gathered(one.contiguous()) for one in own]
    mine = torch.distributed.get_rank()
    keys, text, audio = (torch.cat(part) for part in parts)
    rest = [torch.cat([one for rank, one in enumerate(part) if rank != mine]) for part in parts]
    return (rest[0], rest[1], rest[2]), (keys, text, audio)


def _gathered(own: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(own) for _ in range(get_world_size())]
    all_gather(parts, own)
    return parts
