"""The allowance of a connection: usual clients wait for nothing, and nobody takes more than a share of the loop."""

import pytest

from clavilux.server.protocol.words import MESSAGE_BYTES, PACKET_BYTES, Role
from clavilux.server.stage.allowance import BURST, PATIENCE, PER_SECOND, WATCHING, Allowance

ACKNOWLEDGE = '{"type":"acknowledge","sequence":123456789,"shown_at":1234567890123456}'


def waited(messages: list[str | bytes], role: Role | None, rate: float) -> float:
    """Return how long the last of messages is to wait that come at `rate` a second."""
    allowance = Allowance()
    return [allowance.wait(message, role, k / rate) for k, message in enumerate(messages)][-1]


@pytest.mark.parametrize(
    ("message", "role", "rate"),
    [
        (ACKNOWLEDGE, Role.VIEWER, 120),
        (b"\1" * 272, Role.PERFORMER, 750),  # 128 samples at 96 kHz
        (b"\1" * (16 + 480 * 32 * 4), Role.PERFORMER, 100),  # 32 channels, 10 ms
        (b"\1" * (16 + 1920 * 32 * 4), Role.PERFORMER, 100),  # and at 192 kHz
        ('{"type":"parameters","values":{"glide":0.51}}', Role.PERFORMER, 500),
        ('{"type":"ping","client_time":1}', None, 100),
    ],
)
def test_usual_clients_wait_for_nothing(message: str | bytes, role: Role | None, rate: float) -> None:
    assert waited([message] * 3000, role, rate) == 0


def test_what_comes_at_once_after_a_stall_waits_for_nothing() -> None:
    assert waited([b"\1" * 1936] * (BURST // 2), Role.PERFORMER, 1e9) == 0


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.PERFORMER])
def test_a_flood_is_read_at_a_bounded_rate(role: Role | None) -> None:
    cost = 1 if role == Role.PERFORMER else WATCHING
    seconds = waited(["x"] * 10_000, role, 1e9)
    assert seconds == pytest.approx((10_000 * cost - BURST) / PER_SECOND, rel=0.02)


@pytest.mark.parametrize("message", ["x" * MESSAGE_BYTES, b"x" * PACKET_BYTES])
def test_long_messages_count_for_more(message: str | bytes) -> None:
    assert waited([message] * 100, Role.PERFORMER, 1e9) > 2 * waited([message[:1]] * 100, Role.PERFORMER, 1e9) + 0.1


def test_who_goes_on_to_send_too_much_uses_it_up() -> None:
    allowance = Allowance()
    for k in range(round(2 * PATIENCE * PER_SECOND)):
        now = k / (1.5 * PER_SECOND)
        allowance.wait("", Role.PERFORMER, now)
        if allowance.is_used_up(now):
            break
    assert now == pytest.approx(PATIENCE + 0.5 * BURST / (0.5 * PER_SECOND), abs=0.01)


def test_a_flood_that_is_read_late_uses_it_up_too() -> None:
    allowance, now = Allowance(), 0.0
    while now < 2 * PATIENCE and not allowance.is_used_up(now):
        now += 3 * allowance.wait("", Role.PERFORMER, now)  # as on a machine that is full
    assert now == pytest.approx(PATIENCE, rel=0.05)


def test_who_fell_behind_and_catches_up_does_not() -> None:
    allowance = Allowance()
    for minute in range(10):
        for _ in range(2000):
            allowance.wait("", Role.PERFORMER, 60.0 * minute)
        assert not allowance.is_used_up(60.0 * minute)
