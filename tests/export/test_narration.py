"""Lines about a long work, on a clock that only a test moves."""

import threading
from collections.abc import Callable

import pytest

from clavilux.export.narration import Narration


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def waits(self, *seconds: float) -> Callable[[float], bool]:
        """Return a wait that takes so long, time after time, and then is over."""
        left = list(seconds)

        def wait(_: float) -> bool:
            self.now += left[0] if left else 0.0
            return not left or not left.pop(0)

        return wait


def test_a_long_silence_is_broken_by_the_last_line(capsys: pytest.CaptureFixture[str]):
    clock = FakeClock()
    narrate = Narration(clock)
    clock.now = 5.0
    narrate("denoiser: tracing")
    narrate.repeat(clock.waits(20.0, 30.0, 30.0))
    assert capsys.readouterr().err.splitlines() == [
        "     5 s  denoiser: tracing",
        "    55 s  denoiser: tracing, for 50 s now",
        "    85 s  denoiser: tracing, for 80 s now",
    ]


def test_nothing_is_repeated_before_there_was_a_line(capsys: pytest.CaptureFixture[str]):
    clock = FakeClock()
    Narration(clock).repeat(clock.waits(100.0))
    assert capsys.readouterr().err == ""


def test_a_narration_ends_with_its_work(capsys: pytest.CaptureFixture[str]):
    before = threading.active_count()
    with Narration() as narrate:
        narrate("loading")
    assert threading.active_count() == before
    assert capsys.readouterr().err == "     0 s  loading\n"
