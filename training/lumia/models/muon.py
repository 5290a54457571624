"""torch's Muon for the hidden layers of a network, convolutions among them, as matrices of their output channels.

K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024: momentum is made orthogonal
before it is added, so that all directions of a weight matrix move equally far, also those of small gradients, which
here are the shapes of single things. What has few channels, and vectors, are for another optimizer.
"""

from torch import nn
from torch.optim import Muon

MIN_CHANNELS = 32  # in and out, from which on a weight counts as a hidden layer's


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of at least two dimensions with MIN_CHANNELS in and out."""
    return [one for one in model.parameters() if one.dim() > 1 and min(one.shape[:2]) >= MIN_CHANNELS]


def muon(weights: list[nn.Parameter], rate: float) -> Muon:
    """Return torch's Muon, which takes matrices alone, over flat views of weights [out, in, ...], without decay.

    `rate` is about the spectral norm of a change. Raises RuntimeError for weights that are not stored in that order.
    """
    flat = [nn.Parameter(weight.detach().view(len(weight), -1)) for weight in weights]  # share the weights' memory

    def give_gradients(*_: object) -> None:
        for matrix, weight in zip(flat, weights, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.reshape(matrix.shape)

    optimizer = Muon(flat, lr=rate, weight_decay=0.0)
    optimizer.register_step_pre_hook(give_gradients)
    return optimizer
