"""OpenVINO's own runtime, the real one: the same numbers as ONNX Runtime, and nothing behind anybody's back."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import PARTS
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from clavilux.runtime.placement.devices import check_device, open_session
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.playing.render import render_picture
from clavilux.runtime.providers import openvino
from clavilux.runtime.providers.openvino import BLOB, reason, require_openvino, settings_for
from clavilux.runtime.providers.session import GraphFile
from clavilux.runtime.sound.sound_file import read_clip
from tests.paths import SOUNDS
from tests.runtime.providers.nvidia.fake_gpu import inputs, write_graph

MIN_PSNR = 50.0  # dB
MIN_BFLOAT16_PSNR = 40.0  # dB, in bfloat16
CLOSE = 1e-4  # of float32 results of one graph
STARTS = {"features": (1, 198, 80), "sample": (1, 12, 16, 16), "noise": (1, 12, 16, 16), "latents": (1, 12, 16, 16)}


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def lumia(tmp_path: Path) -> Path:
    """A copy of the default bundle, beside which nothing is kept yet."""
    return shutil.copytree(DEFAULT_BUNDLE, tmp_path / "lumia", ignore=shutil.ignore_patterns("engines"))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, np.ndarray]]:
    """A device's provider for the default bundle and the picture of a word on it, each device played once."""
    lumia = shutil.copytree(
        DEFAULT_BUNDLE, tmp_path_factory.mktemp("played") / "lumia", ignore=shutil.ignore_patterns("engines")
    )

    @cache
    def play(device: str) -> tuple[str, np.ndarray]:
        return picture(lumia, device)

    return play


def picture(bundle: Path, device: str) -> tuple[str, np.ndarray]:
    """Return the provider that a bundle names on `device`, and the picture of a word."""
    player = open_instrument(bundle, device=device)
    return player.models.provider, render_picture(player, read_clip(SOUNDS / "penguin.wav"))


def seeded(bundle: Bundle, name: str) -> dict[str, np.ndarray]:
    """Return inputs of lumia's graph `name`."""
    random = np.random.default_rng(0)
    shapes = {
        "audio_encoder.onnx": ("features",),
        "denoiser.onnx": ("sample", "noise"),
        "decoder.onnx": ("latents",),
    }
    arrays = {key: random.normal(size=STARTS[key]).astype(np.float32) for key in shapes[name]}
    if name == "denoiser.onnx":
        arrays["tokens"] = bundle.conditioning.idle[None]
        arrays["coefficients"] = random.normal(size=(1, 6)).astype(np.float32)
    return arrays


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("name", PARTS.values())
def test_every_graph_of_lumia_gives_what_onnx_runtime_gives(name: str) -> None:
    bundle = Bundle.open(DEFAULT_BUNDLE)
    graph, arrays = GraphFile(bundle.path(name)), seeded(bundle, name)
    found, expected = (open_session(graph, device, threads=1).run(arrays) for device in ("openvino", "cpu"))
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        if one.dtype == np.uint8:
            assert psnr(one, other) > MIN_PSNR
        else:
            np.testing.assert_allclose(one, other, atol=CLOSE, rtol=CLOSE)


def test_a_bundle_says_that_openvino_plays_it_and_the_picture_of_a_word_is_the_same(played) -> None:
    provider, found = played("openvino:CPU")
    assert provider == "OpenVINO CPU"
    assert psnr(found, played("cpu")[1]) > MIN_PSNR


def test_bfloat16_gives_nearly_the_same_picture_and_keeps_graphs_of_its_own(played) -> None:
    if "CPU:BF16" not in openvino.parts():
        pytest.skip("this processor has no bfloat16")
    _, expected = played("openvino:CPU")
    provider, found = played("openvino:cpu:bf16")
    assert provider == "OpenVINO CPU bfloat16"
    assert MIN_BFLOAT16_PSNR < psnr(found, expected) < float("inf")
    again, kept = played.__wrapped__("openvino:cpu:bf16")
    assert again == provider
    np.testing.assert_array_equal(kept, found)


