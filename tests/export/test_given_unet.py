"""Taking in UNets that are ONNX graphs already."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from clavilux.export.build import export_bundle, room_needed
from clavilux.export.checkpoints.load import Lora, Sources
from clavilux.export.diffusers_layout.write import FOLDER
from clavilux.export.given_unet import OnnxUnet, check_onnx_unet, find_onnx_unet
from clavilux.export.models.denoiser import DenoiserGraph
from clavilux.export.options import Options
from clavilux.export.parts import Parts
from clavilux.export.phases import Phases
from clavilux.export.plan import Plan, make_plan
from clavilux.export.proof import Proof
from clavilux.export.work.resume import Arrays
from clavilux.export.work.staging import WorkFolder
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from tests.export.given_unet import SCALE, export_unet, small_graph, write_graph
from tests.tiny import WIDTH, tiny_options, tiny_sources, write_unet

SHAPE = (1, 4, 8, 8)
COUNT = 26  # tokens of the tiny bundle's prompt


@pytest.fixture(scope="module")
def exported(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny UNet, exported as optimum does."""
    return export_unet(tiny_checkpoints / "pipeline" / "unet", tmp_path_factory.mktemp("onnx") / "unet")


@pytest.fixture(scope="module")
def bundle(tiny_checkpoints: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    sources = replace(tiny_sources(tiny_checkpoints), unet=exported, tokenizer=None)
    options = replace(tiny_options("given"), layout="diffusers")
    return export_bundle(sources, tmp_path_factory.mktemp("given") / "bundle", options)


def step(coefficients: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"sample": SHAPE, "noise": SHAPE, "tokens": (1, COUNT, WIDTH), "coefficients": (1, coefficients)}
    inputs = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    inputs["coefficients"][0, 0] = 501.0
    return inputs


def test_a_given_graph_denoises_as_the_unet_that_it_was_made_of(bundle: Bundle, tiny_bundle: Path):
    found, expected = (open_session(folder / "denoiser.onnx").run(step()) for folder in (bundle.folder, tiny_bundle))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_given_graph_has_the_same_proof_as_any_unet(bundle: Bundle, tiny_bundle: Path):
    proved = {(figure.component, figure.figure) for figure in bundle.parity}
    of_sound_alone = {one for one in Bundle.open(tiny_bundle).parity if "text" not in one.component}
    assert proved >= {
        (one.component, one.figure) for one in of_sound_alone if one.component[-7:] not in ("3 steps", "4 steps")
    }


def test_a_layout_holds_the_given_graph_as_it_is(bundle: Bundle, exported: Path):
    copied = bundle.folder / FOLDER / "unet" / "model.onnx"
    assert copied.read_bytes() == (exported / "model.onnx").read_bytes()
    assert "diffusers unet" not in {figure.component for figure in bundle.parity}


def test_the_manifest_lists_no_file_of_a_layout(bundle: Bundle):
    assert set(bundle.files) == {path.name for path in bundle.folder.glob("*.*")} - {"bundle.json"}


def plan(checkpoints: Path, unet: Path, **options: Any) -> Plan:
    return make_plan(replace(tiny_sources(checkpoints), unet=unet), replace(tiny_options(), **options))


def denoise(plan: Plan, folder: Path) -> Proof:
    """Do the denoiser's phase: its steps and whole runs against the given graph in ONNX Runtime."""
    proof, work = Proof(), WorkFolder(folder)
    work.bundle.mkdir()
    work.clear_scratch()
    random = np.random.default_rng(1)
    prompt, negative = random.standard_normal((2, COUNT, WIDTH)).astype(np.float32)
    heard: Arrays = {"prompt": prompt[None], "negative": negative}
    check_onnx_unet(plan)
    Phases(Parts(plan, lambda _: None), work).denoiser(proof, heard)
    return proof


@pytest.mark.parametrize("kind", ["classic", "once", "self"])
def test_every_guidance_can_be_put_around_a_given_graph(
    tiny_checkpoints: Path, exported: Path, tmp_path: Path, kind: str
):
    proof = denoise(plan(tiny_checkpoints, exported, guidance=GuidanceSpec(kind, 3.0)), tmp_path)
    assert {figure.component for figure in proof.figures} >= {"denoiser", "latents, 2 steps"}


def test_a_given_graph_computes_in_float16_around_its_timestep(tiny_checkpoints: Path, exported: Path, tmp_path: Path):
    proof = denoise(plan(tiny_checkpoints, exported, arithmetic="float16"), tmp_path)
    reasons = " ".join(one.why for one in proof.kept)
    assert "phases of the timestep" in reasons
    assert "pre- and post-processing" in reasons
    sizes = [path.stat().st_size for path in (tmp_path / "bundle" / "denoiser.onnx", exported / "model.onnx")]
    assert sizes[0] < 0.75 * sizes[1]


@pytest.mark.parametrize("timestep", ["int64 timestep", "float[1] timestep", "int64[steps] timestep"])
def test_a_timestep_may_be_whole_or_a_vector(tiny_checkpoints: Path, tmp_path: Path, timestep: str):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet", timestep=timestep)
    proof = denoise(plan(tiny_checkpoints, unet, storage="float32"), tmp_path)
    assert max(one.value for one in proof.figures if one.figure == "max_abs_error") < 1e-5


def test_the_original_is_the_given_graph_itself(tiny_checkpoints: Path, tmp_path: Path):
    unet = OnnxUnet(write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")).open()
    sample, tokens = torch.ones(2, 4, 8, 8), torch.ones(2, COUNT, WIDTH)
    (found,) = unet(sample, torch.tensor(3.0), tokens)
    torch.testing.assert_close(found, torch.full_like(sample, float(np.cos(np.float32(3)) + SCALE)))
    assert unet.config.time_cond_proj_dim is None


def test_weights_beside_a_given_graph_are_taken_in(tiny_checkpoints: Path, tmp_path: Path):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")
    move_weights_out(unet)
    assert [path.name for path in OnnxUnet(unet).files] == ["model.onnx", "model.onnx_data"]
    denoise(plan(tiny_checkpoints, unet), tmp_path)
    (tmp_path / "scratch").rename(tmp_path / "gone")
    (unet / "model.onnx_data").unlink()
    x0, _ = open_session(tmp_path / "bundle" / "denoiser.onnx").run(step())
    assert np.isfinite(x0).all()


def move_weights_out(unet: Path) -> None:
    onnx.save(
        onnx.load(unet / "model.onnx"),
        unet / "model.onnx",
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=0,
    )


def test_rows_of_a_batch_have_their_own_timesteps_where_the_graph_takes_several(tiny_checkpoints: Path, tmp_path: Path):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet", timestep="float[batch_size] timestep")
    denoise(plan(tiny_checkpoints, unet, batch=2, storage="float32"), tmp_path)
    inputs = {name: np.repeat(array, 2, axis=0) for name, array in step().items()}
    inputs["coefficients"][:, 0] = 1.0, 999.0
    found, _ = open_session(tmp_path / "bundle" / "denoiser.onnx").run(inputs)
    with torch.inference_mode():
        expected, _ = DenoiserGraph(OnnxUnet(unet).open())(
            **{key: torch.from_numpy(one) for key, one in inputs.items()}
        )
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


REFUSALS = [
    ({"sample": "float16[batch_size, 4, height, width] sample"}, {}, r"sample is FLOAT16; .* export it in float32"),
    ({"timestep": "float16 timestep"}, {}, r"timestep is FLOAT16; expected FLOAT or INT64"),
    ({"output": "float16[batch_size, 4, height, width] out_sample"}, {}, "out_sample is FLOAT16"),
    ({"timestep": "float timestep, float[1] timestep_cond"}, {}, "takes .*timestep_cond.*; expected sample, timestep"),
    ({"opset": 17}, {}, "opset 17; expected 18 or newer"),
    ({"sample": "float[batch_size, 4, 16, 16] sample"}, {}, r"\[1, 4, 8, 8\]"),
    ({"sample": "float[1, 4, 8, 8] sample"}, {"guidance": GuidanceSpec("classic", 5.0)}, r"\[2, 4, 8, 8\]"),
    ({"sample": "float[1, 4, 8, 8] sample"}, {"sizes": (32, 128)}, r"\[1, 4, 'any', 'any'\]"),
    ({"tokens": f"float[1, 77, {WIDTH}] encoder_hidden_states"}, {}, r"\[1, 26, 32\]"),
    ({}, {"batch": 2}, "one timestep for all pictures; expected a batch of 1"),
]


@pytest.mark.parametrize(("graph", "options", "message"), REFUSALS)
def test_a_graph_that_does_not_fit_is_refused_in_one_line(
    tiny_checkpoints: Path, tmp_path: Path, graph: dict[str, Any], options: dict[str, Any], message: str
):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet", **graph)
    assert_refused(plan(tiny_checkpoints, unet, **options), message)


def assert_refused(plan: Plan, message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        check_onnx_unet(plan)
    assert "\n" not in str(caught.value)


def test_a_lora_beside_a_given_graph_is_refused(tiny_checkpoints: Path, tmp_path: Path):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")
    sources = replace(tiny_sources(tiny_checkpoints), unet=unet, lora=(Lora(tmp_path),))
    assert_refused(make_plan(sources, tiny_options()), "takes no LoRA; give the UNet as safetensors")


def test_a_graph_without_its_weights_is_refused(tiny_checkpoints: Path, tmp_path: Path):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")
    move_weights_out(unet)
    (unet / "model.onnx_data").unlink()
    assert_refused(plan(tiny_checkpoints, unet), "lacks model.onnx_data")


def test_weights_outside_the_folder_are_refused(tiny_checkpoints: Path, tmp_path: Path):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")
    move_weights_out(unet)
    (unet / "model.onnx_data").rename(tmp_path / "stolen")
    model = onnx.load(unet / "model.onnx", load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = "../stolen" if entry.key == "location" else entry.value
    onnx.save(model, unet / "model.onnx")
    assert_refused(plan(tiny_checkpoints, unet), "lacks ../stolen")


def test_what_is_no_graph_is_refused(tiny_checkpoints: Path, tmp_path: Path):
    unet = write_graph(tiny_checkpoints / "pipeline" / "unet", tmp_path / "unet")
    (unet / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert_refused(plan(tiny_checkpoints, unet), "is no ONNX graph")


def test_a_folder_that_has_weights_for_torch_too_is_no_given_graph(tmp_path: Path):
    write_unet(tmp_path / "unet")
    onnx.save(small_graph(), tmp_path / "unet" / "model.onnx")
    assert find_onnx_unet(tmp_path / "unet") is None


def test_the_room_for_a_given_graph_and_its_layout_is_counted(tiny_checkpoints: Path, exported: Path):
    sources: Sources = replace(tiny_sources(tiny_checkpoints), unet=exported)
    options: Options = tiny_options()
    size = OnnxUnet(exported).bytes
    plain, with_layout = (room_needed(sources, replace(options, layout=one)) for one in (None, "diffusers"))
    assert plain > 3 * size
    assert with_layout > plain + size
