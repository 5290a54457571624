"""The table of target tokens, in place of a text encoder's output, and the losses that pull the encoder to it.

Every concept has one seeded Gaussian vector of unit variance, repeated at each of its positions, so that a window may
place its evidence anywhere; one further row means idle.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

TEMPERATURE = 0.15  # of the contrast, as in the reference
REGRESSION = 0.3  # weight of the squared distance to the target


def token_table(concepts: int, tokens: int, width: int, seed: int) -> Tensor:
    """Return targets [concepts + 1, tokens, width], float32, unit variance; the last row is idle."""
    dice = torch.Generator().manual_seed(seed)
    vectors = torch.randn(concepts + 1, width, generator=dice)
    vectors = vectors / vectors.pow(2).mean(dim=1, keepdim=True).sqrt()
    return vectors[:, None, :].expand(-1, tokens, -1).clone()


def begin_token(width: int, seed: int) -> Tensor:
    """Return the constant first token [width] of every prompt."""
    return torch.randn(width, generator=torch.Generator().manual_seed(seed + 1))


def contrast(tokens: Tensor, labels: Tensor, table: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the sequence-level contrast of tokens [B, L, D] against the whole table [K, L, D], a scalar.

    logits[i, j, l] = cos(tokens[i, l], table[j, l]) / temperature; cross-entropy over j with target labels[i], for
    every position l (the reference's loss, with all concepts instead of the batch as candidates).
    """
    cosines = torch.einsum("ild,jld->ijl", normalize(tokens, dim=-1), normalize(table, dim=-1))
    return cross_entropy(cosines / temperature, labels[:, None].expand(-1, tokens.shape[1]))


def alignment_loss(tokens: Tensor, labels: Tensor, table: Tensor) -> Tensor:
    """Return contrast plus regression, a scalar: directions are told apart and norms stay those that the UNet knows."""
    regression = (tokens - table[labels]).pow(2).mean()
    return contrast(tokens, labels, table) + REGRESSION * regression


def similarities(tokens: Tensor, table: Tensor) -> Tensor:
    """Return the mean cosine over positions [B, K] between tokens [B, L, D] and each row of the table [K, L, D]."""
    return torch.einsum("ild,jld->ij", normalize(tokens, dim=-1), normalize(table, dim=-1)) / tokens.shape[1]
