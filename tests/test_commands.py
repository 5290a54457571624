"""The command as its users meet it: help with examples, results, and one line with exit code 2 for mistakes."""

import io
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

import clavilux
from clavilux import command
from tests.paths import SOUNDS

PENGUIN = SOUNDS / "penguin.wav"
DEADLINE = 120.0  # s


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let doctor measure for a moment only."""
    monkeypatch.setattr("clavilux.runtime.commands.doctor.MEASURED_SECONDS", 0.2)


@dataclass(frozen=True)
class Done:
    """Code and output that a command left behind."""

    code: int
    out: str
    err: str


def run(*words: str | Path) -> Done:
    """Run a command in this process, as the console script does."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            code = command.main([str(word) for word in words])
        except SystemExit as end:  # argparse's way to end --help and --version
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def mistake(*words: str | Path) -> str:
    """Run a command that must fail as a mistake does; return its one line."""
    done = run(*words)
    lines = done.err.strip().splitlines()
    assert done.code == 2, done
    assert len(lines) == 1, done.err
    return lines[0]


def test_without_a_command_there_is_help() -> None:
    done = run()
    assert done.code == 0
    assert all(name in done.out for name in command.COMMANDS)


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_has_help_with_examples(name: str) -> None:
    done = run(name, "--help")
    assert done.code == 0
    assert f"clavilux {name}" in done.out.partition("examples:")[2]


def test_an_unknown_command_is_named() -> None:
    assert "invalid choice: 'sing'" in mistake("sing")


def test_an_unknown_option_is_named() -> None:
    assert mistake("doctor", "--loud") == "clavilux doctor: unrecognized arguments: --loud; see clavilux doctor --help"


def test_the_version_is_told() -> None:
    assert run("--version").out.startswith("clavilux ")


