"""Options of the provider, one by one: what works is timed and compared, what fails says why."""

from pathlib import Path

import pytest

from clavilux.benchmarks.measurements.example_inputs import example
from clavilux.benchmarks.on_card.provider_options import CAPTURES, DEFAULT, TRIES, open_with, options
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import DECODER, DENOISER
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.session import GraphFile
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime


def test_each_try_is_timed_by_the_card_and_held_against_the_default(measured: FakeRuntime, tiny_bundle: Path) -> None:
    *_, found = options(Bundle.open(tiny_bundle))
    same = {"ms": 2.0, "relative_l2": 0.0}  # a run and a mark, each of which takes the fake card a millisecond
    assert found == {name: dict.fromkeys(TRIES, same) for name in (DENOISER, DECODER)}
    loaded = [settings for _, settings, _ in measured.loaded]
    assert all(tried.items() <= one.items() for tried, one in zip([*TRIES.values()] * 2, loaded, strict=True))
    assert {one["user_compute_stream"] for one in loaded} == {loaded[0]["user_compute_stream"]}


def test_an_option_that_fails_says_why_and_the_next_one_is_tried(measured: FakeRuntime, tiny_bundle: Path) -> None:
    measured.refuses["fuse_conv_bias"] = "no such fusion"
    *_, found = options(Bundle.open(tiny_bundle))
    failed = {label for label, one in found[DECODER].items() if isinstance(one, str)}
    assert failed == {label for label, settings in TRIES.items() if "fuse_conv_bias" in settings}
    assert found[DECODER]["fused bias"] == "decoder.onnx does not load on CUDAExecutionProvider: no such fusion"


@pytest.mark.parametrize(("tried", "graph"), [({}, "-1"), ({CAPTURES: "0"}, None)])
def test_a_run_asks_for_a_cuda_graph_unless_that_is_switched_off(
    measured: FakeRuntime, tiny_bundle: Path, tried: dict[str, str], graph: str | None
) -> None:
    open_with(GraphFile(tiny_bundle / DECODER), tried).run(example(Bundle.open(tiny_bundle), DECODER))
    assert measured.sessions[0].runs == [graph]


def test_without_a_card_nothing_is_tried(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderError, match=r"no CUDAExecutionProvider|no NVIDIA"):
        next(options(Bundle.open(tiny_bundle)))


def test_the_default_comes_first_as_the_others_are_held_against_it() -> None:
    assert next(iter(TRIES.items())) == (DEFAULT, {})
