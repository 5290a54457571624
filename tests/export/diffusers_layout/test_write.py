"""The plain parts of a pipeline in optimum's layout. `test_optimum` loads them with optimum itself."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from clavilux.export.checkpoints.load import load_text_encoder, load_unet, load_vae
from clavilux.export.diffusers_layout.write import FOLDER, copy_tokenizer
from clavilux.export.parts import Parts
from clavilux.export.phases import Phases
from clavilux.export.plan import make_plan
from clavilux.export.proof import Proof
from clavilux.export.work.resume import FinishedPhases
from clavilux.export.work.staging import WorkFolder
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from tests.tiny import WIDTH, tiny_options, tiny_sources, vocabulary

PARTS = ("unet", "vae_decoder", "vae_encoder", "text_encoder")

PORTS = {
    "unet": {
        "sample": ["batch_size", 4, "height", "width"],
        "timestep": [],
        "encoder_hidden_states": ["batch_size", "sequence_length", WIDTH],
        "out_sample": ["batch_size", 4, "height", "width"],
    },
    "vae_decoder": {
        "latent_sample": ["batch_size", 4, "latent_height", "latent_width"],
        "sample": ["batch_size", 3, "latent_height * 8", "latent_width * 8"],
    },
    "vae_encoder": {
        "sample": ["batch_size", 3, "sample_height", "sample_width"],
        "latent_sample": ["batch_size", 4, "sample_height / 8", "sample_width / 8"],
    },
    "text_encoder": {
        "input_ids": ["batch_size", "sequence_length"],
        "last_hidden_state": ["batch_size", "sequence_length", WIDTH],
        "pooler_output": ["batch_size", WIDTH],
    },
}
"""Ports that optimum-onnx 0.1.0 writes, but that it cannot export TAESD: there it is what its pipelines read."""


@pytest.fixture(scope="module")
def written(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Proof]:
    work, proof = WorkFolder(tmp_path_factory.mktemp("layout")), Proof()
    parts = Parts(make_plan(tiny_sources(tiny_checkpoints), tiny_options()), lambda _: None)
    Phases(parts, work).layout(proof)
    return work.bundle / FOLDER, proof


@pytest.fixture(scope="module")
def layout(written: tuple[Path, Proof]) -> Path:
    return written[0]


def test_every_graph_has_its_proof(written: tuple[Path, Proof]):
    proved = {(figure.component, figure.figure) for figure in written[1].figures}
    assert proved == {(f"diffusers {part}", gate) for part in PARTS for gate in ("max_abs_error", "relative_error")}


@pytest.mark.parametrize("part", PARTS)
def test_a_graph_has_optimums_names_and_axes(layout: Path, part: str):
    graph = onnx.load(layout / part / "model.onnx").graph
    found = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert found == PORTS[part]


def run(layout: Path, part: str, **inputs: NDArray[np.generic]) -> NDArray[np.float32]:
    return open_session(layout / part / "model.onnx").run(inputs)[0]


def test_the_unet_takes_any_batch_prompt_and_size(layout: Path, tiny_checkpoints: Path):
    random = np.random.default_rng(0)
    sample, prompt = (random.standard_normal(shape).astype(np.float32) for shape in ((3, 4, 6, 10), (3, 48, WIDTH)))
    time = np.array(7, np.float32)
    unet = load_unet(tiny_checkpoints / "pipeline" / "unet")
    with torch.inference_mode():
        expected = unet(*map(torch.from_numpy, (sample, time, prompt)), return_dict=False)[0]
    found = run(layout, "unet", sample=sample, timestep=time, encoder_hidden_states=prompt)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_the_autoencoder_takes_any_batch_and_size(layout: Path, tiny_checkpoints: Path):
    vae = load_vae(tiny_checkpoints / "pipeline" / "vae", "AutoencoderTiny")
    planes = np.random.default_rng(0).uniform(-1, 1, (3, 3, 24, 40)).astype(np.float32)
    with torch.inference_mode():
        latents = vae.encode(torch.from_numpy(planes)).latents
        decoded = vae.decode(latents, return_dict=False)[0]
    np.testing.assert_allclose(run(layout, "vae_encoder", sample=planes), latents.numpy(), atol=1e-5)
    np.testing.assert_allclose(run(layout, "vae_decoder", latent_sample=latents.numpy()), decoded.numpy(), atol=1e-5)


def test_the_text_encoder_takes_prompts_of_any_length(layout: Path, tiny_checkpoints: Path):
    ids = np.random.default_rng(0).integers(0, len(vocabulary()), (3, 11))
    encoder = load_text_encoder(tiny_checkpoints / "pipeline" / "text_encoder")
    with torch.inference_mode():
        expected = encoder(input_ids=torch.from_numpy(ids)).last_hidden_state
    np.testing.assert_allclose(run(layout, "text_encoder", input_ids=ids), expected.numpy(), atol=1e-5)


def test_the_index_names_classes_that_there_are(layout: Path):
    index = json.loads((layout / "model_index.json").read_text())
    parts = {name: entry for name, entry in index.items() if isinstance(entry, list)}
    for library, kind in parts.values():
        assert library is None or hasattr(importlib.import_module(library), kind)
    assert {name for name, (library, _) in parts.items() if library} == {
        *("unet", "vae", "scheduler", "text_encoder", "tokenizer")
    }


@pytest.mark.parametrize("part", PARTS)
def test_each_graph_lies_beside_its_configuration(layout: Path, part: str):
    config = json.loads((layout / part / "config.json").read_text())
    assert config.get("_class_name") or config["model_type"]
    assert "_name_or_path" not in config


def test_no_file_tells_of_this_machine(layout: Path, tiny_checkpoints: Path):
    for path in layout.rglob("*.*"):
        if path.is_file():
            assert str(tiny_checkpoints).encode() not in path.read_bytes()
            assert b".py" not in path.read_bytes()


def test_a_vocabulary_in_one_file_is_written_apart_too(tiny_checkpoints: Path, tmp_path: Path):
    published = tiny_checkpoints / "pipeline" / "tokenizer"
    AutoTokenizer.from_pretrained(published, use_fast=True).save_pretrained(tmp_path / "whole")
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "whole" / name).unlink(missing_ok=True)
    copy_tokenizer(tmp_path / "whole", tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "vocab.json").read_text()) == vocabulary()
    assert Tokenizer.from_file(str(tmp_path / "copy" / "tokenizer.json")).get_vocab_size() == len(vocabulary())


def finished(folder: Path) -> FinishedPhases:
    for name in ("finished", "bundle"):
        (folder / name).mkdir(exist_ok=True)
    return FinishedPhases(folder / "finished", folder / "bundle", "key", lambda _: None)


def test_the_finished_phases_know_the_files_of_a_layout(tmp_path: Path):
    made = []

    def make(_: Proof) -> dict[str, NDArray[np.float32]]:
        made.append(1)
        (tmp_path / "bundle" / FOLDER / "unet").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / FOLDER / "unet" / "model.onnx").write_bytes(b"graph")
        return {}

    for _ in range(2):
        one = finished(tmp_path)
        one.phase("layout", make, (FOLDER,))
        assert list(one.phases["layout"].files) == [f"{FOLDER}/unet/model.onnx"]
    assert len(made) == 1
    (tmp_path / "bundle" / FOLDER / "unet" / "model.onnx").write_bytes(b"other")
    finished(tmp_path).phase("layout", make, (FOLDER,))
    assert len(made) == 2


def test_an_unknown_layout_is_refused(tiny_checkpoints: Path):
    with pytest.raises(ExportError, match="the layout is 'keras'; expected one of diffusers"):
        make_plan(tiny_sources(tiny_checkpoints), replace(tiny_options(), layout="keras"))
