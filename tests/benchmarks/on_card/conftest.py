"""Shared by tests of what runs on a card: the fake one, with the one stream that all measurements share."""

import pytest

from clavilux.benchmarks.on_card import card as card_itself
from clavilux.benchmarks.on_card import cuda_graphs, provider_options
from clavilux.runtime.providers.nvidia import cuda
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime


@pytest.fixture
def measured(card: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """The fake card as the measurements see it."""
    for module in (card_itself, cuda_graphs, provider_options):
        monkeypatch.setattr(module, "shared_stream", cuda.shared_stream)
    return card
