"""Random weights in a real shape become a bundle, once."""

from pathlib import Path

import pytest

from clavilux.benchmarks.peers import weights
from clavilux.benchmarks.peers.wanted import Wanted
from clavilux.runtime.bundle.bundle import Bundle


@pytest.mark.torch  # imported by the architectures, when one is exported
def test_random_weights_become_a_bundle_of_that_batch_once_and_are_found_again(tmp_path: Path) -> None:
    lines: list[str] = []
    first = weights.make("tiny", Wanted(batch=3), tmp_path, lines.append)
    told = len(lines)
    opened = Bundle.open(first.bundle)
    assert (opened.batch, opened.picture.height, first.bundle.name) == (3, 64, "64x64-batch3")
    assert weights.make("tiny", Wanted(batch=3), tmp_path, lines.append) == first
    assert len(lines) == told > 0
