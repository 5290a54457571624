"""PyTorch's figures need a card; without one a line says so. What it does on one is not tried here."""

import pytest
import torch

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.on_card.torch_peer import peer


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_there_are_no_figures() -> None:
    with pytest.raises(BenchError, match=rf"torch {torch.__version__.replace('+', '.')} sees no card"):
        next(peer())
