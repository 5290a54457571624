"""The input monitor: meters of the present source, and warnings that come and go."""

import numpy as np

from clavilux.runtime.hearing.input_monitor import FAINT, KEPT, SETTLED, InputMonitor

RATE = 48_000


def heard(level: float, seconds: float, monitor: InputMonitor | None = None, *, sounds: bool = True) -> InputMonitor:
    monitor = monitor or InputMonitor()
    for _ in range(round(seconds / 0.1)):
        monitor.note(level, 0.1, sounds=sounds)
    return monitor


def test_before_any_sound_there_are_no_meters_and_no_warnings() -> None:
    monitor = InputMonitor()
    assert monitor.channels == ()
    assert monitor.warnings(()) == ()


def test_each_channel_has_a_meter_and_another_source_has_others() -> None:
    monitor = InputMonitor()
    monitor.push(np.tile(np.array([[0.5, -0.5, 0.0]], np.float32), (RATE, 1)), RATE)
    assert [channel.peak > -7 for channel in monitor.channels] == [True, True, False]
    monitor.push(np.zeros((RATE, 1), np.float32), RATE)
    assert [channel.peak for channel in monitor.channels] == [-120.0]


def test_clipping_is_told() -> None:
    monitor = InputMonitor()
    monitor.push(np.full((RATE // 10, 2), [0.1, 1.0], np.float32), RATE)
    assert monitor.warnings(monitor.channels) == ("clipped",)


def test_what_is_quiet_for_a_while_is_faint_and_one_loud_sound_ends_that() -> None:
    monitor = heard(FAINT - 10, SETTLED / 2)
    assert monitor.warnings(()) == ()
    heard(FAINT - 10, SETTLED, monitor)
    assert monitor.warnings(()) == ("faint",)
    heard(FAINT + 10, 0.1, monitor)
    assert monitor.warnings(()) == ()


def test_a_loud_sound_of_long_ago_is_forgotten() -> None:
    assert heard(FAINT - 10, 10.0, heard(FAINT + 20, 1.0)).warnings(()) == ("faint",)


def test_silence_is_not_faint_and_a_pause_keeps_the_judgement() -> None:
    assert heard(-90.0, 60.0, sounds=False).warnings(()) == ()
    faint = heard(FAINT - 10, 3.0)
    assert heard(-90.0, KEPT - 1, faint, sounds=False).warnings(()) == ("faint",)
    assert heard(-90.0, 2.0, faint, sounds=False).warnings(()) == ()
