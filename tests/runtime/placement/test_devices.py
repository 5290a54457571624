"""Names of `--device`, and the devices that they find."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement import devices
from clavilux.runtime.placement.devices import DEVICES, check_device, find_device, open_session, runnable
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, install


@pytest.mark.parametrize("name", DEVICES)
def test_every_declared_device_is_found_in_any_case(name: str) -> None:
    assert find_device(name).name == find_device(name.upper()).name == name


def test_a_device_is_found_by_what_onnx_runtime_calls_it() -> None:
    assert find_device("CPUExecutionProvider") is DEVICES["cpu"]


def test_a_part_of_a_device_is_a_device() -> None:
    assert find_device("openvino:cpu").name == "openvino:CPU"
    assert find_device("cuda:No-Graph").name == "cuda:no-graph"


def test_a_part_that_is_for_support_alone_is_not_tried_by_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "DECLARED", (replace(DEVICES["cuda"], check=lambda: None),))
    assert list(runnable()) == ["cuda"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cpu:1", "--device cpu$"),
        ("openvino:", "--device openvino:PART$"),
        ("cuda:", "--device cuda, or cuda:no-graph$"),
        ("cuda:1", "--device cuda, or cuda:no-graph$"),
        ("tensorrt:nograph", "--device tensorrt, or tensorrt:no-graph$"),
    ],
)
def test_a_part_that_cannot_be_is_refused(name: str, expected: str) -> None:
    with pytest.raises(ProviderError, match=f"no device '{name}'; expected {expected}"):
        find_device(name)


@pytest.mark.parametrize("name", ["abacus", "auto", "azure", ""])
def test_what_is_no_device_is_answered_with_those_that_are(name: str) -> None:
    with pytest.raises(ProviderError, match=f"no device '{name}'; there are cpu, openvino, .*, auto for"):
        check_device(name)


def test_every_device_but_the_cpu_is_missing_here_and_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cuda", "tensorrt", "tensorrt_rtx"):
        monkeypatch.setattr(f"clavilux.runtime.providers.nvidia.{module}.import_onnxruntime", _refuse)
    for device in ("cuda", "tensorrt", "tensorrt-rtx"):
        with pytest.raises(ProviderError, match="not installed for"):
            check_device(device)
    check_device("cpu")


def _refuse(extra: str = "cpu") -> None:
    raise ProviderError(f"not installed for {extra}")


def test_what_runs_here_is_what_can_be_opened() -> None:
    found = runnable()
    assert next(iter(found)) == "cpu"
    assert "openvino:CPU" in found
    for device in found.values():
        device.check()


def test_another_provider_that_is_here_runs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(("CoreMLExecutionProvider", "CPUExecutionProvider")))
    assert {"cpu", "coreml"} <= set(runnable())


def test_nothing_runs_where_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, module, None)
    assert runnable() == {}
    with pytest.raises(ProviderError, match="no device 'coreml'"):
        open_session(Path("decoder.onnx"), "coreml")
