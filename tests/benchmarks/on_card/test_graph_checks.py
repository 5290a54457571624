"""Checks of graphs against the CPU: on a fake card all is right, and what is wrong is noticed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from clavilux.benchmarks.on_card import graph_checks
from clavilux.benchmarks.on_card.graph_checks import COMPARED, TURNS, distance, motion, parity, threads
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.cpu import open_cpu
from clavilux.runtime.providers.session import Array, GraphFile, Session
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime

GRAPHS = {AUDIO_ENCODER, DENOISER, DECODER}


@pytest.fixture(autouse=True)
def _few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_checks, "TIMED", 2)


class Changed:
    """The CPU's session, whose results are changed from some run on."""

    provider = "CPUExecutionProvider"

    def __init__(self, graph: GraphFile, begins: int, by: float) -> None:
        self._session = open_cpu(graph, 1)
        self._begins, self._by, self._runs = begins, by, 0

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        self._runs += 1
        found = self._session.run(inputs)
        return found if self._runs <= self._begins else [one * (1 + self._by) for one in found]


def test_a_card_that_computes_as_the_cpu_has_no_distance(measured: FakeRuntime, tiny_bundle: Path) -> None:
    *_, found = parity(Bundle.open(tiny_bundle))
    assert found.keys() == GRAPHS
    assert all(one["relative_l2"] == [0.0] * COMPARED and one["stable"] for one in found.values())
    played = [session.runs for session in measured.sessions if session.runs]
    assert [(first, set(others)) for first, *others in played] == [("-1", {"1"})] * len(GRAPHS)  # plain, then captured


def test_a_replay_that_differs_shows_in_its_own_run(tiny_bundle: Path) -> None:
    def opener(graph: GraphFile, threads: int) -> Session:
        return Changed(graph, begins=2, by=0.5)

    *_, found = parity(Bundle.open(tiny_bundle), opener)
    assert found[AUDIO_ENCODER]["relative_l2"] == pytest.approx([0, 0, 0.5, 0.5])


def test_results_that_change_from_run_to_run_are_not_stable(tiny_bundle: Path) -> None:
    def opener(graph: GraphFile, threads: int) -> Session:
        return Changed(graph, begins=COMPARED + 1, by=1e-3)

    *_, found = parity(Bundle.open(tiny_bundle), opener)
    assert not any(one["stable"] for one in found.values())


def test_the_first_graph_is_known_before_the_second_one_runs(tiny_bundle: Path) -> None:
    found = parity(Bundle.open(tiny_bundle), lambda graph, threads: Changed(graph, 0, 0.0))
    assert len(next(found)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_infinitely_far(value: float) -> None:
    one = [np.ones(3, np.float32), np.ones(3, np.float32)]
    assert distance(one, [one[0], np.array([1, value, 1], np.float32)]) == float("inf")


def test_of_several_outputs_the_farthest_counts() -> None:
    one = [np.ones(4, np.float32)] * 2
    assert distance(one, [one[0], one[1] * np.float32(1.25)]) == pytest.approx(0.25)


@pytest.mark.usefixtures("measured")
def test_sizes_move_on_one_thread_and_another(tiny_bundle: Path) -> None:
    *_, found = threads(Bundle.open(tiny_bundle))
    assert found == dict.fromkeys(TURNS, 0.0)


def test_a_thread_that_fails_says_so_and_the_next_one_plays(tiny_bundle: Path) -> None:
    class Local(Changed):
        def run(self, inputs: Mapping[str, Array]) -> list[Array]:
            if graph_checks.threading.current_thread() is not graph_checks.threading.main_thread():
                raise ProviderError("captured elsewhere")
            return super().run(inputs)

    *_, found = threads(Bundle.open(tiny_bundle), lambda graph, threads: Local(graph, 99, 0.0))
    assert found == dict(zip(TURNS, (0.0, "captured elsewhere", 0.0), strict=True))


@pytest.mark.usefixtures("measured")
def test_motion_on_the_card_is_the_host_s(tiny_bundle: Path) -> None:
    first, last = (dict(found) for found in motion(Bundle.open(tiny_bundle)))
    assert first["latents"] < 1e-5
    assert last == first | {"pictures": 0, "pipeline": "DevicePipeline"}


def test_latents_that_move_otherwise_are_noticed(tiny_bundle: Path) -> None:
    found = motion(Bundle.open(tiny_bundle), lambda graph, threads: Changed(graph, 0, 0.1), "cpu")
    assert next(found)["latents"] > 0.1