def test_open_axes_may_change_and_change_back(tmp_path: Path) -> None:
    session = open_session(write_graph(tmp_path, batch="batch"), "openvino", threads=1)
    for batch, value in ((1, 1.0), (3, 2.0), (1, 3.0)):
        (result,) = session.run(inputs(batch, value))
        np.testing.assert_array_equal(result, np.full((batch, 4), 2 * value) + np.arange(4))


def test_shorter_sounds_go_through_the_encoder() -> None:
    graph = graph_file(Bundle.open(DEFAULT_BUNDLE), "audio_encoder.onnx")
    features = np.random.default_rng(0).normal(size=(1, 120, 80)).astype(np.float32)
    found, expected = (
        open_session(graph.path, device, threads=1).run({"features": features})[0] for device in ("openvino", "cpu")
    )
    np.testing.assert_allclose(found, expected, atol=CLOSE, rtol=CLOSE)


def test_a_result_is_the_caller_s_own_and_later_runs_leave_it_alone(tmp_path: Path) -> None:
    session = open_session(write_graph(tmp_path), "openvino")
    results = [session.run(inputs(value=value))[0] for value in (1.0, 2.0)]
    np.testing.assert_array_equal(results[0], [[2, 3, 4, 5]])
    assert results[0].flags.writeable


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sample": np.ones((1, 3), np.float32)}, r"sample is float32 \[1, 3\], expected float32 \[1, 4\]"),
        ({"sample": np.ones((1, 4))}, r"sample is float64 \[1, 4\]"),
        ({"more": np.ones(1)}, r"it takes \['bias', 'sample'\]"),
    ],
)
def test_arrays_that_the_graph_does_not_take_are_named(
    tmp_path: Path, change: dict[str, np.ndarray], complaint: str
) -> None:
    session = open_session(write_graph(tmp_path), "openvino")
    with pytest.raises(ProviderError, match=rf"denoiser\.onnx does not run.*{complaint}"):
        session.run(inputs() | change)


def test_a_run_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session(write_graph(tmp_path), "openvino")

    def fail() -> None:
        raise RuntimeError("Exception from a.cpp:1:\nCheck 'x' failed at b.cpp:2:\nno memory\n\n")

    monkeypatch.setattr(session, "_request", SimpleNamespace(infer=fail, set_tensor=lambda *_: None))
    with pytest.raises(ProviderError, match=r"^denoiser\.onnx does not run: no memory$"):
        session.run(inputs())


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    graph = tmp_path / "decoder.onnx"
    graph.write_text("not a graph")
    with pytest.raises(ProviderError, match=r"decoder\.onnx does not load on OpenVINO CPU: [^\n]*$"):
        open_session(graph, "openvino")


def test_without_openvino_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ProviderError, match=r"OpenVINO is not installed; run: pip install 'clavilux\[openvino\]'"):
        open_session(write_graph(tmp_path), "openvino")


def test_a_part_that_is_not_here_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "parts", lambda: ("CPU", "GPU.0", "GPU.1"))
    require_openvino("GPU")
    require_openvino("GPU.1")
    with pytest.raises(ProviderError, match=r"OpenVINO has no 'NPU' here; it has CPU, GPU\.0, GPU\.1$"):
        check_device("openvino:npu")
    with pytest.raises(ProviderError, match=r"OpenVINO has no 'CPU:BF16' here; it has CPU, "):
        check_device("openvino:cpu:bf16")


@pytest.mark.parametrize(
    ("abilities", "flags", "found"),
    [
        (["FP32", "BF16"], "flags : avx2 avx512_bf16", ("CPU", "CPU:BF16")),
        (["FP32", "BF16"], None, ("CPU", "CPU:BF16")),
        (["FP32", "BF16"], "flags : avx2 avx512f", ("CPU",)),
        (["FP32"], "flags : avx512_bf16", ("CPU",)),
    ],
    ids=["has it", "does not tell", "emulates it", "OpenVINO cannot"],
)
def test_bfloat16_is_there_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abilities: list[str], flags: str | None, found: tuple[str, ...]
) -> None:
    core = SimpleNamespace(available_devices=["CPU"], get_property=lambda *_: abilities)
    monkeypatch.setattr(openvino, "_core", lambda _: core)
    monkeypatch.setattr(openvino, "CPUINFO", tmp_path / "cpuinfo")
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert openvino.parts() == found


