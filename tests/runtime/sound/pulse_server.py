"""A PulseAudio server of a test's own, with null sinks whose monitors are inputs: real, paced, without hardware."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import DEADLINE, until

SINK = "module-null-sink", "sink_name=stage"
ALSA = "</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n"


class PulseServer:
    """A PulseAudio server with one null sink, whose monitor is every recorder's default input."""

    def __init__(self, folder: Path) -> None:
        missing = [program for program in ("pulseaudio", "pactl", "pacat") if shutil.which(program) is None]
        assert not missing, f"{missing} are missing; `bash .ci/run` installs them"
        (folder / "alsa.conf").write_text(ALSA)
        self.places = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": f"unix:{folder}/native",
            "ALSA_CONFIG_PATH": f"{folder}/alsa.conf",
        }
        self.environment = os.environ | self.places
        socket = f"module-native-protocol-unix socket={folder}/native auth-anonymous=1"
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "-L", " ".join(SINK), "-L", socket]
        self.server = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        try:
            until(self._answers, "pulseaudio")
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self.server.poll() is None, "pulseaudio ended"
        return self.control("info", check=False).returncode == 0

    def control(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `pactl`."""
        return self.run("pactl", *words, check=check)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program to its end on this server."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=DEADLINE, check=check
        )

    @contextmanager
    def playing(self, *play: str) -> Iterator[None]:
        """Run a command that plays, again and again, while the block runs; the last word is what it plays."""
        loop = 'while "$@"; do :; done'
        player = subprocess.Popen(["sh", "-c", loop, "sh", *play], env=self.environment, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            player.terminate()
            player.wait(DEADLINE)

    def close(self) -> None:
        """End the server, and with it whoever plays on it."""
        self.server.terminate()
        self.server.wait(DEADLINE)
