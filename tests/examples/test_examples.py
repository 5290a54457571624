"""The examples as a reader runs them: as programs, against `clavilux serve` with the default bundle."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SOUNDS = ROOT / "tests" / "sounds"
DEADLINE = 60.0  # s, after which whatever runs has failed
TOKEN = "open sesame"


@contextmanager
def started(*words: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python with `words` until the block ends, or for `DEADLINE` at most."""
    with subprocess.Popen(
        [sys.executable, "-u", *map(str, words)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = Timer(DEADLINE, process.kill)
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            process.terminate()


@contextmanager
def stage(**environment: str) -> Iterator[str]:
    """Run the default bundle's server on a free port, with few pictures; give its socket's address."""
    with started("-m", "clavilux", "serve", "--port", "0", "--set", "frame_rate=5", **environment) as server:
        yield "ws://" + line_with(server, r"http://(\S+)/")[1] + "/ws"


def line_with(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Return what `pattern` finds in the first line that has it; a process that ends before has failed."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"ended without {pattern!r}")


def run(example: str, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    command = [sys.executable, str(EXAMPLES / example), *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stage() as address:
        yield address


def test_watching_prints_a_line_a_picture_and_keeps_the_last(url: str, tmp_path: Path) -> None:
    done = run("watch.py", url, "--pictures", "3", "--save", tmp_path / "last.png")
    assert done.returncode == 0, done.stderr
    sequences = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert len(sequences) == 3
    assert sequences == sorted(set(sequences))
    with Image.open(tmp_path / "last.png") as picture:
        assert picture.size == (256, 256)


def test_a_file_that_is_played_is_heard_and_painted(url: str, tmp_path: Path) -> None:
    pictures = []
    for word in ("penguin", "train"):
        done = run("play_a_file.py", SOUNDS / f"{word}.wav", url, "--save", tmp_path / f"{word}.png")
        assert done.returncode == 0, done.stderr
        assert re.search(rf"^ +\d\.\d s  {word}$", done.stdout, re.MULTILINE), done.stdout
        with Image.open(tmp_path / f"{word}.png") as picture:
            pictures.append(np.asarray(picture, float))
    assert np.abs(pictures[0] - pictures[1]).mean() > 8  # of 255


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C can be sent to another process alone there")
def test_a_watcher_sees_what_is_played_until_interrupted(url: str, tmp_path: Path) -> None:
    with started(EXAMPLES / "watch.py", url, "--save", tmp_path / "last.png") as watcher:
        line_with(watcher, "")
        assert run("play_a_file.py", SOUNDS / "penguin.wav", url).returncode == 0
        line_with(watcher, r"penguin \(0\.\d\d\) +\d+ ms after the sound")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(DEADLINE) == 0
    assert (tmp_path / "last.png").stat().st_size > 0


def test_the_token_comes_from_the_environment(tmp_path: Path) -> None:
    with stage(CLAVILUX_TOKEN=TOKEN) as address:
        assert run("watch.py", address, "--pictures", "1", CLAVILUX_TOKEN=TOKEN).returncode == 0
        assert run("play_a_file.py", SOUNDS / "train.wav", address, CLAVILUX_TOKEN=TOKEN).returncode == 0
        refused = run("watch.py", address, "--pictures", "1", CLAVILUX_TOKEN="another")
    assert refused.returncode == 1
    assert refused.stderr.startswith("watch.py: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("example", [["watch.py"], ["play_a_file.py", str(SOUNDS / "train.wav")]], ids=lambda e: e[0])
def test_a_server_that_is_not_there_is_one_line(example: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    done = run(*example, f"ws://127.0.0.1:{port}/ws")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{example[0]}: cannot reach ws://127.0.0.1:{port}/ws")
    assert done.stderr.count("\n") == 1


def test_what_is_not_sound_is_one_line() -> None:
    done = run("play_a_file.py", __file__, "ws://127.0.0.1:1/ws")
    assert done.returncode == 1
    assert re.fullmatch(r"play_a_file\.py: .*test_examples\.py.*\n", done.stderr)