def test_arithmetic_stays_what_the_bundle_says() -> None:
    plain, half = (GraphFile(Path("denoiser.onnx"), precision=name) for name in ("float32", "float16"))
    for graph, part in ((plain, "CPU"), (half, "CPU"), (plain, "GPU")):
        assert settings_for(graph, 1, part)["INFERENCE_PRECISION_HINT"] == "f32"
    assert settings_for(plain, 1, "CPU:BF16") == settings_for(plain, 1, "CPU") | {"INFERENCE_PRECISION_HINT": "bf16"}
    assert settings_for(half, 1, "GPU") == {"PERFORMANCE_HINT": "LATENCY", "EXECUTION_MODE_HINT": "ACCURACY"}


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_compiled_obeys_threads_and_precision(tmp_path: Path, threads: int) -> None:
    graph = GraphFile(write_graph(tmp_path), "a" * 64)
    session = open_session(graph, "openvino", threads)
    for model in (session._request.get_compiled_model(), open_session(graph, "openvino", threads)):
        compiled = model._request.get_compiled_model() if hasattr(model, "_request") else model
        assert compiled.get_property("INFERENCE_NUM_THREADS") == min(threads, os.cpu_count() or 1)
        assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_a_compiled_graph_is_kept_and_read_again(lumia: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.open(lumia)
    graph, arrays = graph_file(bundle, "decoder.onnx"), seeded(bundle, "decoder.onnx")
    first = open_session(graph, "openvino").run(arrays)[0]
    (blob,) = lumia.glob(f"engines/decoder-openvino-cpu-*/{BLOB}")
    read = []
    monkeypatch.setattr(openvino, "_read", lambda *words, real=openvino._read: read.append(words[1]) or real(*words))
    second = open_session(graph, "openvino").run(arrays)[0]
    assert read == [blob]
    np.testing.assert_array_equal(first, second)


def test_a_kept_graph_outlives_its_file(tmp_path: Path) -> None:
    graph = GraphFile(write_graph(tmp_path), "a" * 64)
    open_session(graph, "openvino")
    session = open_session(graph, "openvino")
    shutil.rmtree(tmp_path / "engines")
    np.testing.assert_array_equal(session.run(inputs())[0], [[2, 3, 4, 5]])


def test_a_damaged_kept_graph_is_built_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clavilux.engines")
    graph = GraphFile(write_graph(tmp_path), "a" * 64)
    open_session(graph, "openvino")
    (blob,) = tmp_path.glob(f"engines/*/{BLOB}")
    blob.write_bytes(blob.read_bytes()[:-1])
    session = open_session(graph, "openvino")
    assert f"damaged, {BLOB} differs from its record" in caplog.text
    np.testing.assert_array_equal(session.run(inputs())[0], [[2, 3, 4, 5]])


def test_a_graph_of_unknown_hash_is_not_kept(tmp_path: Path) -> None:
    open_session(write_graph(tmp_path), "openvino")
    assert not (tmp_path / "engines").exists()


def test_openvino_s_telemetry_is_never_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, clavilux.runtime.providers.openvino as o; o.parts(); "
        "print(sys.modules['openvino_telemetry'], 'torch' in sys.modules)"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr, list(home.iterdir())) == ("None False\n", "", [])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Exception from a.cpp:1:\nCheck 'x' failed at b.cpp:2:\nno memory\n\n", "no memory"),
        ("Exception from a.cpp:1:\n", "Exception from a.cpp:1:"),
        ("", "RuntimeError"),
    ],
)
def test_the_reason_of_a_failure_is_what_follows_its_places(said: str, told: Any) -> None:
    assert reason(RuntimeError(said)) == told
