"""Facts that the machine tells about itself, and those that it does not."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.benchmarks.measurements import energy, machine
from clavilux.benchmarks.measurements.energy import Counter, read_counters, spent


def test_this_machine_is_described():
    found = machine.describe()
    assert found.processor
    assert found.cores == os.cpu_count()
    assert found.versions["clavilux"]


def test_a_busy_machine_is_loud():
    found = replace(machine.describe(), cores=2, load=1.9)
    assert "BUSY: 1.9 processes want its 2 cores" in str(machine.warning(found))


@pytest.mark.parametrize("load", [0.1, None])
def test_an_idle_machine_and_one_that_does_not_tell_are_quiet(load: float | None):
    assert machine.warning(replace(machine.describe(), cores=2, load=load)) is None


def test_the_memory_of_a_process_is_read(tmp_path: Path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tx\nVmHWM:\t  2000000 kB\nVmRSS:\t  1000000 kB\n")
    assert machine.resident_mb(7, root=tmp_path) == 1024.0
    assert machine.resident_mb(7, peak=True, root=tmp_path) == 2048.0


def test_memory_that_nobody_tells_is_none(tmp_path: Path):
    assert machine.resident_mb(7, root=tmp_path) is None


def test_the_cpu_time_of_a_process_and_of_its_main_thread_is_read(tmp_path: Path):
    ticks = os.sysconf("SC_CLK_TCK")
    for place, taken in (("7", ticks), ("7/task/7", ticks // 4)):
        (tmp_path / place).mkdir(parents=True)
        fields = ["R", *["0"] * 10, str(taken), str(2 * taken), *["0"] * 30]
        (tmp_path / place / "stat").write_text(f"7 (a name (1) b) {' '.join(fields)}\n")
    assert machine.cpu_seconds(7, root=tmp_path) == 3.0
    assert machine.cpu_seconds(7, main_thread=True, root=tmp_path) == 0.75
    assert machine.cpu_seconds(8, root=tmp_path) is None


def written(root: Path, process: int, parent: int, ticks: int, kilobytes: int) -> None:
    """Write what Linux tells of a process."""
    (root / str(process)).mkdir()
    (root / str(process) / "stat").write_text(f"{process} (a) S) S {parent} 0 0 0 0 0 0 0 0 0 {ticks} 0 0 0")
    (root / str(process) / "status").write_text(f"VmRSS:\t{kilobytes} kB\n")


def test_workers_that_a_process_has_started_count_with_it_and_their_neighbours_do_not(tmp_path: Path):
    for process, parent in ((7, 1), (9, 7), (12, 9), (8, 1), (13, 8)):
        written(tmp_path, process, parent, ticks=100 * process, kilobytes=1000 * process)
    (tmp_path / "77").mkdir()  # one that has just ended
    assert machine.family(7, root=tmp_path) == (7, 9, 12)
    assert machine.cpu_seconds(7, root=tmp_path) == 28.0
    assert machine.resident_mb(7, root=tmp_path) == 28.7
    assert machine.family(5, root=tmp_path) == (5,)


def test_the_memory_on_the_card_is_that_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '7, 900\\n8, 1200\\n9, [N/A]\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert [machine.card_mb(process) for process in (8, 9, 10)] == [1200.0, None, None]


def test_a_driver_that_fails_has_no_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho no devices\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert machine.describe().cards == ()


def zone(folder: Path, name: str, energy_uj: int | str) -> None:
    place = folder / name
    place.mkdir(parents=True)
    (place / "name").write_text("package-0\n")
    (place / "energy_uj").write_text(f"{energy_uj}\n")
    (place / "max_energy_range_uj").write_text("10000000\n")


def test_packages_are_read_and_their_parts_are_not_counted_twice(tmp_path: Path):
    zone(tmp_path, "intel-rapl:0", 2_500_000)
    zone(tmp_path, "intel-rapl:0:0", 1)
    assert read_counters(tmp_path) == {"package-0 (intel-rapl:0)": Counter(2.5, 10.0)}


def test_a_counter_that_cannot_be_read_is_left_out(tmp_path: Path):
    zone(tmp_path, "intel-rapl:0", "denied")
    assert read_counters(tmp_path) == {}


def test_a_machine_without_counters_tells_nothing(tmp_path: Path):
    assert read_counters(tmp_path / "none") == {}


def test_what_was_spent_survives_the_counter_beginning_again():
    before = {"a": Counter(9.0, 10.0), "b": Counter(1.0), "gone": Counter(1.0)}
    after = {"a": Counter(2.0, 10.0), "b": Counter(4.0)}
    assert spent(before, after) == {"a": 3.0, "b": 3.0}


def test_cards_are_asked_through_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pynvml.py").write_text(
        "class NVMLError(Exception): pass\n"
        "def nvmlInit(): pass\n"
        "def nvmlDeviceGetCount(): return 2\n"
        "def nvmlDeviceGetHandleByIndex(index): return index\n"
        "def nvmlDeviceGetTotalEnergyConsumption(card):\n"
        "    if card: raise NVMLError('not supported')\n"
        "    return 5000\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert energy.read_counters(tmp_path / "none") == {"card 0": Counter(5.0)}
