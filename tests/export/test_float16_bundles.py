"""Whole exports in float16: what is stored, what stays, and that pictures are the same."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from diffusers import UNet2DConditionModel

from clavilux.export.build import export_bundle
from clavilux.export.finish import finish
from clavilux.export.graphs.convert import Case, trace
from clavilux.export.models.denoiser import DenoiserGraph
from clavilux.export.parity.figures import psnr
from clavilux.export.proof import Proof
from clavilux.export.spec import DENOISER_GRAPH, Component, Gate, Port
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from tests.runtime.instruments import instrument
from tests.tiny import WIDTH, tiny_options, tiny_sources

HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
GRAPHS = ("audio_encoder.onnx", "text_encoder.onnx", "denoiser.onnx", "decoder.onnx")


@pytest.fixture(scope="module")
def bundle(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    options = replace(tiny_options("half"), arithmetic="float16", proof_steps=2)
    return export_bundle(tiny_sources(tiny_checkpoints), tmp_path_factory.mktemp("half") / "bundle", options)


def graph(bundle: Bundle, name: str) -> onnx.GraphProto:
    return onnx.load(bundle.path(name)).graph


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph_is_valid_onnx(bundle: Bundle, name: str):
    onnx.checker.check_model(bundle.path(name), full_check=True)


@pytest.mark.parametrize("name", GRAPHS)
def test_inputs_and_outputs_are_those_of_float32(bundle: Bundle, tiny_bundle: Path, name: str):
    def ports(one: onnx.GraphProto) -> list[tuple[str, int]]:
        return [(port.name, port.type.tensor_type.elem_type) for port in (*one.input, *one.output)]

    assert ports(graph(bundle, name)) == ports(graph(Bundle.open(tiny_bundle), name))


@pytest.mark.parametrize("name", GRAPHS)
def test_most_weights_are_stored_in_float16(bundle: Bundle, name: str):
    stored = {HALF: 0, FLOAT: 0}
    for one in graph(bundle, name).initializer:
        if one.data_type in stored:
            stored[one.data_type] += int(np.prod(one.dims))
    assert stored[HALF] > 9 * stored[FLOAT]


def test_what_stays_is_told_with_reasons(bundle: Bundle):
    kept = {(one.component, one.why.partition(":")[0]) for one in bundle.precision.kept}
    assert ("denoiser", "phases of the timestep") in kept
    assert ("denoiser", "sums over many elements") in kept
    assert ("denoiser", "pre- and post-processing around the model") in kept
    assert all(one.count > 0 and one.operators for one in bundle.precision.kept)


def test_the_arithmetic_is_in_the_manifest(bundle: Bundle):
    assert bundle.precision.arithmetic == "float16"


def test_each_graph_is_proved_rounded_and_as_it_lies_in_the_bundle(bundle: Bundle):
    proved = {figure.component for figure in bundle.parity}
    for part in ("audio_encoder", "text_encoder", "denoiser", "decoder"):
        assert {part, f"{part}, float16", f"{part}, float16 on this CPU"} <= proved
    assert {"latents, 1 step", "picture, 2 steps"} <= proved


def test_its_pictures_are_those_of_float32(bundle: Bundle, tiny_bundle: Path):
    half, exact = (instrument(folder).step(0.0).pixels.astype(float) for folder in (bundle.folder, tiny_bundle))
    assert psnr(exact, half) > 35


def test_the_bundle_is_smaller_than_one_in_float32(bundle: Bundle, tiny_bundle: Path):
    small = bundle.files["denoiser.onnx"].bytes
    weights = sum(np.prod(one.dims) * 4 for one in graph(Bundle.open(tiny_bundle), "denoiser.onnx").initializer)
    assert small < weights


ROWS = Component(
    name="rows",
    file="rows.onnx",
    inputs=(Port("x", (2, 8)),),
    outputs=(Port("y", (2, 8)),),
    exact=(Gate("relative_error", 1e-3),),
    stored=(Gate("relative_l2", 0.02),),
)


def made(folder: Path, module: torch.nn.Module, x: torch.Tensor) -> Proof:
    with torch.inference_mode():
        expected = [module(x).numpy()]
    return finished(folder, ROWS, module, Case({"x": x.numpy()}, expected))


def finished(folder: Path, component: Component, module: torch.nn.Module, case: Case) -> Proof:
    (folder / "scratch").mkdir()
    proof = Proof()
    traced = trace(component, module, [case], folder / "scratch")
    finish(traced, folder, replace(tiny_options(), arithmetic="float16"), proof, lambda _: None)
    return proof


class Inner(torch.nn.Module):
    """A checkpoint's part, one scope below the wrapper."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.gain).square().sqrt().tanh()


class Wrapper(torch.nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.inner = Inner(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) + 1


X = torch.linspace(-2, 2, 16).reshape(2, 8)


def test_what_would_overflow_is_measured_and_kept_in_float32(tmp_path: Path):
    proof = made(tmp_path, Wrapper(1000.0), X)
    assert any(one.why.startswith("reaches 4e+06; float16 ends at 65504") for one in proof.kept)


def test_where_nothing_overflows_only_our_own_processing_stays(tmp_path: Path):
    proof = made(tmp_path, Wrapper(1.0), X)
    assert [one.why for one in proof.kept] == ["pre- and post-processing around the model"]


def test_without_the_measurement_the_rounded_proof_would_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("clavilux.export.graphs.float16.measure_ranges", lambda *_: {})
    monkeypatch.setattr(torch.Tensor, "tanh", lambda x: x)
    with pytest.raises(ExportError, match="rows, float16: the exported graph gives NaN or infinity"):
        made(tmp_path, Wrapper(1000.0), X)


def test_numbers_that_are_not_finite_within_the_graph_are_refused(tmp_path: Path):
    with pytest.raises(ExportError, match=r"rows: .* is NaN or infinite; expected finite numbers throughout"):
        made(tmp_path, Wrapper(1e30), X)


@pytest.mark.parametrize("upcast", [True, False])
def test_a_unet_that_upcasts_its_attention_keeps_its_scores(tmp_path: Path, upcast: bool):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
        upcast_attention=upcast,
    ).eval()
    proof = denoiser_proof(tmp_path, unet)
    scores = [one for one in proof.kept if "upcast_attention" in one.why]
    assert bool(scores) is upcast
    assert all("Softmax" in one.operators and "MatMul" in one.operators for one in scores)


def denoiser_proof(folder: Path, unet: UNet2DConditionModel) -> Proof:
    random = np.random.default_rng(0)
    shapes: Mapping[str, tuple[int, ...]] = {"sample": (1, 4, 8, 8), "noise": (1, 4, 8, 8), "tokens": (1, 5, WIDTH)}
    inputs = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    inputs["coefficients"] = np.array([[500, 0.9, -0.3, 0.8, 0.2, 0.1]], np.float32)
    graph = DenoiserGraph(unet)
    with torch.inference_mode():
        outputs = graph(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    proof = finished(folder, DENOISER_GRAPH, graph, Case(inputs, [output.numpy() for output in outputs]))
    assert len(open_session(folder / "denoiser.onnx").run(inputs)) == 2
    return proof
