"""Tries at the token: few at once, then slowly, each address for itself, and no more memory than that takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.server.stage import tries as module
from clavilux.server.stage.tries import BURST, MAX_ADDRESSES, SECONDS_PER_TRY, Tries


def spent(address: str = "a", now: float = 0.0) -> Tries:
    tries = Tries()
    for _ in range(BURST):
        assert tries.wait(address, now) == 0
        tries.wrong(address, now)
    return tries


def test_after_a_few_wrong_tokens_one_has_to_wait_and_nobody_else_has() -> None:
    tries = spent()
    assert tries.wait("a", 0.0) == SECONDS_PER_TRY
    assert tries.wait("a", SECONDS_PER_TRY - 1) == 1.0
    assert tries.wait("b", 0.0) == 0


def test_tries_come_back_one_by_one() -> None:
    tries = spent()
    assert tries.wait("a", SECONDS_PER_TRY) == 0
    tries.wrong("a", SECONDS_PER_TRY)
    assert tries.wait("a", SECONDS_PER_TRY) == SECONDS_PER_TRY
    for _ in range(BURST):
        assert tries.wait("a", 1000.0) == 0
        tries.wrong("a", 1000.0)
    assert tries.wait("a", 1000.0) > 0


@given(st.lists(st.floats(0, 5), max_size=200))
def test_no_rhythm_gets_more_looks_than_the_bucket_holds(pauses: list[float]) -> None:
    tries, now, looks = Tries(), 0.0, 0
    for pause in pauses:
        now += pause
        if tries.wait("a", now) == 0:
            looks += 1
            tries.wrong("a", now)
    assert looks <= BURST + now / SECONDS_PER_TRY + 1e-6


def test_of_too_many_addresses_those_wrong_least_recently_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 2)
    tries = spent("a")
    tries.wrong("b", 0.0)
    tries.wrong("a", 0.0)
    tries.wrong("c", 0.0)
    assert tries.wait("a", 0.0) > 0
    assert set(tries._full_at) == {"a", "c"}
    assert MAX_ADDRESSES <= 10_000
