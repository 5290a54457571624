"""PulseAudio's own inputs, on a real server: each by its name, with all its channels, never another in its place."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.clock import MonotonicClock
from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound import libpulse
from clavilux.runtime.sound import sound_card as soundcard
from clavilux.runtime.sound.inputs import find_input, listed
from clavilux.runtime.sound.pulse_audio import PulseAudio
from clavilux.runtime.sound.sound_card import SoundCard
from tests.runtime.sound.pulse_server import DEADLINE, PulseServer
from tests.runtime.sound.sounds import noise
from tests.waiting import until

RATE = 48_000
BIG = "module-null-sink", "sink_name=big", "channels=18", f"rate={RATE}", "sink_properties=device.description=Stagebox"
LAYOUT = "--raw", "--format=float32le", f"--rate={RATE}", "--channels=18", "--no-remap", "--device=big"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    """A server that this process speaks with, too."""
    server = PulseServer(tmp_path)
    for name, place in server.places.items():
        monkeypatch.setenv(name, place)
    yield server
    server.close()


class Ear:
    """Keeps the last block, and lets a test wait for one as it should be."""

    def __init__(self) -> None:
        self.clock = MonotonicClock()
        self.ages: list[float] = []  # s, from the capture of a block's first sample
        self.blocks: list[np.ndarray] = []
        self._came = threading.Condition()

    def __call__(self, block: np.ndarray, _rate: int, captured_at: float) -> None:
        with self._came:
            self.ages.append(self.clock.now() - captured_at)
            self.blocks.append(block.copy())
            self._came.notify_all()

    def until(self, fits: Callable[[np.ndarray], bool]) -> np.ndarray:
        """Return the first new block that fits."""
        with self._came:
            start = len(self.blocks)
            assert self._came.wait_for(lambda: any(map(fits, self.blocks[start:])), DEADLINE)
            return next(block for block in self.blocks[start:] if fits(block))


def levels(block: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(np.square(block), axis=0))


def module(server: PulseServer, sink: str) -> str:
    lines = server.control("list", "short", "modules").stdout.splitlines()
    (number,) = [line.split()[0] for line in lines if f"sink_name={sink}" in line.split()]
    return number


def test_sources_are_listed_by_name_with_all_that_is_known(server: PulseServer) -> None:
    server.control("load-module", *BIG)
    stage, big = listed(PulseAudio(MonotonicClock()).inputs())
    assert (stage.words, stage.channels, stage.rate, stage.is_default) == ("PulseAudio/stage.monitor", 2, 44_100, True)
    assert (big.words, big.channels, big.rate, big.is_default) == ("PulseAudio/big.monitor", 18, RATE, False)
    assert (big.label, big.is_loopback) == ("Monitor of Stagebox", True)


def test_eighteen_channels_come_each_in_its_place_and_time(server: PulseServer, tmp_path: Path) -> None:
    server.control("load-module", *BIG)
    gains = np.arange(1, 19, dtype=np.float32) / 36
    sound = np.sign(noise(RATE, channels=18)) * gains  # of one level in each block, whatever its length
    sound.tofile(path := tmp_path / "sound.raw")
    pulse, ear = PulseAudio(MonotonicClock()), Ear()
    (big,) = [source for source in pulse.inputs() if source.name == "big.monitor"]
    stream = pulse.open(big, 18, ear)
    with server.playing("pacat", *LAYOUT, str(path)):
        block = ear.until(lambda block: len(block) > 90 and bool((levels(block) > 0.99 * gains).all()))
    assert stream.active
    stream.close()
    np.testing.assert_allclose(levels(block), gains, rtol=1e-3)
    assert block.dtype == np.float32
    assert all(age >= len(block) / RATE for age, block in zip(ear.ages, ear.blocks, strict=True))
    assert stream.overflows == 0


def test_a_sink_that_is_gone_is_waited_for_and_none_at_its_index_taken(
    server: PulseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundcard, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(soundcard, "RETRY_SECONDS", (0.05,))
    searched, back = threading.Semaphore(0), threading.Event()

    class Watched(PulseAudio):
        def inputs(self):
            searched.release()
            return super().inputs()

        def open(self, source, channels, hear):
            stream = super().open(source, channels, hear)
            back.set()
            return stream

    noise(RATE, channels=18, level=0.2).tofile(path := tmp_path / "sound.raw")
    server.control("load-module", *BIG)
    pulse, ear = Watched(MonotonicClock()), Ear()
    wanted = str(next(source.index for source in listed(pulse.inputs()) if source.name == "big.monitor"))
    card = SoundCard(pulse, f"{wanted}:7", ear, MonotonicClock())
    assert card.start().source.words == "PulseAudio/big.monitor"
    with server.playing("pacat", *LAYOUT, str(path)):
        assert ear.until(lambda block: bool((levels(block) > 0.1).all())).shape[1] == 1
    back.clear()
    server.control("unload-module", module(server, "big"))
    server.control("load-module", "module-null-sink", "sink_name=webcam", "channels=18")
    assert listed(PulseAudio(MonotonicClock()).inputs())[int(wanted)].name == "webcam.monitor"
    for _ in range(5):
        assert searched.acquire(timeout=DEADLINE)
    assert not back.is_set()
    server.control("load-module", *BIG)
    assert back.wait(DEADLINE)
    with server.playing("pacat", *LAYOUT, str(path)):
        ear.until(lambda block: bool((levels(block) > 0.1).all()))
    card.stop()
    assert card.losses == 1


def test_a_source_that_is_gone_cannot_be_opened(server: PulseServer) -> None:
    pulse = PulseAudio(MonotonicClock())
    (stage,) = pulse.inputs()
    server.control("unload-module", module(server, "stage"))
    with pytest.raises(DeviceError, match=r"input PulseAudio/stage.monitor cannot be opened \(No such entity\)"):
        pulse.open(stage, 2, Ear())


def test_a_server_that_ends_ends_its_streams(server: PulseServer) -> None:
    pulse, ear = PulseAudio(MonotonicClock()), Ear()
    stream = pulse.open(find_input(listed(pulse.inputs()), "stage").source, 2, ear)
    ear.until(lambda block: block.shape[1] == 2)
    server.close()
    until(lambda: not stream.active, "the end of the stream")
    stream.close()
    with pytest.raises(DeviceError, match="Connection refused"):
        pulse.inputs()


def test_a_server_that_hangs_is_not_waited_for_long(server: PulseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpulse, "PATIENCE", 0.2)
    os.kill(server.server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(DeviceError, match=r"no answer in 0.2 s"):
            PulseAudio(MonotonicClock()).inputs()
    finally:
        os.kill(server.server.pid, signal.SIGCONT)


class Failing:
    """The library, in which one function gives something else."""

    def __init__(self, name: str, result: Any) -> None:
        self._name, self._result, self._real = name, result, libpulse.library()

    def __getattr__(self, name: str) -> Any:
        return (lambda *_given: self._result) if name == self._name else getattr(self._real, name)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, result: Any) -> None:
    """Let one function of the library fail from now on."""
    library = Failing(name, result)
    monkeypatch.setattr(libpulse, "library", lambda: library)


@pytest.mark.parametrize(
    ("name", "result", "line"),
    [
        ("pa_threaded_mainloop_new", None, r"libpulse.so.0 cannot begin; "),
        ("pa_context_new", None, r"libpulse.so.0 makes no connection; "),
        ("pa_threaded_mainloop_start", -1, r"libpulse.so.0 cannot start its thread; "),
        ("pa_context_connect", -11, "Connection terminated"),
    ],
)
def test_a_library_that_cannot_begin_is_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, result: int | None, line: str
) -> None:
    failing(monkeypatch, name, result)
    with pytest.raises(DeviceError, match=line):
        PulseAudio(MonotonicClock()).inputs()


def test_a_stream_that_the_library_does_not_make_is_one_line(server: PulseServer) -> None:
    pulse = PulseAudio(MonotonicClock())
    (stage,) = pulse.inputs()
    with pytest.raises(DeviceError, match=r"input PulseAudio/stage.monitor cannot be opened \(Invalid argument\)"):
        pulse.open(replace(stage, channels=3), 3, Ear())  # one more than the map of its places has


def test_a_stream_that_the_library_does_not_connect_is_one_line(
    server: PulseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulse = PulseAudio(MonotonicClock())
    (stage,) = pulse.inputs()
    failing(monkeypatch, "pa_stream_connect_record", -5)
    with pytest.raises(DeviceError, match=r"input PulseAudio/stage.monitor cannot be opened \(No such entity\)"):
        pulse.open(stage, 2, Ear())


def test_a_hole_is_heard_as_silence_of_its_length(server: PulseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Holed(Failing):
        """The library, which gives nothing but holes."""

        def __getattr__(self, name: str) -> Any:
            real = getattr(self._real, name)

            def peek(stream: int, data: Any, size: Any) -> int:
                result: int = real(stream, data, size)
                data.value = None
                sizes.append(size.value)
                return result

            return peek if name == "pa_stream_peek" else real

    holed = Holed("", None)
    monkeypatch.setattr(libpulse, "library", lambda: holed)
    pulse, ear = PulseAudio(MonotonicClock()), Ear()
    (stage,) = pulse.inputs()
    stream = pulse.open(stage, 2, ear)
    ear.until(lambda block: len(block) > 0)
    stream.close()
    assert sum(block.nbytes for block in ear.blocks) == sum(sizes)
    assert not any(block.any() for block in ear.blocks)
    assert stream.overflows == sum(size > 0 for size in sizes)


def test_without_the_library_there_are_no_such_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpulse, "library", lambda: None)
    with pytest.raises(DeviceError, match=r"libpulse.so.0 is missing"):
        PulseAudio(MonotonicClock()).inputs()


def test_the_library_is_looked_for_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpulse, "LIBRARY", "libnothing.so.0")
    assert libpulse.library.__wrapped__() is None
