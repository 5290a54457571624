"""The reader of light learns to read painted light, and correlations are those of the textbooks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.training.lumia.models import autoencoder, light_reader
from clavilux.training.lumia.models.light_reader import HUE, angular_correlation, rank_correlation
from clavilux.training.lumia.models.train_loop import Recipe

ROWS = st.lists(st.integers(-50, 50), min_size=3, max_size=30)


def greys(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Light as grey as its last number says."""
    numbers = torch.linspace(-1, 1, count)[:, None].repeat(1, len(LIGHT_NUMBERS))
    return numbers[:, -1, None, None, None].expand(-1, 3, 128, 128).half(), numbers


@given(ROWS)
def test_a_row_is_in_its_own_order(row):
    values = torch.tensor(row, dtype=torch.float32)
    expected = 1.0 if len(set(row)) > 1 else 0.0
    assert rank_correlation(values, values) == pytest.approx(expected)
    assert rank_correlation(values, -values) == pytest.approx(-expected)


def test_ranks_count_and_not_distances():
    row = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(row, row.exp()) == pytest.approx(1.0)


def test_equal_values_share_their_rank():
    """By hand: ranks 1, 2.5, 2.5, 4 beside 1, 2, 3, 4 give 4.5 over the root of 4.5 times 5."""
    found = rank_correlation(torch.tensor([1.0, 5.0, 5.0, 9.0]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert found == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


@given(st.floats(-6, 6))
def test_angles_that_are_turned_together_correlate_wholly(turn):
    angles = torch.tensor([0.1, 1.0, 2.5, -2.0, 0.7])
    assert angular_correlation(angles, angles + turn) == pytest.approx(1.0, abs=1e-4)
    assert angular_correlation(angles, turn - angles) == pytest.approx(-1.0, abs=1e-4)


def test_hue_is_read_where_there_is_colour_only():
    dice = torch.Generator().manual_seed(0)
    known = 2 * torch.rand(40, len(LIGHT_NUMBERS), generator=dice) - 1
    found = known.clone()
    pale = known[:, :2].norm(dim=1) <= light_reader.COLOURED
    found[pale, :2] = -known[pale, :2]
    read = light_reader.reading(found, known)
    assert pale.any()
    assert read.correlations == {HUE: pytest.approx(1.0), **dict.fromkeys(LIGHT_NUMBERS[2:], pytest.approx(1.0))}


def test_a_little_training_reads_light_that_was_held_out(tmp_path):
    torch.manual_seed(0)
    model = light_reader.fit(light_reader.build(), *greys(24), Recipe(steps=60, rate=2e-3), tmp_path / "x.pt")
    unseen, numbers = greys(9)
    assert rank_correlation(light_reader.read_small(model, unseen)[:, -1], numbers[:, -1]) > 0.9


def test_paintings_are_those_of_their_seed_and_as_bright_as_their_numbers():
    torch.manual_seed(0)
    codec = autoencoder.build(8).eval()
    found, same, other = (light_reader.paintings(codec, seed, 12) for seed in (1, 1, 2))
    assert found.painted.shape == found.coded.shape == (12, 3, light_reader.SIDE, light_reader.SIDE)
    assert torch.equal(found.painted, same.painted)
    assert not torch.equal(found.painted, other.painted)
    assert rank_correlation(found.painted.float().amax(dim=(1, 2, 3)), found.numbers[:, -1]) > 0.3


def test_coded_paintings_are_what_the_autoencoder_shows_of_the_painted_ones(monkeypatch):
    monkeypatch.setattr(autoencoder, "encoded", lambda codec, pictures: (codec, pictures))
    monkeypatch.setattr(autoencoder, "decoded", lambda codec, latents: 255 - latents[1] if codec is latents[0] else 0)
    found = light_reader.paintings(autoencoder.build(8), 1, 2)
    torch.testing.assert_close(found.coded, -found.painted, atol=2e-3, rtol=0)


def test_pictures_of_any_square_size_come_down_to_the_readers():
    white = torch.full((1, 3, 256, 256), 255, dtype=torch.uint8)
    assert light_reader.small(white).shape == (1, 3, light_reader.SIDE, light_reader.SIDE)
    assert float(light_reader.small(white).min()) == 1.0
