"""Inputs on disk: pipes are read to their end into a file that goes away, whatever they bring."""

import io
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from clavilux.benchmarks.studies.sound_files import sound
from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound import sound_input
from clavilux.runtime.sound.sound_file import read_clip
from clavilux.runtime.sound.sound_input import part_of, size_of

PROGRAM = "from pathlib import Path; from clavilux.runtime.sound.sound_file import read_clip; c = read_clip(Path('-'))"
DEADLINE = 60.0  # s
ROOM = 2**16  # bytes


class Piped:
    """Standard input that is no terminal."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)
        self.closed = False

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3"])
def test_a_pipe_is_read_to_its_end(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, sound(2, 44_100, 30.0), 44_100)
    code = f"{PROGRAM}; print(c.rate, *c.samples.shape)"
    with path.open("rb") as content, subprocess.Popen(["cat"], stdin=content, stdout=subprocess.PIPE) as cat:
        done = subprocess.run([sys.executable, "-c", code], stdin=cat.stdout, capture_output=True, timeout=DEADLINE)
    assert done.stdout.split() == b"44100 1323000 2".split(), done.stderr


def test_a_pipe_that_brings_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(b""))
    with pytest.raises(SoundError, match=r"^standard input holds no samples; expected some sound$"):
        read_clip(Path("-"))


def test_a_pipe_without_sound_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(b"Dear sir,"))
    with pytest.raises(SoundError, match=r"^standard input is not audio that can be read"):
        read_clip(Path("-"))


def test_a_pipe_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_input, "MAX_PIPED", 2**20)
    monkeypatch.setattr(sys, "stdin", Piped(bytes(2**20 + 1)))
    with pytest.raises(SoundError, match=r"^standard input is longer than 0 GiB; expected less, or a file$"):
        read_clip(Path("-"))


@pytest.fixture
def little_room() -> Iterator[int]:
    """Bytes of a file that can be written: a write that would go beyond takes a part, and the next one fails."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, limits[1]))
    yield ROOM
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("beyond", [1, sound_input.COPIED, 3 * sound_input.COPIED])
def test_a_disk_without_room_for_a_pipe_is_named(
    monkeypatch: pytest.MonkeyPatch, little_room: int, beyond: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(bytes(little_room + beyond)))
    with pytest.raises(SoundError, match=r"^the sound cannot be kept in .* \(File too large\); expected room for all"):
        read_clip(Path("-"))


def test_a_disk_without_room_for_a_part_of_a_file_is_named(little_room: int) -> None:
    file = io.BytesIO(bytes(2 * little_room))
    with pytest.raises(SoundError, match="the sound cannot be kept in"):
        part_of(file, 1, little_room + 2)
    with part_of(file, 1, little_room + 1) as part:
        assert size_of(part) == little_room


def test_a_closed_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SoundError, match=r"^standard input is closed; expected sound from a pipe$"):
        read_clip(Path("-"))


def test_a_terminal_is_no_source_of_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = Piped(b"x")
    monkeypatch.setattr(piped, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", piped)
    with pytest.raises(SoundError, match=r"^standard input is a terminal; expected sound from a pipe"):
        read_clip(Path("-"))
