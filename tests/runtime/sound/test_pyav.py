"""PyAV as a decoder: damaged packets are passed over, a damaged container is the end, told at once."""

from collections.abc import Iterator
from types import SimpleNamespace

import av
import pytest

from clavilux.runtime.sound import pyav
from clavilux.runtime.sound.decoding import UnreadableError

GOOD, BAD = "good", "bad"


def packet(kind: str) -> SimpleNamespace:
    """Return a packet of one frame, or a damaged one."""

    def decode() -> list[str]:
        if kind == BAD:
            raise av.InvalidDataError(1, "Invalid data found")
        return [kind]

    return SimpleNamespace(decode=decode)


def frames(*kinds: str, breaks: bool = False) -> Iterator[str]:
    """Return frames of a container of such packets; it may break after them."""

    def demux(_: object) -> Iterator[SimpleNamespace]:
        yield from map(packet, kinds)
        if breaks:
            raise av.OSError(5, "Input/output error.")

    return pyav._frames(av, SimpleNamespace(demux=demux), None)


def test_damaged_packets_are_passed_over() -> None:
    assert list(frames(BAD, GOOD, BAD, GOOD)) == [GOOD, GOOD]


def test_a_file_that_is_mostly_damaged_is_no_sound() -> None:
    with pytest.raises(UnreadableError, match=r"^most of it is damaged$"):
        list(frames(BAD, GOOD, BAD))


@pytest.mark.parametrize("kinds", [(), (GOOD, GOOD)], ids=len)
def test_a_container_that_breaks_is_told_after_what_there_was(kinds: tuple[str, ...]) -> None:
    found = frames(*kinds, breaks=True)
    assert [next(found) for _ in kinds] == list(kinds)
    with pytest.raises(UnreadableError, match=r"^Input/output error$"):
        next(found)
