"""The memory of `--device auto`: found again under the same circumstances, and only then."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.runtime.placement import choice_cache
from clavilux.runtime.placement.choice_cache import (
    Circumstances,
    DeviceChoice,
    choice_file,
    circumstances,
    recall,
    remember,
)

NOW = Circumstances("a" * 64, {"onnxruntime": "1.32.0"}, "a processor, 2 cores", 0)
TIMES = {"cpu": 2.0, "openvino:CPU": 1.0}
PARTS = ("encoder", "denoiser", "decoder")
CHOICE = DeviceChoice(dict.fromkeys(PARTS, "cpu"), dict.fromkeys(PARTS, TIMES))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "choices" / "a.json"


def test_a_choice_is_found_again(path: Path) -> None:
    assert remember(path, NOW, CHOICE) == f"remembered in {path}"
    assert recall(path, NOW) == CHOICE


def test_nothing_remembered_is_nothing_to_say(path: Path) -> None:
    assert recall(path, NOW) == ""


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (replace(NOW, bundle="b"), "the bundle has changed"),
        (replace(NOW, versions={"onnxruntime": "1.32.0", "openvino": "2026.4.1"}), "other versions are installed"),
        (replace(NOW, machine="another"), "it was measured on another machine"),
        (replace(NOW, threads=1, machine="x"), "measured on another machine and it was measured with other threads"),
    ],
)
def test_a_choice_for_other_circumstances_does_not_hold_and_says_why(path: Path, now: Circumstances, told: str) -> None:
    remember(path, NOW, CHOICE)
    assert str(recall(path, now)).endswith(told)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"key": {}, "data": {"devices": {}, "milliseconds": {}}}',
        '{"key": 1}',
        "\xff",
    ],
)
def test_a_damaged_file_is_named(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    told = recall(path, NOW)
    assert isinstance(told, str)
    assert told.startswith(f"{path} is damaged (")


@pytest.mark.parametrize(
    "damage",
    [
        {"devices": dict.fromkeys(PARTS, "abacus")},
        {"devices": dict.fromkeys(PARTS[:2], "cpu")},
        {"devices": 1},
        {"milliseconds": {part: {"cpu": "fast"} for part in PARTS}},
        {"milliseconds": {}},
    ],
)
def test_a_file_with_the_wrong_things_in_it_is_damaged(path: Path, damage: dict[str, object]) -> None:
    remember(path, NOW, CHOICE)
    record = json.loads(path.read_text())
    record["data"] |= damage
    path.write_text(json.dumps(record))
    assert "is damaged" in str(recall(path, NOW))


def test_where_nothing_can_be_written_the_reason_is_said(path: Path) -> None:
    path.parent.write_text("a file where the folder should be")
    assert remember(path, NOW, CHOICE).startswith("not remembered: ")


def test_circumstances_are_those_of_this_machine() -> None:
    now = circumstances(Bundle.open(DEFAULT_BUNDLE), 2)
    assert {"onnxruntime", "openvino"} <= set(now.versions)
    assert "cores" in now.machine
    assert (len(now.bundle), now.threads) == (64, 2)


def test_every_bundle_and_number_of_threads_has_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    bundle = Bundle.open(DEFAULT_BUNDLE)
    moved = replace(bundle, folder=Path("/elsewhere"))
    paths = {choice_file(bundle, 0), choice_file(bundle, 1), choice_file(moved, 0)}
    assert len(paths) == 3
    assert all(path.name.startswith("lumia-") for path in paths)


def test_a_processor_is_known_by_its_name_where_the_system_tells_it(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: A Processor 9\nflags\t: a b\n")
    assert choice_cache._processor(told) == "A Processor 9"
    told.write_text("processor\t: 0\n")
    assert choice_cache._processor(told) == choice_cache._processor(tmp_path / "none") != ""
