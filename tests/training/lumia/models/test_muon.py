"""Steps of Muon are near orthogonal, and as long as its rate says."""

import pytest
import torch
from torch import nn

from clavilux.training.lumia.models.muon import Muon, hidden_weights, orthogonalised


@pytest.mark.parametrize("shape", [(48, 48), (40, 90), (90, 40), (32, 33, 3, 3)])
def test_singular_values_come_near_one(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(weight).flatten(1))
    assert orthogonalised(weight).shape == weight.shape
    assert values.min() > 0.3  # a random square matrix has values near 0, which five rounds do not lift to 1
    assert values.max() < 1.3


def test_the_directions_are_those_of_the_gradient():
    left, right = (torch.linalg.qr(torch.randn(40, 40)).Q for _ in range(2))
    weight = left @ torch.diag(torch.linspace(1, 3, 40)) @ right.T
    values = torch.diag(left.T @ orthogonalised(weight) @ right)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_the_rate_is_the_length_of_a_step():
    weight = nn.Parameter(torch.zeros(80, 40))
    optimizer = Muon([weight], lr=0.1)
    weight.grad = torch.randn(80, 40, generator=torch.Generator().manual_seed(2))
    optimizer.step()
    assert float(torch.linalg.matrix_norm(weight.detach(), 2)) == pytest.approx(0.1 * 2**0.5, rel=0.25)


def test_hidden_weights_have_channels_in_and_out():
    model = nn.Sequential(nn.Conv2d(12, 64, 3), nn.Conv2d(64, 32, 3), nn.GroupNorm(4, 32), nn.Conv2d(32, 12, 3))
    assert [tuple(one.shape) for one in hidden_weights(model)] == [(32, 64, 3, 3)]


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="closure"):
        Muon([nn.Parameter(torch.zeros(32, 32))], lr=0.1).step(lambda: 0.0)
