"""Any other provider of ONNX Runtime, by its name, on a machine that only claims to have it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import check_device, open_session
from clavilux.runtime.providers import other as other_providers
from clavilux.runtime.providers.other import find_provider, short_name, tell_host_nodes
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, inputs, install, write_graph

PROVIDERS = ("CoreMLExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider")
ALL_THERE = {"Conv": "CoreMLExecutionProvider"}


@pytest.mark.parametrize("name", ["CoreML", "coreml", "CoreMLExecutionProvider"])
def test_a_provider_runs_by_its_name_in_any_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install(monkeypatch, FakeRuntime(PROVIDERS, placed=ALL_THERE))
    session = open_session(write_graph(tmp_path), name, threads=1)
    assert session.provider == "CoreMLExecutionProvider"
    np.testing.assert_array_equal(session.run(inputs())[0], [[2, 3, 4, 5]])


@pytest.mark.parametrize(
    ("name", "short"), [("DmlExecutionProvider", "dml"), ("DirectML", "dml"), ("WebGPU", "webgpu"), ("cpu", "cpu")]
)
def test_a_name_is_short(name: str, short: str) -> None:
    assert short_name(name) == short


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("directml", "no DmlExecutionProvider; run: pip install onnxruntime-directml in an environment without"),
        ("webgpu", "no WebGpuExecutionProvider; run: pip install onnxruntime-webgpu"),
        ("CoreML", "no CoreMLExecutionProvider; its package for macOS has it"),
        ("xnnpack", "no XnnpackExecutionProvider; it has to be built with it"),
    ],
)
def test_a_provider_that_is_not_in_this_build_is_refused_with_where_it_is(
    monkeypatch: pytest.MonkeyPatch, name: str, advice: str
) -> None:
    install(monkeypatch, FakeRuntime())
    with pytest.raises(ProviderError, match=f"this ONNX Runtime .* has {advice}"):
        check_device(name)


def test_a_provider_that_only_passes_graphs_on_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(PROVIDERS))
    assert find_provider("azure") is None
    assert set(other_providers.available()) == {"coreml"}


def test_what_it_leaves_to_the_cpu_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, FakeRuntime(PROVIDERS, placed=ALL_THERE | {"Gelu": "CPUExecutionProvider"}))
    open_session(write_graph(tmp_path), "coreml")
    assert caplog.messages == ["denoiser.onnx: 1 of 2 nodes run on the CPU, not on CoreMLExecutionProvider: Gelu 1"]


def test_a_provider_that_takes_all_has_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, FakeRuntime(PROVIDERS, placed=ALL_THERE))
    open_session(write_graph(tmp_path), "coreml")
    assert caplog.messages == []


def test_a_provider_that_leaves_all_to_the_cpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(PROVIDERS, placed={"Conv": "CPUExecutionProvider"}))
    with pytest.raises(ProviderError, match=r"denoiser\.onnx: CoreMLExecutionProvider runs none of its 1 nodes"):
        open_session(write_graph(tmp_path), "coreml")


def test_an_onnx_runtime_that_cannot_tell_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tell_host_nodes(SimpleNamespace(), "denoiser.onnx", "CoreMLExecutionProvider")
    assert "too old to say what CoreMLExecutionProvider leaves to the CPU" in caplog.text
