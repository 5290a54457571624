"""The lobby: whoever comes is let in, and who has only waited goes, of the address that has most there."""

import pytest

from clavilux.server.protocol.messages import ErrorEvent
from clavilux.server.stage.lobby import Lobby
from clavilux.server.stage.outbox import Outbox

pytestmark = pytest.mark.anyio


def entered(lobby: Lobby, *houses: str) -> list[Outbox]:
    """Let in one connection from each of `houses`, in that order."""
    outboxes = [Outbox() for _ in houses]
    for outbox, house in zip(outboxes, houses, strict=True):
        lobby.enter(outbox, house)
    return outboxes


def dismissed(outboxes: list[Outbox]) -> list[int]:
    return [place for place, outbox in enumerate(outboxes) if outbox.farewell is not None]


async def test_of_an_address_that_has_too_many_the_oldest_goes() -> None:
    outboxes = entered(Lobby(10, 2), "a", "b", "a", "a")
    assert dismissed(outboxes) == [0]
    farewell = outboxes[0].farewell
    assert farewell is not None
    assert (farewell.code, farewell.reason) == (
        1013,
        "too many connections that have not started; try again in 1 s",
    )
    assert farewell.messages == (ErrorEvent("try_again", farewell.reason, fatal=True, retry_after=1),)


async def test_when_all_are_too_many_the_address_that_has_most_loses_its_oldest() -> None:
    assert dismissed(entered(Lobby(4, 3), "performer", "a", "a", "a", "viewer")) == [1]


async def test_where_each_has_one_the_oldest_of_all_goes() -> None:
    assert dismissed(entered(Lobby(2, 2), "a", "b", "c")) == [0]


async def test_who_has_started_or_left_is_not_counted() -> None:
    lobby = Lobby(1, 1)
    (first,) = entered(lobby, "a")
    lobby.leave(first)
    lobby.leave(first)
    assert dismissed([first, *entered(lobby, "a")]) == []


async def test_strangers_who_come_without_end_never_fill_it() -> None:
    lobby = Lobby(8, 4)
    outboxes = entered(lobby, *(["a"] * 1000))
    assert dismissed(outboxes) == list(range(996))
    assert dismissed(entered(lobby, "performer")) == []
