"""`--device auto`: the clearly fastest device takes each part, what fails is named, and the choice is remembered.

Time is a clock that only devices of these tests move, so that no choice depends on how busy the machine is.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import PARTS
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from clavilux.runtime.models import workloads
from clavilux.runtime.placement import autotune as auto
from clavilux.runtime.placement.autotune import (
    ROUNDS,
    SECONDS,
    choose,
    difference,
    measure,
    open_graphs,
    race,
    remembered,
    tell_better_device,
)
from clavilux.runtime.placement.choice_cache import choice_file
from clavilux.runtime.providers.cpu import open_cpu
from clavilux.runtime.providers.nvidia.driver import Card
from clavilux.runtime.providers.session import Array, Device, GraphFile, Session


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure each part for a moment: each device still runs twice."""
    monkeypatch.setattr(auto, "SECONDS", 0.02)


@dataclass
class Time:
    """A clock that stands still until somebody moves it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Timed:
    """Results of a real session, kept for inputs that come again, each taking as long as it is told."""

    graph: Path
    time: Time
    seconds: float
    change: Callable[[Array], Array]
    provider: str = "timed"

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        self.time.now += self.seconds
        key = self.graph.name, *sorted((name, array.tobytes()) for name, array in inputs.items())
        if key not in RESULTS:
            RESULTS[key] = open_cpu(GraphFile(self.graph), 1).run(inputs)
        return [self.change(result) for result in RESULTS[key]]


RESULTS: dict[tuple[object, ...], list[Array]] = {}
"""Results of lumia's graphs for the inputs that they had."""


@dataclass
class Machine:
    """Devices with times of their own for each graph, in seconds."""

    time: Time = field(default_factory=Time)
    opened: list[tuple[str, GraphFile]] = field(default_factory=list)

    def device(
        self, name: str, seconds: Mapping[str, float] | float, change: Callable[[Array], Array] = lambda result: result
    ) -> Device:
        def opener(graph: GraphFile, _threads: int) -> Session:
            self.opened.append((name, graph))
            taken = seconds if isinstance(seconds, float) else seconds[graph.path.name]
            return Timed(graph.path, self.time, taken, change)

        return Device(name, (), lambda: None, opener)


@pytest.fixture
def bundle() -> Bundle:
    return Bundle.open(DEFAULT_BUNDLE)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def devices(*several: Device) -> dict[str, Device]:
    return {device.name: device for device in several}


def refuse(_graph: GraphFile, _threads: int) -> Session:
    raise ProviderError("the card is on fire")


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({"cpu": 10.0}, "cpu"),
        ({"cpu": 10.0, "other": 8.9}, "other"),
        ({"cpu": 10.0, "other": 9.1}, "cpu"),
        ({"cpu": 10.0, "other": 5.0, "third": 4.9}, "third"),
        ({"cpu": 10.0, "other": 20.0}, "cpu"),
    ],
)
def test_the_fastest_is_taken_when_it_is_clearly_faster_than_the_first(times: dict[str, float], chosen: str) -> None:
    assert choose(times) == chosen


def test_a_race_goes_by_turns_and_gives_medians() -> None:
    time, order = Time(), []
    slow = iter([9.0] + [0.002] * ROUNDS)  # a moment of something else on the machine

    def run(name: str, seconds: float) -> None:
        order.append(name)
        time.now += seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "SECONDS", 100.0)
        found = race({"a": lambda: run("a", next(slow)), "b": lambda: run("b", 0.001)}, time)
    assert found == {"a": 2.0, "b": 1.0}
    assert order == ["a", "b"] * ROUNDS


def test_a_race_ends_when_its_time_is_up_but_everybody_runs() -> None:
    time, runs = Time(), []

    def run() -> None:
        runs.append(1)
        time.now += 2 * SECONDS

    assert race({"a": run, "b": run}, time) == {"a": 2000 * SECONDS, "b": 2000 * SECONDS}
    assert len(runs) == 2


def test_each_part_goes_to_the_device_that_is_fastest_there(bundle: Bundle) -> None:
    machine = Machine()
    other = {PARTS["encoder"]: 0.01, PARTS["denoiser"]: 0.03, PARTS["decoder"]: 0.019}
    found = devices(machine.device("cpu", 0.02), machine.device("other", other))
    choice, sessions = measure(bundle, 1, found, workloads(bundle), machine.time)
    assert choice.devices == {"encoder": "other", "denoiser": "cpu", "decoder": "cpu"}
    assert choice.milliseconds["encoder"] == {"cpu": 20.0, "other": 10.0}
    assert set(sessions) == set(PARTS.values())


