"""Pictures through shared memory: equal on the other side, in places that come back, and gone in the end."""

import secrets
import shutil
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.supervision import shared_pictures
from clavilux.runtime.supervision.shared_pictures import LINUX, PLACES, PictureReader, PictureWriter, block_name

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def prefix() -> str:
    return f"clvt{secrets.token_hex(5)}"


@pytest.fixture
def pair(prefix: str) -> Iterator[tuple[PictureWriter, PictureReader]]:
    writer, reader = PictureWriter(prefix), PictureReader(prefix)
    with closing(reader), closing(writer):
        yield writer, reader


def picture(seed: int, height: int = 6, width: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8))
def test_every_picture_is_the_same_on_the_other_side_whatever_its_size(sizes: list[tuple[int, int]]) -> None:
    prefix = f"clvt{secrets.token_hex(5)}"
    writer = PictureWriter(prefix)
    with closing(PictureReader(prefix)) as reader, closing(writer):
        for seed, (height, width) in enumerate(sizes):
            given = picture(seed, height, width)
            place = writer.put(given)
            assert place is not None
            taken = reader.take(place)
            np.testing.assert_array_equal(taken, given)
            assert not taken.flags.writeable


def test_where_no_place_is_free_a_picture_is_left_out_and_counted(pair: tuple[PictureWriter, PictureReader]) -> None:
    writer, reader = pair
    places = [writer.put(picture(seed)) for seed in range(PLACES + 2)]
    assert places[PLACES:] == [None, None]
    assert writer.left_out == 2
    first = places[0]
    assert first is not None
    np.testing.assert_array_equal(reader.take(first), picture(0))  # nothing wrote over it
    assert writer.put(picture(9)) is not None


def is_there(prefix: str, block: int) -> bool:
    """Whether the system knows a memory by its name."""
    try:
        SharedMemory(block_name(prefix, block)).close()
    except FileNotFoundError:
        return False
    return True


def test_memory_has_no_name_once_both_have_it(pair: tuple[PictureWriter, PictureReader], prefix: str) -> None:
    writer, reader = pair
    for block, size in enumerate((6, 60)):
        place = writer.put(picture(0, size))
        assert place is not None
        assert is_there(prefix, block)
        reader.take(place)
        assert not is_there(prefix, block)
    assert writer.put(picture(1, 60)) is not None  # into the same


def test_all_that_was_never_told_is_taken_away_too(prefix: str) -> None:
    writer, reader = PictureWriter(prefix), PictureReader(prefix)
    for size in (6, 60, 600):
        writer.put(picture(0, size))
    writer.close()
    reader.close()
    assert not any(is_there(prefix, block) for block in range(3))


@pytest.mark.parametrize("error", [ValueError("cannot mmap an empty file"), OSError(24, "Too many open files")])
def test_memory_that_cannot_be_opened_is_let_be_at_the_end(
    prefix: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_name: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(shared_pictures, "SharedMemory", refuse)
    PictureReader(prefix).close()


def test_shared_memory_that_the_system_refuses_is_one_clear_line(
    pair: tuple[PictureWriter, PictureReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_name: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(shared_pictures, "SharedMemory", refuse)
        with pytest.raises(ProviderError, match=r"shared memory cannot be had \(.*Permission denied\); mount a tmpfs"):
            pair[0].put(picture(0))


@pytest.mark.skipif(not LINUX.is_dir(), reason="only Linux tells how much shared memory is left")
def test_too_little_shared_memory_is_one_clear_line(
    pair: tuple[PictureWriter, PictureReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(64, 64, 100))
    with pytest.raises(ProviderError, match=r"shared memory has 0 MB left, pictures need 1; .*--shm-size"):
        pair[0].put(picture(0))
