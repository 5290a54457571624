"""The real sound-card path: PortAudio records what plays on a PulseAudio device, and the whole instrument hears it.

Needs PulseAudio and ALSA's plug-in for it (`.ci/run` installs both); no hardware.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.runtime.sound.pulse_server import DEADLINE, SINK, PulseServer
from tests.runtime.sound.sounds import noise

LOUD, QUIET = -40.0, -90.0  # dBFS
ALONE = -25.0  # dBFS, below a channel at -19; the mean of eighteen with it lies at -44


@pytest.fixture
def sound_system(tmp_path: Path) -> Iterator[PulseServer]:
    """A real, paced sound card without hardware."""
    system = PulseServer(tmp_path)
    yield system
    system.close()


@contextmanager
def serving(system: PulseServer, bundle: Path, wanted: str, heard: str) -> Iterator[ClientConnection]:
    """Run `clavilux serve` on an input, which it says is `heard`; yield a viewer's connection."""
    words = ["--input", wanted, "--port", "0", "--bundle", str(bundle), "--verbose", "--set", "frame_rate=5"]
    command = [sys.executable, "-u", "-m", "clavilux", "serve", *words]
    server = subprocess.Popen(command, env=system.environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == f"listening to {heard}\n"
        address = re.search(r"http://(\S+)/", server.stdout.readline())
        assert address
        with connect(f"ws://{address[1]}/ws", subprotocols=[Subprotocol("clavilux.v1")]) as socket:
            socket.send(json.dumps({"type": "start", "role": "viewer"}))
            yield socket
    finally:
        server.terminate()
        server.wait(DEADLINE)
        server.stdout.close()
    assert server.returncode == 0


def await_status(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read until a status is as wanted; the deadline is that of one message, and statuses come twice a second."""
    for _ in range(int(2 * DEADLINE)):
        message = socket.recv(timeout=DEADLINE)
        while isinstance(message, bytes) or json.loads(message)["type"] != "status":
            message = socket.recv(timeout=DEADLINE)
        status: dict[str, Any] = json.loads(message)
        if wanted(status):
            return status
    raise AssertionError(f"no such status; the last one is {status}")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(2 * 44_100, level=0.2), 44_100)
    return path


@contextmanager
def playing(system: PulseServer, sound: Path, sink: str = "stage") -> Iterator[None]:
    """Play a file to a sink again and again while the block runs; then pull that sink's cable."""
    modules = system.control("list", "short", "modules").stdout.splitlines()
    (module,) = [line.split()[0] for line in modules if f"sink_name={sink}" in line.split()]
    with system.playing("paplay", f"--device={sink}", str(sound)):
        yield
        system.control("unload-module", module)


def test_the_list_has_sources_and_monitors_by_name_and_alsa(sound_system: PulseServer) -> None:
    done = sound_system.run(sys.executable, "-m", "clavilux", "live", "--list-inputs")
    first, *others = done.stdout.splitlines()
    facts = r"2 channels, \d+ Hz, what is played  \(Monitor of .+\)"
    assert re.fullmatch(rf"\*   0  PulseAudio/stage\.monitor  {facts}", first), done.stdout
    assert any(re.fullmatch(r"    \d  ALSA/default  +up to \d+ channels, \d+ Hz", line) for line in others), done.stdout


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        ("default", "ALSA/default, 44100 Hz, 2 channels"),
        ("PulseAudio/stage.monitor", "PulseAudio/stage.monitor, 44100 Hz, 2 channels"),
    ],
)
def test_a_pulled_cable_does_not_need_a_restart(
    sound_system: PulseServer, sound: Path, tiny_bundle: Path, wanted: str, heard: str
) -> None:
    with serving(sound_system, tiny_bundle, wanted, heard) as viewer:
        await_status(viewer, lambda status: status["source"] == "quiet" and status["level"] < QUIET)
        with playing(sound_system, sound):
            await_status(viewer, lambda status: status["source"] == "playing" and status["level"] > LOUD)
        await_status(viewer, lambda status: status["source"] == "lost" and status["level"] < QUIET)
        sound_system.control("load-module", *SINK)
        await_status(viewer, lambda status: status["source"] == "quiet")
        with playing(sound_system, sound):
            await_status(viewer, lambda status: status["source"] == "playing" and status["level"] > LOUD)


def test_one_live_channel_of_eighteen_is_heard_whether_it_is_chosen_or_not(
    sound_system: PulseServer, tmp_path: Path, tiny_bundle: Path
) -> None:
    sound_system.control("load-module", "module-null-sink", "sink_name=big", "channels=18", "rate=48000")
    third = np.zeros((2 * 48_000, 18), np.float32)
    third[:, 2] = noise(len(third), level=0.2)
    third.tofile(path := tmp_path / "third.raw")
    layout = ["--raw", "--format=float32le", "--rate=48000", "--channels=18", "--no-remap"]
    with sound_system.playing("pacat", *layout, "--device=big", str(path)):
        for wanted, heard in (("big:3", "channel 3 of 18"), ("big", "18 channels")):
            with serving(sound_system, tiny_bundle, wanted, f"PulseAudio/big.monitor, 48000 Hz, {heard}") as viewer:
                status = await_status(viewer, lambda status: status["level"] > ALONE)
                assert (status["taken"], len(status["channels"])) == ((None, 1) if ":" in wanted else (3, 18))