def test_losers_leave_nothing_on_disk(bundle: Bundle) -> None:
    machine = Machine()
    measure(bundle, 1, devices(machine.device("cpu", 0.5)), workloads(bundle), machine.time)
    assert [graph.sha256 for _, graph in machine.opened] == ["", "", ""]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda result: result * 1.2, r"its results differ by 0\.\d+ from cpu's"),
        (lambda result: result * np.float32(np.nan), "its results differ by inf from cpu's"),
    ],
)
def test_a_device_with_other_results_is_left_out_loudly(
    bundle: Bundle, caplog: pytest.LogCaptureFixture, broken: Callable[[Array], Array], told: str
) -> None:
    machine = Machine()
    found = devices(machine.device("cpu", 0.5), machine.device("other", 0.1, broken))
    with np.errstate(invalid="ignore"):
        choice, _ = measure(bundle, 1, found, workloads(bundle), machine.time)
    assert choice.devices["encoder"] == "cpu"
    assert re.search(rf"auto: other is left out for audio_encoder\.onnx: {told}", caplog.text)


def test_what_is_not_finite_is_nothing_to_compare_others_with(bundle: Bundle) -> None:
    machine = Machine()
    nothing = machine.device("first", 0.1, lambda result: result * np.float32(np.nan))
    wrong = machine.device("third", 0.1, lambda result: result * 1.2)
    with np.errstate(invalid="ignore"):
        found = devices(nothing, machine.device("cpu", 0.5), wrong)
        choice, _ = measure(bundle, 1, found, workloads(bundle), machine.time)
    assert (choice.devices["encoder"], set(choice.milliseconds["encoder"])) == ("cpu", {"cpu"})


