"""torch's Muon for the hidden layers of a network, convolutions among them, as matrices of their output channels.

K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024: momentum is made orthogonal
before it is added, so that all directions of a weight matrix move equally far, also those of small gradients, which
here are the shapes of single things. What has few channels, and vectors, are for another optimizer.
"""

from torch import Tensor, nn
from torch.optim import Muon

MIN_CHANNELS = 32  # in and out, from which on a weight counts as a hidden layer's


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of at least two dimensions with MIN_CHANNELS in and out."""
    return [one for one in model.parameters() if one.dim() > 1 and min(one.shape[:2]) >= MIN_CHANNELS]


def muon(weights: list[nn.Parameter], rate: float) -> Muon:
    """Return torch's Muon, which takes matrices alone, over flat views of weights [out, in, ...], without decay.

    `rate` is about the spectral norm of a change. The columns of a matrix stand as the weight lies in memory, channels
    first or last: Muon does not mind their order. Raises RuntimeError for weights whose memory has gaps.
    """
    flat = [nn.Parameter(_as_stored(one.detach(), one).view(len(one), -1)) for one in weights]  # share their memory

    def give_gradients(*_: object) -> None:
        for matrix, weight in zip(flat, weights, strict=True):
            matrix.grad = None if weight.grad is None else _as_stored(weight.grad, weight).reshape(matrix.shape)

    optimizer = Muon(flat, lr=rate, weight_decay=0.0)
    optimizer.register_step_pre_hook(give_gradients)
    return optimizer


def _as_stored(values: Tensor, weight: Tensor) -> Tensor:
    """Return values of a weight's shape with their dimensions behind the first in the order of the weight's memory."""
    return values.permute(0, *sorted(range(1, weight.dim()), key=weight.stride, reverse=True))
