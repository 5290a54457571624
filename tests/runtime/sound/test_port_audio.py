"""PortAudio's devices as inputs: those of Windows, of ALSA and of others, as its library lists them."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sounddevice

from clavilux.runtime.clock import ManualClock
from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound import port_audio
from clavilux.runtime.sound.inputs import Input, find_input, listed
from clavilux.runtime.sound.port_audio import PortAudio

NOW = 50.0  # s
USB = "Microphone (USB Audio CODEC on the desk)"
WINDOWS = {
    "MME": ["Microsoft Sound Mapper - Input", USB[:31]],
    "Windows DirectSound": ["Primary Sound Capture Driver", USB],
    "Windows WASAPI": [USB, "Speakers (USB Audio) [Loopback]"],
    "Windows WDM-KS": [USB],
}
LINUX = {
    "ALSA": [
        "HDA Intel PCH: ALC257 Analog (hw:0,0)",
        "USB Audio: - (hw:1,0)",
        "USB Audio: - (hw:3,0)",
        "pulse",
        "default",
    ],
    "JACK Audio Connection Kit": ["system"],
}


class PortAudioError(Exception):
    pass


class FakeSoundDevice:
    """The library with a list that the test gives, and streams that it opens or not."""

    PortAudioError = PortAudioError

    def __init__(self, apis: dict[str, list[str]]) -> None:
        self.apis: list[dict[str, Any]] = []
        self.devices: list[dict[str, Any]] = []
        self.read = 0
        self._initialized = 1  # as it is imported
        self.fails: Exception | None = None
        self.opened: dict[str, Any] = {}
        for name, inputs in apis.items():
            self.apis.append({"name": name, "default_input_device": len(self.devices)})
            for each in [*inputs, "an output"]:
                channels = 0 if each == "an output" else 2
                about = {"name": each, "max_input_channels": channels, "default_samplerate": 48_000.0}
                self.devices.append({**about, "hostapi": len(self.apis) - 1})

    def _terminate(self) -> None:
        if not self._initialized:
            raise PortAudioError("PortAudio not initialized")
        self._initialized -= 1
        self.read += 1

    def _initialize(self) -> None:
        if self.fails:
            raise self.fails
        self._initialized += 1

    def query_devices(self) -> list[dict[str, Any]]:
        return self.devices

    def query_hostapis(self) -> list[dict[str, Any]]:
        return self.apis

    def InputStream(self, **how: Any) -> Any:  # noqa: N802
        if self.fails:
            raise self.fails
        self.opened = how
        return SimpleNamespace(start=lambda: None, close=lambda: None, active=True)


def library(monkeypatch: pytest.MonkeyPatch, apis: dict[str, list[str]]) -> FakeSoundDevice:
    fake = FakeSoundDevice(apis)
    monkeypatch.setattr(port_audio, "_sounddevice", lambda: fake)
    return fake


def test_windows_lists_one_device_four_times_and_wasapi_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, WINDOWS)
    inputs = listed(PortAudio().inputs())
    assert [source.words for source in inputs] == [
        f"WASAPI/{USB}",
        "WASAPI/Speakers (USB Audio) [Loopback]",
        f"WDM-KS/{USB}",
        "DirectSound/Primary Sound Capture Driver",
        f"DirectSound/{USB}",
        "MME/Microsoft Sound Mapper - Input",
        f"MME/{USB[:31].rstrip()}",
    ]
    assert [source.words for source in inputs if source.is_default] == [f"WASAPI/{USB}"]
    assert find_input(inputs, "USB Audio").source.device == 6
    assert [source.is_loopback for source in inputs] == [False, True] + 5 * [False]


def test_alsa_devices_are_known_without_the_number_of_their_card(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, LINUX)
    inputs = listed(PortAudio().inputs())
    assert [source.words for source in inputs] == [
        "JACK/system",
        "ALSA/HDA Intel PCH: ALC257 Analog",
        "ALSA/USB Audio: - #1",
        "ALSA/USB Audio: - #2",
        "ALSA/pulse",
        "ALSA/default",
    ]
    assert [source.converts for source in inputs] == [False, False, False, False, True, True]
    assert find_input(inputs, "hw:3,0").source.words == "ALSA/USB Audio: - #2"


def test_names_of_several_lines_and_cut_ones_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, {"Windows WDM-KS": ["Headset (@System32\\x.sys,#2;%1 Hands-Free%0\r\n;(Buds))", "Line  In "]})
    headset, line = listed(PortAudio().inputs())
    assert (headset.name, line.name) == ("Headset (@System32\\x.sys,#2;%1 Hands-Free%0 ;(Buds))", "Line In")


def test_the_list_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = library(monkeypatch, LINUX)
    PortAudio().inputs()
    PortAudio().inputs()
    assert fake.read == 2


def test_a_library_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, LINUX).fails = PortAudioError("Host error")
    with pytest.raises(DeviceError, match=r"the sound system does not answer \(Host error\); is it running\?"):
        PortAudio().inputs()


def test_a_library_that_failed_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = library(monkeypatch, LINUX)
    fake.fails = PortAudioError("Host error")
    for _ in range(2):
        with pytest.raises(DeviceError, match="Host error"):
            PortAudio().inputs()
    fake.fails = None
    assert len(PortAudio().inputs()) == 6


def test_the_real_library_lists_again_after_it_failed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = PortAudio().inputs()

    def fail() -> None:
        raise sounddevice.PortAudioError("Host error")

    with monkeypatch.context() as broken:
        broken.setattr(sounddevice, "_initialize", fail)
        for _ in range(2):
            with pytest.raises(DeviceError, match="Host error"):
                PortAudio().inputs()
    assert PortAudio().inputs() == known


def test_a_library_that_fails_as_it_is_imported_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise RuntimeError('Error initializing PortAudio:\\nno memory')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    line = r"the sound system does not answer \(Error initializing PortAudio: no memory\); is it running\?"
    with pytest.raises(DeviceError, match=line):
        PortAudio().inputs()


@pytest.mark.parametrize("error", [PortAudioError("Device\nunavailable"), ValueError("Device unavailable")])
def test_an_input_that_cannot_be_opened_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    library(monkeypatch, LINUX).fails = error
    source = Input("x", 2, 48_000, is_default=False, api="ALSA")
    line = r"input ALSA/x cannot be opened \(Device unavailable\); does another program use it\?"
    with pytest.raises(DeviceError, match=line):
        PortAudio().open(source, 2, lambda *_given: None)


@pytest.mark.parametrize(("api", "opened"), [("ALSA", 3), ("Core Audio", 3), ("WASAPI", 18)])
def test_wasapi_opens_an_input_whole_and_others_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, api: str, opened: int
) -> None:
    fake = library(monkeypatch, LINUX)
    PortAudio().open(Input("x", 18, 96_000, is_default=False, api=api, device=4), 3, lambda *_given: None)
    told = {name: fake.opened[name] for name in ("device", "channels", "samplerate", "blocksize")}
    assert told == {"device": 4, "channels": opened, "samplerate": 96_000, "blocksize": 1920}


@pytest.mark.parametrize(("adc", "captured_at"), [(9.9, NOW - 0.1), (10.5, NOW), (0.0, NOW - 0.02)])
def test_blocks_come_with_their_capture_time_and_overflows_are_counted(
    monkeypatch: pytest.MonkeyPatch, adc: float, captured_at: float
) -> None:
    fake = library(monkeypatch, LINUX)
    heard: list[float] = []
    stream = PortAudio(ManualClock(NOW)).open(
        Input("x", 2, 48_000, is_default=False, api="ALSA"), 2, lambda _block, _rate, when: heard.append(when)
    )
    when = SimpleNamespace(currentTime=10.0, inputBufferAdcTime=adc)
    for overflow in (False, True, True):
        fake.opened["callback"](np.zeros((960, 2), np.float32), 960, when, SimpleNamespace(input_overflow=overflow))
    assert heard == pytest.approx(3 * [captured_at])
    assert (stream.overflows, stream.active) == (2, True)
    stream.close()