def test_a_device_that_fails_is_left_out_with_its_reason(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    found = devices(machine.device("cpu", 0.5), replace(machine.device("card", 0.1), open=refuse))
    choice, _ = measure(bundle, 1, found, workloads(bundle), machine.time)
    assert set(choice.devices.values()) == {"cpu"}
    assert "auto: card is left out for denoiser.onnx: the card is on fire" in caplog.messages


def test_a_device_whose_engine_takes_minutes_waits_until_it_is_built(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine()
    built = replace(machine.device("built", 0.1), ready=lambda graph: True)
    later = replace(machine.device("later", 0.1), ready=lambda graph: False)
    choice, _ = measure(bundle, 1, devices(machine.device("cpu", 0.5), built, later), workloads(bundle), machine.time)
    assert set(choice.devices.values()) == {"built"}
    assert all(graph.sha256 for name, graph in machine.opened if name == "built")
    assert "play once with --device later, then auto:again" in caplog.text


def test_where_nothing_runs_there_is_an_error(bundle: Bundle) -> None:
    card = replace(Machine().device("card", 0.1), open=refuse)
    with pytest.raises(ProviderError, match=r"auto: no device runs audio_encoder\.onnx here; --device cpu says what"):
        measure(bundle, 1, devices(card), workloads(bundle))


@pytest.mark.parametrize(
    ("name", "there", "told"),
    [
        ("NVIDIA GeForce RTX 4090", "cuda", ["auto: NVIDIA GeForce RTX 4090 is for --device tensorrt-rtx, which does"]),
        ("NVIDIA L40S", "cpu", ["auto: NVIDIA L40S is for --device cuda, which does not run here: no wheel"]),
        ("NVIDIA L40S", "cuda", []),
    ],
)
def test_auto_says_what_is_missing_for_the_device_that_the_card_is_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, there: str, told: list[str]
) -> None:
    monkeypatch.setattr(auto, "find_card", lambda: Card(name, "sm89", "13.0"))
    monkeypatch.setattr(auto, "check_device", lambda device: refuse_to_check())
    tell_better_device({there})
    assert len(caplog.messages) == len(told)
    assert all(message.startswith(words) for message, words in zip(caplog.messages, told, strict=True))


def refuse_to_check() -> None:
    raise ProviderError("no wheel")


def test_auto_says_nothing_of_cards_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(auto, "find_card", refuse_to_check)
    tell_better_device({"cpu"})
    assert caplog.messages == []


def test_results_are_compared_by_their_size() -> None:
    one = np.full(4, 2.0, np.float32)
    assert difference(one, one) == 0
    assert difference(1.5 * one, one) == pytest.approx(0.5)
    assert difference(np.zeros(4, np.float32), np.zeros(4, np.float32)) == 0


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose `openvino:CPU` is twice as fast as its `cpu`."""
    machine = Machine()
    found = devices(machine.device("cpu", 0.4), machine.device("openvino:CPU", 0.2))
    monkeypatch.setattr(auto, "runnable", lambda: found)
    monkeypatch.setattr(race, "__defaults__", (machine.time,))
    monkeypatch.setattr(measure, "__defaults__", (machine.time,))
    return machine


@pytest.fixture
def copy(tmp_path: Path) -> Bundle:
    """The default bundle where engines may be kept beside it."""
    return Bundle.open(shutil.copytree(DEFAULT_BUNDLE, tmp_path / "lumia", ignore=shutil.ignore_patterns("engines")))


def test_auto_measures_once_says_why_and_remembers(
    copy: Bundle, two: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    open_graphs(copy, "auto", 1, workloads)
    path = choice_file(copy, 1)
    taken = "openvino:CPU for the encoder and denoiser and decoder"
    assert caplog.messages == [
        "auto: measuring cpu, openvino:CPU on lumia, once",
        "auto: cpu: encoder 400.0 ms, denoiser 400.0 ms, decoder 400.0 ms",
        "auto: openvino:CPU: encoder 200.0 ms, denoiser 200.0 ms, decoder 200.0 ms",
        f"auto takes {taken}: the encoder runs 2.00 times as fast as on cpu, the denoiser runs 2.00 times as fast as "
        f"on cpu, the decoder runs 2.00 times as fast as on cpu; remembered in {path}",
    ]
    caplog.clear()
    sessions = open_graphs(copy, "AUTO", 1, workloads)
    assert caplog.messages == [f"auto takes {taken}, as measured before (auto:again measures again)"]
    assert {session.provider for session in sessions.values()} == {"OpenVINO CPU"}
    assert remembered(copy, 1) == taken
    assert remembered(copy, 2) == "not measured; --device auto measures"


def test_auto_again_measures_again(copy: Bundle, two: Machine) -> None:
    open_graphs(copy, "auto", 1, workloads)
    before = len(two.opened)
    open_graphs(copy, "auto:again", 1, workloads)
    assert len(two.opened) == 2 * before


def test_a_damaged_memory_is_measured_again(copy: Bundle, two: Machine, caplog: pytest.LogCaptureFixture) -> None:
    open_graphs(copy, "auto", 1, workloads)
    choice_file(copy, 1).write_text("{")
    assert "is damaged" in remembered(copy, 1)
    caplog.clear()
    open_graphs(copy, "auto", 1, workloads)
    assert caplog.messages[0].startswith(f"auto measures again: {choice_file(copy, 1)} is damaged (")
    assert caplog.messages[-1].endswith(f"remembered in {choice_file(copy, 1)}")


def test_a_remembered_device_that_does_not_run_any_more_is_measured_again(
    copy: Bundle, two: Machine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_graphs(copy, "auto", 1, workloads)
    caplog.clear()

    def refuse_all(*_: object) -> Session:
        raise ProviderError("OpenVINO is not installed")

    monkeypatch.setattr(auto, "open_session", refuse_all)
    open_graphs(copy, "auto", 1, workloads)
    reason = "what was chosen does not run any more (OpenVINO is not installed)"
    assert caplog.messages[0] == f"auto measures again: {reason}"


@pytest.mark.parametrize("several", [True, False])
def test_auto_says_so_when_nothing_is_faster(
    copy: Bundle, two: Machine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    found = [two.device("cpu", 0.4), two.device("other", 0.39)][: 2 if several else 1]
    monkeypatch.setattr(auto, "runnable", lambda: devices(*found))
    open_graphs(copy, "auto", 1, workloads)
    why = "nothing is 10% faster" if several else "there is nothing else here"
    assert f"auto takes cpu for the encoder and denoiser and decoder: {why}; remembered" in caplog.text


def test_the_real_machine_plays_on_what_it_chose(copy: Bundle) -> None:
    instrument = open_instrument(copy.folder, device="auto", threads=1)
    ours = {"CPUExecutionProvider", "OpenVINO CPU", "OpenVINO CPU bfloat16"}
    assert set(instrument.models.provider.split(", ")) <= ours
    assert instrument.step(0.0).pixels.shape == (256, 256, 3)


def test_a_named_device_is_obeyed(bundle: Bundle) -> None:
    sessions = open_graphs(bundle, "cpu", 1, workloads)
    assert {session.provider for session in sessions.values()} == {"CPUExecutionProvider"}
