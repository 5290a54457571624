"""The doctor's report: each device is tried as the instrument tries it, and the card is named with its devices."""

from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.runtime.commands import doctor
from clavilux.runtime.commands.doctor import providers
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import DEVICES
from clavilux.runtime.providers.nvidia import cuda
from clavilux.runtime.providers.nvidia.driver import Card
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, install

GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


def test_doctor_tries_cuda_as_the_instrument_does(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CUDA's libraries loaded before: without them ONNX Runtime says that CUDA does not run."""
    install(monkeypatch, FakeRuntime(GPU))
    looked_for: list[str] = []
    monkeypatch.setattr(cuda, "prepare_cuda", lambda onnxruntime: looked_for.append("cuda"))
    assert providers(tiny_bundle)["cuda"] == "loads"
    assert looked_for


def test_doctor_builds_no_engines(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    ready = replace(DEVICES["tensorrt"], check=lambda: None)
    monkeypatch.setattr(doctor, "all_devices", lambda: (ready,))
    assert providers(tiny_bundle) == {"tensorrt": "can run; engines are built when it first plays"}
    assert runtime.loaded == []


def test_what_a_device_lacks_is_told(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ProviderError("no such card")

    lacking = (replace(DEVICES["cuda"], check=refuse), replace(DEVICES["cpu"], open=refuse))
    monkeypatch.setattr(doctor, "all_devices", lambda: lacking)
    assert providers(tiny_bundle) == {"cuda": "no such card", "cpu": "no such card"}


def test_without_a_bundle_nothing_is_tried(tmp_path: Path) -> None:
    assert providers(tmp_path)["cpu"] == f"not tried: {tmp_path / 'decoder.onnx'} is missing"


def test_doctor_names_the_card_and_the_devices_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_card", lambda: Card("NVIDIA GeForce RTX 4090", "sm89", "13.0"))
    told = "NVIDIA GeForce RTX 4090, sm89, driver for CUDA 13.0: --device tensorrt-rtx, then --device cuda"
    assert doctor.machine()["NVIDIA card"] == told


def test_doctor_says_why_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise ProviderError("no NVIDIA driver here")

    monkeypatch.setattr(doctor, "find_card", refuse)
    assert doctor.machine()["NVIDIA card"] == "no NVIDIA driver here"
