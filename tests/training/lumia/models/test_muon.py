"""Muon changes the very weights of hidden layers, by near orthogonal steps as long as its rate says."""

import pytest
import torch
from torch import nn

from clavilux.training.lumia.models.muon import hidden_weights, muon


def stepped(shape: tuple[int, ...], rate: float = 0.1) -> torch.Tensor:
    """Return what one step adds to a weight of zeros, for a random gradient."""
    weight = nn.Parameter(torch.zeros(shape))
    optimizer = muon([weight], rate)
    weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    optimizer.step()
    return weight.detach().flatten(1)


@pytest.mark.parametrize("shape", [(40, 90), (32, 33, 3, 3), (90, 40)])
def test_a_step_is_near_orthogonal_and_as_long_as_the_rate(shape):
    tall = max(1.0, shape[0] / stepped(shape).shape[1]) ** 0.5
    values = torch.linalg.svdvals(stepped(shape)) / (0.1 * tall)
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_a_step_goes_against_the_gradient():
    gradient = torch.randn(40, 90, generator=torch.Generator().manual_seed(2))
    assert float((stepped((40, 90)) * gradient).sum()) < 0


def test_a_weight_without_gradient_stays():
    still, moved = (nn.Parameter(torch.ones(32, 32)) for _ in range(2))
    optimizer = muon([still, moved], 0.1)
    moved.grad = torch.eye(32)
    optimizer.step()
    assert torch.equal(still, torch.ones(32, 32))
    assert not torch.equal(moved, torch.ones(32, 32))


def test_hidden_weights_have_channels_in_and_out():
    model = nn.Sequential(nn.Conv2d(12, 64, 3), nn.Conv2d(64, 32, 3), nn.GroupNorm(4, 32), nn.Conv2d(32, 12, 3))
    assert [tuple(one.shape) for one in hidden_weights(model)] == [(32, 64, 3, 3)]


def test_the_order_in_memory_does_not_change_a_step():
    first, last = (
        nn.Conv2d(32, 48, 3).to(memory_format=kind) for kind in (torch.contiguous_format, torch.channels_last)
    )
    last.load_state_dict(first.state_dict())
    gradient = torch.randn(first.weight.shape, generator=torch.Generator().manual_seed(2))
    for convolution in (first, last):
        optimizer = muon(hidden_weights(convolution), 0.1)
        convolution.weight.grad = gradient.to(memory_format=torch.channels_last)
        optimizer.step()
    assert last.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(first.weight, last.weight, atol=2e-3)  # its matrices are rounded to bfloat16


def test_weights_with_gaps_are_refused_rather_than_copied():
    with pytest.raises(RuntimeError, match="view"):
        muon([nn.Parameter(torch.zeros(32, 64, 6)[..., :3])], 0.1)
