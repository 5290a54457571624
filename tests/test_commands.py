"""The command as its users meet it: help with examples, results, and one line with exit code 2 for mistakes."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

import clavilux

SOUNDS = Path(__file__).parent / "sounds"
DOG = SOUNDS / "dog.wav"
DEADLINE = 120.0  # s


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "clavilux", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def mistake(*words: str | Path) -> str:
    """Run a command that must fail as a mistake does; return its one line."""
    done = run(*words)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_without_a_command_there_is_help() -> None:
    done = run()
    assert done.returncode == 0
    assert all(name in done.stdout for name in clavilux.COMMANDS)


@pytest.mark.parametrize("name", clavilux.COMMANDS)
def test_every_command_has_help_with_examples(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert f"clavilux {name}" in done.stdout.partition("examples:")[2]


def test_an_unknown_command_is_named() -> None:
    assert "invalid choice: 'sing'" in mistake("sing")


def test_an_unknown_option_is_named() -> None:
    assert mistake("doctor", "--loud") == "clavilux doctor: unrecognized arguments: --loud; see clavilux doctor --help"


def test_the_version_is_told() -> None:
    assert run("--version").stdout.startswith("clavilux ")


def test_a_clip_becomes_a_picture(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "dog.png"
    done = run("render", DOG, out, "--bundle", tiny_bundle)
    assert (done.returncode, done.stdout.strip()) == (0, str(out))
    with Image.open(out) as picture:
        assert picture.size == (64, 64)


def test_a_clip_becomes_a_film_with_a_progress_bar(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "dog.mp4"
    done = run("render", DOG, out, "--bundle", tiny_bundle, "--frame-rate", "12.5", "--set", "noise=fresh")
    assert done.returncode == 0, done.stderr
    assert "100%" in done.stderr
    with av.open(out) as film:
        assert float(film.streams.video[0].average_rate) == 12.5


@pytest.mark.parametrize("rate", ["0", "121", "1/0", "many"])
def test_an_impossible_frame_rate_is_named(tmp_path: Path, rate: str) -> None:
    line = mistake("render", DOG, tmp_path / "dog.mp4", "--frame-rate", rate)
    assert line == f"clavilux render: the frame rate is {rate}; expected 1 to 120 per second"


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    assert mistake("render", tmp_path / "none.wav", tmp_path / "o.png").endswith("is missing; expected a sound file")


def test_what_is_not_audio_is_named(tmp_path: Path) -> None:
    assert "is not audio" in mistake("render", Path(__file__), tmp_path / "o.png")


@pytest.mark.parametrize(
    ("out", "complaint"),
    [("o.gif", "ends in '.gif'; expected .png, .mp4"), ("o", "ends in 'nothing'"), ("no/where.png", "the folder")],
)
def test_a_target_that_cannot_be_is_named(tmp_path: Path, out: str, complaint: str) -> None:
    assert complaint in mistake("render", DOG, tmp_path / out)


def test_a_target_that_is_a_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "o.png"
    folder.mkdir()
    assert "is a folder" in mistake("render", DOG, folder)


def test_an_unknown_bundle_is_named(tmp_path: Path) -> None:
    line = mistake("render", DOG, tmp_path / "o.png", "--bundle", tmp_path / "none")
    assert "none is missing; expected a folder with bundle.json" in line


def test_a_damaged_bundle_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    copy.mkdir()
    for file in tiny_bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "decoder.onnx").write_bytes(b"not the decoder")
    assert "decoder.onnx has 15 bytes" in mistake("render", DOG, tmp_path / "o.png", "--bundle", copy)


def test_a_parameter_out_of_range_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    line = mistake("render", DOG, tmp_path / "o.png", "--bundle", tiny_bundle, "--set", "steps=9")
    assert line == "clavilux render: steps is 9; expected 1 to 4"


def test_an_unknown_device_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    assert "no device 'abacus'" in mistake(
        "render", DOG, tmp_path / "o.png", "--bundle", tiny_bundle, "--device", "abacus"
    )


def test_a_port_in_use_is_named(tiny_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = mistake("serve", "--bundle", tiny_bundle, "--port", str(port))
    assert f"cannot listen on 127.0.0.1, port {port}" in line


def test_a_port_that_cannot_be_is_named(tiny_bundle: Path) -> None:
    assert "port 70000 cannot be; expected 0 to 65535" in mistake("serve", "--bundle", tiny_bundle, "--port", "70000")


def test_an_input_that_is_not_there_is_named(tiny_bundle: Path) -> None:
    line = mistake("live", "--no-browser", "--bundle", tiny_bundle, "--port", "0", "--input", "theremin")
    assert "no input match 'theremin'" in line


def test_doctor_reports_as_a_table(tiny_bundle: Path) -> None:
    done = run("doctor", "--bundle", tiny_bundle)
    assert done.returncode == 0
    assert "frames_per_second" in done.stdout


def test_doctor_reports_as_json(tiny_bundle: Path) -> None:
    report = json.loads(run("doctor", "--json", "--bundle", tiny_bundle).stdout)
    assert report["providers"]["CPUExecutionProvider"] == "loads"
    assert report["plays"]["picture"] == "64x64"
    assert report["plays"]["frames_per_second"] > 0


def test_doctor_says_what_cannot_play(tmp_path: Path) -> None:
    done = run("doctor", "--json", "--bundle", tmp_path / "none")
    assert done.returncode == 2
    assert "is missing" in json.loads(done.stdout)["plays"]


def test_starting_the_instrument_never_loads_torch() -> None:
    modules = "clavilux, server.live, server.serve, runtime.render_command, runtime.doctor"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_python_client_is_at_hand() -> None:
    from server.client import connect

    assert clavilux.connect is connect


def test_there_is_nothing_else_at_hand() -> None:
    with pytest.raises(AttributeError, match="no attribute 'disconnect'"):
        _ = clavilux.disconnect
