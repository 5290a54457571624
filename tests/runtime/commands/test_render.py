"""`clavilux render` as a program: any sound, its memory, its interruptions, and its one line for mistakes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from clavilux.benchmarks.studies.sound_files import KINDS, sound, write
from tests.paths import ROOT, SOUNDS
from tests.runtime.sound.sounds import noise

DEADLINE = 120.0  # s
RENDER = [sys.executable, "-W", "error", "-m", "clavilux", "render"]
SMALL = ["--screen", "none", "--frame-rate", "4"]


def render(*words: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    done = subprocess.run([*RENDER, *words], cwd=ROOT, input=stdin, capture_output=True, timeout=DEADLINE, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def line(*words: str | Path) -> str:
    """Run a command that must fail as a mistake does; return its one line."""
    done = render(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("clavilux render: ").rstrip()


@pytest.mark.parametrize("name", ["M4A ALAC", "MP4 AAC", "Ogg FLAC", "FLAC PCM_16"])
def test_a_file_that_any_library_reads_becomes_a_picture(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    clip = tmp_path / f"x.{kind.ending}"
    write(kind, clip, sound(1, kind.rates[0]), kind.rates[0])
    done = render(clip, tmp_path / "x.png", "--bundle", tiny_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (64, 64)


def test_a_pipe_becomes_the_film_of_its_file(tiny_bundle: Path, tmp_path: Path) -> None:
    clip = tmp_path / "x.wav"
    soundfile.write(clip, sound(1, 16_000, 1.0), 16_000)
    for name, words, content in (("file", clip, None), ("pipe", "-", clip.read_bytes())):
        done = render(words, tmp_path / f"{name}.mp4", "--bundle", tiny_bundle, *SMALL, stdin=content)
        assert done.returncode == 0, done.stderr
    films = []
    for name in ("file", "pipe"):
        with av.open(tmp_path / f"{name}.mp4") as film:
            films.append(np.stack([frame.to_ndarray() for frame in film.decode(video=0)]))
    assert np.abs(films[0].astype(int) - films[1]).mean() < 1
    assert len(films[0]) == 4


def on_posix(*values: str) -> Any:
    """Return a case that Windows has not: devices, links for everyone, this answer to long names."""
    mark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such files and answers there")
    return pytest.param(*values, marks=mark)


@pytest.mark.parametrize(
    ("clip", "out", "told"),
    [
        ("letter.wav", "o.png", "letter.wav is not audio that can be read"),
        ("page.mp3", "o.mp4", "page.mp3 is a web page; expected a sound file"),
        ("none.wav", "o.png", "none.wav is missing; expected a sound file"),
        on_posix("n" * 300, "o.png", "cannot be read (File name too long); expected a sound file"),
        on_posix("good.wav", "n" * 300 + ".png", "cannot be written (File name too long); choose another place"),
        ("good.wav", "letter.wav/o.png", "is missing; expected one that o.png can go into"),
        on_posix("/dev/zero", "o.png", "/dev/zero is a device; expected a sound file, or -"),
        ("film.mp4", "film.mp4", "film.mp4 is the clip itself; expected another name for the result"),
        on_posix("film.mp4", "link.mp4", "link.mp4 is the clip itself; expected another name for the result"),
        ("good.png", "good.png", "good.png is the clip itself; expected another name for the result"),
    ],
)
def test_a_mistake_is_one_line_and_takes_no_time(tmp_path: Path, clip: str, out: str, told: str) -> None:
    """No bundle is opened for it: there is none here."""
    (tmp_path / "letter.wav").write_text("Dear sir,")
    (tmp_path / "page.mp3").write_text("<html></html>")
    soundfile.write(tmp_path / "good.wav", noise(16_000), 16_000)
    (tmp_path / "good.png").write_bytes((tmp_path / "good.wav").read_bytes())
    (tmp_path / "film.mp4").write_bytes((tmp_path / "good.wav").read_bytes())
    if out == "link.mp4":
        (tmp_path / "link.mp4").symlink_to(tmp_path / "film.mp4")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert told in line(tmp_path / clip, tmp_path / out, "--bundle", tmp_path / "nowhere")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_names_that_are_not_utf8_are_read_and_written(tiny_bundle: Path, tmp_path: Path) -> None:
    clip, picture, film = (tmp_path / os.fsdecode(b"caf\xe9" + end) for end in (b".wav", b".png", b".mp4"))
    clip.write_bytes((SOUNDS / "penguin.wav").read_bytes())
    for out, words in ((picture, []), (film, SMALL)):
        done = render(clip, out, "--bundle", tiny_bundle, *words)
        assert done.returncode == 0, done.stderr
        assert out.stat().st_size > 0
        assert "Traceback" not in done.stderr


def started(words: list[str | Path]) -> "subprocess.Popen[str]":
    return subprocess.Popen([*RENDER, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C can be sent to another process alone there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_film_that_is_interrupted_twice_is_kept_and_gone_on_with(
    tiny_bundle: Path, tmp_path: Path, number: signal.Signals
) -> None:
    clip, out = tmp_path / "long.wav", tmp_path / "films" / "long.mp4"
    out.parent.mkdir()
    soundfile.write(clip, noise(16_000 * 20), 16_000)
    words: list[str | Path] = [clip, out, "--bundle", tiny_bundle, "--screen", "64x64", "--frame-rate", "4"]
    with started(words) as process:
        parts = out.with_name("long.mp4.parts") / "record.json"
        ends = time.monotonic() + DEADLINE
        while not parts.exists():
            assert process.poll() is None
            assert time.monotonic() < ends
        process.send_signal(number)
        process.send_signal(number)
        _, told = process.communicate(timeout=DEADLINE)
    assert process.returncode == 128 + number
    assert "are kept in" in told
    assert "Traceback" not in told
    assert [path.name for path in out.parent.iterdir()] == ["long.mp4.parts"]
    assert not [path for path in parts.parent.iterdir() if path.name.startswith(".")]
    done = render(*words)
    assert done.returncode == 0, done.stderr
    assert "going on after" in done.stderr
    assert [path.name for path in out.parent.iterdir()] == ["long.mp4"]
    with av.open(out) as film:
        assert sum(1 for _ in film.decode(video=0)) == 80


INTERRUPTED = """
import importlib, signal, sys
from clavilux.command import main
place, *words = sys.argv[1:]
module, _, name = place.rpartition(".")
owner = importlib.import_module(f"clavilux.runtime.{module}")
inner = getattr(owner, name)
def raising(*given, **named):
    signal.raise_signal(signal.SIGINT)
    return inner(*given, **named)
