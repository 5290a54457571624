"""Scenes are painted and encoded once, in pieces, and are the same however many there are."""

from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from clavilux.training.lumia.data.scenes import SIDE, Emoji, drawn, paint
from clavilux.training.lumia.models import scene_set
from clavilux.training.lumia.models.scene_set import Pictures, Studio
from clavilux.training.lumia.phases import TimeUpError

CELLS = (4, 7)
EMOJIS = [Emoji(torch.full((4, SIDE, SIDE), share)) for share in (0.2, 0.5, 0.9)]


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the scenes that are painted, in order; pieces are of three scenes, of two variants each."""
    seen: list[int] = []
    true = Studio.painted

    def noticed(self: Studio, index: int, cells: tuple[int, int], variant: int = 0) -> Tensor:
        seen.extend([index] * (not variant))
        return true(self, index, cells, variant)

    monkeypatch.setattr(Studio, "painted", noticed)
    monkeypatch.setattr(scene_set, "PIECE", 3)
    monkeypatch.setattr(scene_set, "VARIANTS", 2)
    return seen


def studio(folder: Path, seed: int = 1) -> Studio:
    return Studio(EMOJIS, seed, folder / "scenes")


def means(pictures: Tensor) -> Tensor:
    """Stand in for an encoder: the mean of each block of 16 x 16 pixels, as twelve channels."""
    return avg_pool2d(pictures.float() / 255, 16).repeat(1, 4, 1, 1)


def test_a_scene_is_painted_as_it_is_drawn_with_light_alone_at_last(tmp_path: Path) -> None:
    scene = drawn(1, 5, CELLS, len(EMOJIS))
    things = [*(EMOJIS[i] for i in scene.concepts[:2]), None]
    expected = (paint(things, scene.noise, scene.numbers) * 255).round().byte()
    found = studio(tmp_path).painted(5, CELLS)
    assert (found.shape, found.dtype) == ((3, 3, 64, 112), torch.uint8)
    assert torch.equal(found, expected)


def test_pictures_on_disk_are_those_of_their_scenes(tmp_path: Path, painted: list[int]) -> None:
    found = studio(tmp_path).pictures(CELLS, 5)
    assert (len(found), found.slots) == (5, 3)
    assert painted == [0, 1, 2, 3, 4]
    for scene, slot in ((0, 0), (2, 1), (3, 2), (4, 0)):
        assert torch.equal(found.at(scene, slot), studio(tmp_path).painted(scene, CELLS)[slot])


def test_pieces_on_disk_are_not_painted_twice_and_a_longer_count_adds_to_them(
    tmp_path: Path, painted: list[int]
) -> None:
    before = studio(tmp_path).pictures(CELLS, 6)
    painted.clear()
    assert len(studio(tmp_path).pictures(CELLS, 6)) == 6
    assert len(studio(tmp_path).pictures(CELLS, 3)) == 3
    assert painted == []
    after = studio(tmp_path).pictures(CELLS, 8)
    assert painted == [6, 7]
    assert len(after) == 8
    assert all(torch.equal(before.at(i, 1), after.at(i, 1)) for i in range(6))


def test_no_pictures_are_a_set_of_none(tmp_path: Path) -> None:
    assert len(studio(tmp_path).pictures(CELLS, 0)) == 0


def test_a_piece_that_was_interrupted_is_painted_anew(
    tmp_path: Path, painted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(file: IO[bytes], found: np.ndarray) -> None:
        file.write(b"the beginning")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            studio(tmp_path).pictures(CELLS, 2)
    assert studio(tmp_path).pictures(CELLS, 2).at(1, 2).shape == (3, 64, 112)
    assert painted == [0, 1, 0, 1]


def test_pictures_are_copies_of_what_is_on_disk(tmp_path: Path) -> None:
    found = studio(tmp_path).pictures(CELLS, 1)
    flat = found.at(0, 0).fill_(7)
    assert not torch.equal(found.at(0, 0), flat)


def test_a_picture_is_found_in_its_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_set, "PIECE", 3)
    whole = np.arange(8, dtype=np.uint8).reshape(4, 2, 1, 1, 1)
    found = Pictures([whole[:3], whole[3:]])
    assert [int(found.at(i, j)) for i in range(4) for j in range(2)] == list(range(8))


def test_scenes_are_drawn_and_their_pictures_encoded(tmp_path: Path, painted: list[int]) -> None:
    found = studio(tmp_path).scenes(CELLS, 4, means)
    assert found.latents.dtype == torch.float32
    assert found.latents.shape == (8, 3, 12, *CELLS)
    for index in range(4):
        scene = drawn(1, index, CELLS, len(EMOJIS))
        assert torch.equal(found.noise[index], scene.noise)
        assert torch.equal(found.numbers[index], scene.numbers)
        assert found.concepts[index].tolist() == list(scene.concepts)
        expected = means(studio(tmp_path).painted(index, CELLS))
        torch.testing.assert_close(found.latents[index], expected, atol=1e-3, rtol=0)


def test_other_variants_come_behind_all_first_ones_in_the_same_light(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scene_set, "PIECE", 2)
    monkeypatch.setattr(scene_set, "VARIANTS", 3)
    found = studio(tmp_path).scenes(CELLS, 3, means)
    which = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]
    for place, (index, variant) in enumerate(which):
        scene = drawn(1, index, CELLS, len(EMOJIS), variant)
        assert torch.equal(found.noise[place], scene.noise)
        assert found.concepts[place].tolist() == list(scene.concepts)
        assert torch.equal(found.numbers[place], found.numbers[index])
        things = [*(EMOJIS[i] for i in scene.concepts[:2]), None]
        expected = means((paint(things, scene.noise, scene.numbers) * 255).round().byte())
        torch.testing.assert_close(found.latents[place], expected, atol=1e-3, rtol=0)
    assert torch.equal(studio(tmp_path).scenes(CELLS, 3, pytest.fail).latents, found.latents)


def test_lights_stand_alone_and_are_others_than_those_of_the_scenes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(scene_set, "PIECE", 2)
    found, scenes = studio(tmp_path).lights(CELLS, 3, means), studio(tmp_path).scenes(CELLS, 3, means)
    assert found.latents.shape == (3, 2, 12, *CELLS)
    assert found.concepts.tolist() == [[len(EMOJIS)] * 2] * 3
    assert not any(torch.equal(one, other) for one in found.numbers for other in scenes.numbers)
    for index in range(3):
        picture = paint([None], found.noise[index], found.numbers[index])
        for latents in found.latents[index]:
            torch.testing.assert_close(latents, means((picture * 255).round().byte())[0], atol=1e-3, rtol=0)
    assert torch.equal(studio(tmp_path).lights(CELLS, 3, pytest.fail).latents, found.latents)


def test_a_light_alone_that_is_late_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(TimeUpError, match="lights-"):
        replace(studio(tmp_path), deadline=0.0).lights(CELLS, 1, means)


def test_scenes_on_disk_are_not_encoded_twice_and_a_longer_count_adds_to_them(
    tmp_path: Path, painted: list[int]
) -> None:
    before = studio(tmp_path).scenes(CELLS, 3, means)
    painted.clear()
    again = studio(tmp_path).scenes(CELLS, 3, pytest.fail)
    assert torch.equal(before.latents, again.latents)
    longer = studio(tmp_path).scenes(CELLS, 5, means)
    assert painted == [3, 4]
    assert torch.equal(longer.latents[:3], before.latents[:3])


def test_pictures_that_are_there_are_encoded_from_disk_and_others_painted(tmp_path: Path, painted: list[int]) -> None:
    alone = studio(tmp_path / "other").scenes(CELLS, 6, means)
    studio(tmp_path).pictures(CELLS, 4)
    painted.clear()
    found = studio(tmp_path).scenes(CELLS, 6, means)
    assert painted == [4, 5]
    assert torch.equal(found.latents, alone.latents)


def test_another_seed_is_another_set(tmp_path: Path) -> None:
    one, other = (studio(tmp_path / str(seed), seed).scenes(CELLS, 2, means) for seed in (1, 2))
    assert not torch.equal(one.noise, other.noise)
    assert not torch.equal(one.latents, other.latents)


def test_sizes_have_files_of_their_own(tmp_path: Path) -> None:
    place = studio(tmp_path)
    assert place.pictures((4, 4), 1).at(0, 0).shape == (3, 64, 64)
    assert place.pictures(CELLS, 1).at(0, 0).shape == (3, 64, 112)
