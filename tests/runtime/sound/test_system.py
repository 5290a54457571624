"""The sound system: PulseAudio's inputs and PortAudio's in one list, each opened by its own library."""

import logging

import pytest

from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound import system
from clavilux.runtime.sound.inputs import Input
from clavilux.runtime.sound.system import SoundSystem

NAMED = Input("mic", 2, 48_000, is_default=True, api="PulseAudio", device="mic")
HARDWARE = Input("card", 2, 48_000, is_default=True, api="ALSA", device=3)
AGAIN = Input("Microphone", 2, 48_000, is_default=True, api="PulseAudio", device=4)


class Library:
    """A sound library that lists inputs, or fails."""

    def __init__(self, *inputs: Input, fails: str = "") -> None:
        self.listed = list(inputs)
        self.fails = fails

    def inputs(self) -> list[Input]:
        if self.fails:
            raise DeviceError(self.fails)
        return self.listed

    def open(self, source, channels, hear):
        return self, source, channels


def together(monkeypatch: pytest.MonkeyPatch, pulse: Library, port: Library) -> SoundSystem:
    monkeypatch.setattr(system, "PulseAudio", lambda _clock: pulse)
    monkeypatch.setattr(system, "PortAudio", lambda _clock: port)
    return SoundSystem()


def test_what_both_libraries_have_is_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert together(monkeypatch, Library(NAMED), Library(HARDWARE)).inputs() == [NAMED, HARDWARE]


def test_a_portaudio_with_pulseaudio_says_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert together(monkeypatch, Library(NAMED), Library(HARDWARE, AGAIN)).inputs() == [NAMED, HARDWARE]
    assert together(monkeypatch, Library(fails="refused"), Library(HARDWARE, AGAIN)).inputs() == [HARDWARE, AGAIN]


def test_without_a_sound_server_there_is_portaudio_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert together(monkeypatch, Library(fails="refused"), Library(HARDWARE)).inputs() == [HARDWARE]


def test_a_portaudio_that_fails_is_told_where_the_other_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert together(monkeypatch, Library(NAMED), Library(fails="PortAudio is missing")).inputs() == [NAMED]
    assert "PortAudio is missing" in caplog.text


@pytest.mark.parametrize("pulse", [Library(), Library(fails="refused")])
def test_where_nothing_is_left_portaudios_failure_counts(monkeypatch: pytest.MonkeyPatch, pulse: Library) -> None:
    with pytest.raises(DeviceError, match="PortAudio is missing"):
        together(monkeypatch, pulse, Library(fails="PortAudio is missing")).inputs()


def test_each_input_is_opened_by_its_own_library(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse, port = Library(NAMED), Library(HARDWARE)
    both = together(monkeypatch, pulse, port)
    assert both.open(NAMED, 2, None) == (pulse, NAMED, 2)
    assert both.open(HARDWARE, 1, None) == (port, HARDWARE, 1)