setattr(owner, name, raising)
sys.exit(main(["render", *words]))
"""


@pytest.mark.parametrize(
    "place",
    [
        "commands.render.open_sound",
        "commands.render.survey",
        "commands.render.open_instrument",
        "commands.render.make_film",
        "playing.film.render_frames",
        "playing.film.write_part",
        "output.video._encode",
        "output.video._size",
    ],
)
def test_an_early_interruption_leaves_nothing_and_says_nothing(tiny_bundle: Path, tmp_path: Path, place: str) -> None:
    """At each step of the way up to the first picture."""
    words = [place, SOUNDS / "penguin.wav", tmp_path / "x.mp4", "--bundle", tiny_bundle]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 130, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in done.stderr


MEASURED = """
import resource, sys
from clavilux.command import main
code = main(sys.argv[1:])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(*words: str | Path) -> int:
    """Run the command and return the most memory it took, in KiB on Linux."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "render", *words], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    code, most = done.stdout.split()[-2:]
    assert code == "0", done.stderr
    return int(most)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory otherwise")
def test_memory_does_not_grow_with_the_sound(tiny_bundle: Path, tmp_path: Path) -> None:
    """Three minutes of 32 channels at 8 kHz: 184 MB as samples."""
    short, long = tmp_path / "short.wav", tmp_path / "long.wav"
    soundfile.write(short, noise(8_000, channels=32), 8_000)
    with soundfile.SoundFile(long, "w", 8_000, 32) as file:
        for _ in range(18):
            file.write(noise(10 * 8_000, channels=32))
    words = ("--bundle", tiny_bundle)
    film = (*words, "--screen", "none", "--frame-rate", "1")
    mebibyte = 2**10
    assert peak(long, tmp_path / "l.png", *words) - peak(short, tmp_path / "s.png", *words) < 50 * mebibyte
    assert peak(long, tmp_path / "l.mp4", *film) - peak(short, tmp_path / "s.mp4", *film) < 90 * mebibyte