def test_a_clip_becomes_a_picture(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "dog.png"
    done = run("render", PENGUIN, out, "--bundle", tiny_bundle)
    assert (done.code, done.out.strip()) == (0, str(out))
    with Image.open(out) as picture:
        assert picture.size == (64, 64)


def test_a_clip_becomes_a_film_with_a_progress_bar(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "dog.mp4"
    words = ("--bundle", tiny_bundle, "--frame-rate", "12.5", "--set", "noise=fresh", "--screen", "96x64")
    done = run("render", PENGUIN, out, *words)
    assert done.code == 0, done.err
    assert "100%" in done.err
    with av.open(out) as film:
        assert float(film.streams.video[0].average_rate) == 12.5
        assert (film.streams.video[0].width, film.streams.video[0].height) == (96, 64)


def test_a_film_of_the_pictures_alone_has_their_size(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "dog.mp4"
    done = run("render", PENGUIN, out, "--bundle", tiny_bundle, "--frame-rate", "5", "--screen", "none")
    assert done.code == 0, done.err
    with av.open(out) as film:
        assert film.streams.video[0].width == 64


@pytest.mark.parametrize("screen", ["0x0", "1280", "1281x720", "9999x9998", "wide", "\u0661\u0662\u0668x128"])
def test_an_impossible_screen_is_named(tmp_path: Path, screen: str) -> None:
    line = mistake("render", PENGUIN, tmp_path / "dog.mp4", "--screen", screen)
    assert line.startswith(f"clavilux render: the screen is {screen}; expected WIDTHxHEIGHT, even numbers from 64")


@pytest.mark.parametrize("rate", ["0", "121", "1/0", "many", "1_0", "1e1", "\u0663", "-30", ""])
def test_an_impossible_frame_rate_is_named(tmp_path: Path, rate: str) -> None:
    line = mistake("render", PENGUIN, tmp_path / "dog.mp4", "--frame-rate", rate)
    assert line == f"clavilux render: the frame rate is {rate}; expected 1 to 120 per second"


def test_a_picture_is_not_made_without_what_was_asked_of_it(tmp_path: Path):
    line = mistake("render", PENGUIN, tmp_path / "dog.png", "--screen", "64x64", "--frame-rate", "5")
    assert line == (
        "clavilux render: dog.png is a picture and has no --screen and --frame-rate; expected .mp4, or none of that"
    )
    assert not (tmp_path / "dog.png").exists()


@pytest.mark.parametrize(("name", "options"), [("dog.png", ()), ("dog.mp4", ("--screen", "none"))])
def test_what_acts_on_a_screen_is_not_dropped_where_there_is_none(
    tiny_bundle: Path, tmp_path: Path, name: str, options: tuple[str, ...]
):
    chosen = ("--set", "glow=1", "--set", "glide=1", "--set", "trails=0.5")
    line = mistake("render", PENGUIN, tmp_path / name, "--bundle", tiny_bundle, *options, *chosen)
    assert line == (
        f"clavilux render: glow and trails act on the screen, and {name} has none; expected a film with a screen"
    )
    assert not (tmp_path / name).exists()


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    assert mistake("render", tmp_path / "none.wav", tmp_path / "o.png").endswith("is missing; expected a sound file")


def test_a_complaint_of_a_name_of_two_lines_is_one(tmp_path: Path) -> None:
    assert "a\\nb.wav is missing" in mistake("render", tmp_path / "a\nb.wav", tmp_path / "o.png")


def test_what_is_not_audio_is_named(tmp_path: Path) -> None:
    assert "is not audio" in mistake("render", Path(__file__), tmp_path / "o.png")


@pytest.mark.parametrize(
    ("out", "complaint"),
    [
        ("o.gif", "ends in '.gif'; expected .png, .mp4"),
        ("o", "o has no ending; expected .png"),
        ("no/where.png", "the folder"),
    ],
)
def test_a_target_that_cannot_be_is_named(tmp_path: Path, out: str, complaint: str) -> None:
    assert complaint in mistake("render", PENGUIN, tmp_path / out)


def test_the_result_s_name_is_told_in_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    done = run("render", PENGUIN, tmp_path / "a\nb.png", "--bundle", tiny_bundle)
    assert done.out == f"{tmp_path}/a\\nb.png\n"


def test_a_target_that_is_a_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "o.png"
    folder.mkdir()
    assert "is a folder" in mistake("render", PENGUIN, folder)


def test_an_unknown_bundle_is_named(tmp_path: Path) -> None:
    line = mistake("render", PENGUIN, tmp_path / "o.png", "--bundle", tmp_path / "none")
    assert "none is missing; expected a folder with bundle.json" in line


def test_a_damaged_bundle_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    copy.mkdir()
    for file in tiny_bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "decoder.onnx").write_bytes(b"not the decoder")
    assert "decoder.onnx has 15 bytes" in mistake("render", PENGUIN, tmp_path / "o.png", "--bundle", copy)


def test_a_parameter_out_of_range_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    line = mistake("render", PENGUIN, tmp_path / "o.png", "--bundle", tiny_bundle, "--set", "steps=9")
    assert line == "clavilux render: steps is 9; expected 1 to 4"


def test_an_unknown_device_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    assert "no device 'abacus'" in mistake(
        "render", PENGUIN, tmp_path / "o.png", "--bundle", tiny_bundle, "--device", "abacus"
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
    assert "no input is called 'theremin'; there are " in line or "there are no inputs; plug in" in line


def test_doctor_reports_as_a_table(tiny_bundle: Path) -> None:
    done = run("doctor", "--bundle", tiny_bundle)
    assert done.code == 0
    assert "frames_per_second" in done.out


def test_doctor_reports_as_json(tiny_bundle: Path) -> None:
    report = json.loads(run("doctor", "--json", "--bundle", tiny_bundle).out)
    assert report["providers"]["cpu"] == "loads"
    assert report["plays"]["picture"] == "64x64"
    assert report["plays"]["frames_per_second"] > 0


def test_doctor_reports_to_an_output_that_has_no_letters_for_a_device(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clavilux.runtime.commands.doctor.inputs", lambda: ["WASAPI/マイク"])
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with redirect_stdout(output):
        assert command.main(["doctor", "--bundle", str(tiny_bundle)]) == 0
    output.seek(0)
    assert "WASAPI/\\u30de\\u30a4\\u30af" in output.read()


def test_doctor_says_what_cannot_play(tmp_path: Path) -> None:
    done = run("doctor", "--json", "--bundle", tmp_path / "none")
    assert done.code == 2
    assert "is missing" in json.loads(done.out)["plays"]
    assert done.err.startswith("clavilux doctor: bundle ")


def test_the_installed_command_ends_with_the_code(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "clavilux", "render", str(tmp_path / "none.wav"), "o.png"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_an_output_that_cannot_be_written_is_one_line() -> None:
    command = [sys.executable, "-m", "clavilux", "live", "--list-inputs"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "clavilux live: the output cannot be written (No space left on device)\n",
    )


@pytest.mark.parametrize(("name", "closed"), [("dog.mp4", "2>/dev/full"), ("dog.mp4", ">&- 2>&-"), ("dog.png", ">&-")])
def test_a_film_and_a_picture_are_made_where_nobody_takes_what_is_said_of_them(
    tiny_bundle: Path, tmp_path: Path, name: str, closed: str
) -> None:
    words = [sys.executable, "-m", "clavilux", "render", PENGUIN, tmp_path / name, "--bundle", tiny_bundle]
    film = ["--screen", "none", "--frame-rate", "2"] if name.endswith("mp4") else []
    line = f"{shlex.join(map(str, [*words, *film]))} {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("closed", ["2>/dev/full", "2>&-"])
def test_a_mistake_that_nobody_reads_has_its_code(tmp_path: Path, closed: str) -> None:
    words = [sys.executable, "-m", "clavilux", "render", str(tmp_path / "none.wav"), "o.png"]
    done = subprocess.run(["sh", "-c", f"{shlex.join(words)} {closed}"], timeout=DEADLINE, check=False)
    assert done.returncode == 2


def test_a_film_with_a_name_as_long_as_its_parts_take_is_made(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / f"{'a' * 245}.mp4"
    film = ["--screen", "none", "--frame-rate", "2", "--bundle", tiny_bundle]
    assert run("render", PENGUIN, out, *film).code == 0
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    told = mistake("render", PENGUIN, out.with_name(f"a{out.name}"), *film)
    assert "cannot be made (File name too long); choose another name" in told


def test_a_terminated_command_leaves_no_half_film(tiny_bundle: Path, tmp_path: Path) -> None:
    clip = tmp_path / "long.wav"
    soundfile.write(clip, np.zeros(16_000 * 600, np.float32), 16_000)
    out = tmp_path / "films"
    out.mkdir()
    words = ["render", str(clip), str(out / "long.mp4"), "--bundle", str(tiny_bundle), "--screen", "none"]
    with subprocess.Popen([sys.executable, "-m", "clavilux", *words], stderr=subprocess.DEVNULL) as process:
        ends = time.monotonic() + DEADLINE
        while not list(out.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < ends
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(out.iterdir())


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "dog.png"
    out.write_text("the old one")
    monkeypatch.setattr(Path, "replace", refuse)
    assert "dog.png cannot be written (No space" in mistake("render", PENGUIN, out, "--bundle", tiny_bundle)
    assert out.read_text() == "the old one"


def test_an_interrupted_command_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clavilux.runtime.commands.render.open_sound", interrupt)
    assert run("render", PENGUIN, "o.png") == Done(130, "", "")


def test_a_film_without_pyav_is_one_line(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    line = mistake("render", PENGUIN, tmp_path / "dog.mp4", "--bundle", tiny_bundle)
    assert line == "clavilux render: an MP4 needs PyAV; run: pip install 'clavilux[video]'"


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clavilux.export.build", None)
    line = mistake("export", tmp_path / "out", "--encoder", tmp_path, "--diffusion", tmp_path)
    assert line.endswith("is not installed; run: pip install 'clavilux[export]'")


def test_another_missing_module_is_a_fault_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clavilux.runtime.commands.doctor", None)
    with pytest.raises(ModuleNotFoundError, match=r"clavilux\.runtime\.commands\.doctor"):
        run("doctor")


def test_doctor_without_onnx_runtime_says_how_to_get_it(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = json.loads(run("doctor", "--json", "--bundle", tiny_bundle).out)
    assert "pip install 'clavilux[cpu]'" in report["providers"]["cpu"]
    assert "pip install 'clavilux[cpu]'" in report["plays"]


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_doctor_tells_a_provider_that_does_not_load(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CoreMLExecutionProvider"])
    report = json.loads(run("doctor", "--json", "--bundle", tiny_bundle).out)
    words = "CoreMLExecutionProvider does not run here, CPUExecutionProvider would take over; look for its driver and"
    assert report["providers"]["coreml"].startswith(words)


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda", "abacus"])
def test_doctor_never_sends_anyone_to_doctor(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    done = run("doctor", "--bundle", tiny_bundle, "--device", device)
    assert done.code != 0
    assert "clavilux doctor" not in done.out + done.err.removeprefix("clavilux doctor: ")


LIGHT = ("server.commands.live", "server.commands.serve", "runtime.commands.render", "runtime.commands.doctor")


def test_starting_the_instrument_never_loads_torch() -> None:
    modules = ", ".join(f"clavilux.{name}" for name in LIGHT)
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_python_client_is_at_hand() -> None:
    import clavilux
    from clavilux.server.client.connect import connect

    assert clavilux.connect is connect


def test_there_is_nothing_else_at_hand() -> None:
    with pytest.raises(AttributeError, match="no attribute 'disconnect'"):
        _ = clavilux.disconnect


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="terminals are closed without a signal here")
def test_a_terminal_that_is_closed_ends_nothing_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit):
            command.main(["--version"])
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
