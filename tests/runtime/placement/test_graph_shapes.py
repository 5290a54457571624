"""A bundle's graphs as execution providers see them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.errors import BundleError
from clavilux.runtime.files import FileEntry
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.session import ShapeRange

PARTS = ("audio_encoder.onnx", "denoiser.onnx", "decoder.onnx")


@pytest.fixture(scope="module")
def plain(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture(scope="module")
def flexible(flexible_bundle: Path) -> Bundle:
    return Bundle.open(flexible_bundle)


def open_inputs(path: Path) -> set[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return {value.name for value in graph.input if any(axis.dim_param for axis in value.type.tensor_type.shape.dim)}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("which", ["plain", "flexible"])
def test_every_input_with_open_axes_has_its_range(which: str, name: str, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(which)
    graph = graph_file(bundle, name)
    assert set(graph.shapes) == open_inputs(graph.path)


def test_the_encoder_takes_two_frames_to_a_minute_of_a_clip(plain: Bundle) -> None:
    graph = graph_file(replace(plain, audio=replace(plain.audio, lead_in="nothing")), PARTS[0])
    assert graph.shapes == {"features": ShapeRange((1, 2, 80), (1, 198, 80), (1, 5998, 80))}
    assert (graph.axes, graph.closed_axes) == ({"frames": 198}, {})


def test_the_encoder_takes_nothing_but_whole_windows_where_silence_fills_them(plain: Bundle) -> None:
    whole = (1, 198, 80)
    graph = graph_file(replace(plain, audio=replace(plain.audio, lead_in="silence")), PARTS[0])
    assert graph.shapes == {"features": ShapeRange(whole, whole, whole)}
    assert graph.closed_axes == {"frames": 198}


@pytest.mark.parametrize("name", PARTS)
def test_axes_are_called_what_the_graph_calls_them(plain: Bundle, name: str) -> None:
    inputs = onnx.load(plain.path(name), load_external_data=False).graph.input
    named = {axis.dim_param for value in inputs for axis in value.type.tensor_type.shape.dim}
    assert set(graph_file(plain, name).axes) <= named


def test_latents_range_over_sizes_and_batches(flexible: Bundle) -> None:
    found = graph_file(flexible, "decoder.onnx").shapes["latents"]
    assert found == ShapeRange((1, 4, 2, 2), (1, 4, 8, 8), (4, 4, 16, 16))


def test_a_batch_alone_leaves_the_sides_as_they_are(flexible: Bundle) -> None:
    found = graph_file(replace(flexible, sizes=None), "denoiser.onnx").shapes
    assert found["sample"] == ShapeRange((1, 4, 8, 8), (1, 4, 8, 8), (4, 4, 8, 8))
    assert found["negative"].largest == (4, flexible.tokens.count, flexible.tokens.width)


def test_residual_guidance_takes_latents_for_its_anchor(flexible: Bundle) -> None:
    residual = replace(flexible, guidance=GuidanceSpec("once", 2.0), batch=1)
    found = graph_file(residual, "denoiser.onnx").shapes
    assert set(found) == {"sample", "noise", "anchor"}


def test_other_graphs_have_closed_axes(flexible: Bundle) -> None:
    assert graph_file(flexible, "encoder_image.onnx").shapes == {}


def test_the_hash_is_that_of_the_graph_and_its_weights(plain: Bundle) -> None:
    name = "denoiser.onnx"
    assert graph_file(plain, name).sha256 == plain.files[name].sha256
    weights = FileEntry(1, "f" * 64)
    split = replace(plain, files={**plain.files, f"{name}.data": weights})
    both = plain.files[name].sha256 + weights.sha256
    assert graph_file(split, name).sha256 == hashlib.sha256(both.encode()).hexdigest()


def test_a_graph_that_is_not_there_is_named(plain: Bundle) -> None:
    with pytest.raises(BundleError, match=r"has no encoder_image\.onnx"):
        graph_file(plain, "encoder_image.onnx")
