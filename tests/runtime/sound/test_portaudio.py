"""The real sound-card path: PortAudio records what plays on a PulseAudio device, and the whole instrument hears it.

Needs PulseAudio and ALSA's plug-in for it (`.ci/run` installs both); no hardware.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.runtime.sound.sounds import noise

DEADLINE = 60.0  # s
LOUD, QUIET = -40.0, -90.0  # dBFS
SINK = "module-null-sink", "sink_name=stage"
ALSA = "</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n"


class SoundSystem:
    """A PulseAudio server of its own with one null sink, whose monitor is every recorder's default input."""

    def __init__(self, folder: Path) -> None:
        (folder / "alsa.conf").write_text(ALSA)
        places = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_SERVER": f"unix:{folder}/native"}
        self.environment = os.environ | places | {"ALSA_CONFIG_PATH": f"{folder}/alsa.conf"}
        socket = f"module-native-protocol-unix socket={folder}/native auth-anonymous=1"
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "-L", " ".join(SINK), "-L", socket]
        self.server = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        while self.control("info", check=False).returncode:
            assert self.server.poll() is None, "pulseaudio ended"

    def control(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["pactl", *words]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=DEADLINE, check=check
        )

    @contextmanager
    def playing(self, sound: Path) -> Iterator[None]:
        """Play a file again and again while the block runs."""
        command = f"while paplay {sound}; do :; done"
        player = subprocess.Popen(["sh", "-c", command], env=self.environment, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            self.control("unload-module", "module-null-sink", check=False)
            player.terminate()
            player.wait(DEADLINE)

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(DEADLINE)


@pytest.fixture
def sound_system(tmp_path: Path) -> Iterator[SoundSystem]:
    """A real, paced sound card without hardware."""
    missing = [program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None]
    assert not missing, f"{missing} are missing; `bash .ci/run` installs them"
    system = SoundSystem(tmp_path)
    yield system
    system.close()


@contextmanager
def serving(system: SoundSystem, bundle: Path) -> Iterator[ClientConnection]:
    """Run `clavilux serve` on the sound system's default input; yield a viewer's connection."""
    words = ["--input", "default", "--port", "0", "--bundle", str(bundle), "--verbose", "--set", "frame_rate=5"]
    command = [sys.executable, "-u", "-m", "clavilux", "serve", *words]
    server = subprocess.Popen(command, env=system.environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("listening to default, ")
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


def test_portaudio_lists_the_sound_card(sound_system: SoundSystem) -> None:
    command = [sys.executable, "-m", "clavilux", "live", "--list-inputs"]
    done = subprocess.run(
        command, env=sound_system.environment, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert re.search(r"^\* +\d+  default  \(\d+ channels, \d+ Hz\)$", done.stdout, re.MULTILINE), done.stdout


def test_what_plays_on_the_sound_card_is_heard(sound_system: SoundSystem, sound: Path, tiny_bundle: Path) -> None:
    with serving(sound_system, tiny_bundle) as viewer:
        await_status(viewer, lambda status: status["level"] < QUIET)
        with sound_system.playing(sound):
            await_status(viewer, lambda status: status["level"] > LOUD)


def test_a_pulled_cable_does_not_need_a_restart(sound_system: SoundSystem, sound: Path, tiny_bundle: Path) -> None:
    with serving(sound_system, tiny_bundle) as viewer:
        with sound_system.playing(sound):
            await_status(viewer, lambda status: status["level"] > LOUD)
        sound_system.control("load-module", *SINK)
        # Without new sound the level would stay where it was: that it falls shows that recording goes on.
        await_status(viewer, lambda status: status["level"] < QUIET)
        with sound_system.playing(sound):
            await_status(viewer, lambda status: status["level"] > LOUD)
