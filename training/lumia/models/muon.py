"""Muon: momentum whose matrices are made orthogonal before they are added, for the hidden layers of a network.

K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024: all directions of a weight
matrix move equally far, also those of small gradients, which here are the shapes of single things. Convolutions count
as matrices of their output channels. What has few channels, and vectors, are for another optimizer.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

MIN_CHANNELS = 32  # in and out, from which on a weight counts as a hidden layer's
MOMENTUM = 0.95
ITERATIONS = 5  # of Newton-Schulz
QUINTIC = (3.4445, -4.7750, 2.0315)  # its coefficients, from there


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of at least two dimensions with MIN_CHANNELS in and out."""
    return [one for one in model.parameters() if one.dim() > 1 and min(one.shape[:2]) >= MIN_CHANNELS]


class Muon(torch.optim.Optimizer):
    """Optimizer for weights of two or more dimensions; `lr` is about the spectral norm of a change."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients; takes no closure."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._change(weight, weight.grad, group["lr"])

    def _change(self, weight: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[weight]
        momentum = state.setdefault("momentum", torch.zeros_like(weight)).lerp_(gradient, 1 - MOMENTUM)
        tall = max(1.0, weight.shape[0] / weight[0].numel()) ** 0.5
        weight.add_(orthogonalised(gradient.lerp(momentum, MOMENTUM)), alpha=-rate * tall)


def orthogonalised(weight: Tensor) -> Tensor:
    """Return a weight of the same shape whose matrix has singular values near 1, computed in bfloat16."""
    matrix = weight.flatten(1).bfloat16()
    upright = matrix.shape[0] > matrix.shape[1]
    matrix = matrix.T if upright else matrix
    matrix = matrix / (matrix.norm() + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(ITERATIONS):
        square = matrix @ matrix.T
        matrix = first * matrix + (third * square + fifth * square @ square) @ matrix
    found: Tensor = matrix.T if upright else matrix
    return found.to(weight.dtype).reshape(weight.shape)
