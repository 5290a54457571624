"""Opening and writing bundles."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from clavilux.runtime.bundle.bundle import Bundle, write_conditioning, write_manifest
from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.bundle.manifest_json import parse_manifest
from clavilux.runtime.errors import BundleError
from clavilux.runtime.files import describe_file
from tests.runtime.bundle.manifests import COUNT, WIDTH, conditioning, document, write_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "small")


def test_an_opened_bundle_has_the_manifests_data(folder: Path):
    bundle = Bundle.open(folder)
    assert (bundle.name, bundle.tokens.count, bundle.picture.width) == ("small", COUNT, 128)
    assert bundle.schedule.timesteps == {1: (3.0,), 2: (3.0, 1.5)}


def test_a_bundle_opens_from_a_string(folder: Path):
    assert Bundle.open(str(folder)).folder == folder


def test_embeddings_come_back_as_they_were_written(folder: Path):
    written, read = conditioning(), Bundle.open(folder).conditioning
    for name in ("bos", "negative", "idle", "token_mean", "token_std", "concepts"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
        assert getattr(read, name).dtype == np.float32


@pytest.mark.parametrize(("largest", "stored"), [(6e4, np.float16), (7e4, np.float32)])
def test_concepts_are_halved_on_disk_where_that_holds_them(tmp_path: Path, largest: float, stored: type):
    named = np.linspace(-1, 1, 2 * (COUNT - 1) * WIDTH, dtype=np.float32).reshape(2, COUNT - 1, WIDTH)
    named[0, 0, 0] = largest
    write_conditioning(tmp_path, replace(conditioning(), concepts=named))
    kept = load_file(tmp_path / "conditioning.safetensors")
    assert {name for name, array in kept.items() if array.dtype == np.float16} == (
        {"concepts"} if stored is np.float16 else set()
    )
    np.testing.assert_allclose(kept["concepts"].astype(np.float32), named, rtol=1e-3)


def test_embeddings_are_read_only(folder: Path):
    with pytest.raises(ValueError, match="read-only"):
        Bundle.open(folder).conditioning.bos[0] = 1


def test_without_concepts_there_are_no_concept_embeddings(tmp_path: Path):
    folder = write_bundle(tmp_path / "plain", document("concepts"))
    bundle = Bundle.open(folder)
    assert (bundle.concepts, bundle.conditioning.concepts) == ((), None)


def test_conditioning_can_be_written_without_concepts(tmp_path: Path):
    write_conditioning(tmp_path, conditioning(concepts=0))
    assert (tmp_path / "conditioning.safetensors").stat().st_mode & 0o044 == 0o044


def test_path_names_a_listed_file(folder: Path):
    assert Bundle.open(folder).path("denoiser.onnx").read_bytes() == b"graph of denoiser.onnx"


def test_path_refuses_what_is_not_listed(folder: Path):
    with pytest.raises(BundleError, match=r"has no ../secret; it has audio_encoder.onnx"):
        Bundle.open(folder).path("../secret")


def test_files_beside_the_listed_ones_do_not_matter(folder: Path):
    (folder / "README.md").write_text("a model card")
    assert "README.md" not in Bundle.open(folder).files


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(BundleError, match=r"nowhere is missing; expected a folder"):
        Bundle.open(tmp_path / "nowhere")


def test_a_file_is_no_bundle(tmp_path: Path):
    (tmp_path / "song.wav").write_bytes(b"")
    with pytest.raises(BundleError, match=r"song.wav is a file; expected a folder"):
        Bundle.open(tmp_path / "song.wav")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path):
    with pytest.raises(BundleError, match=r"has no bundle.json"):
        Bundle.open(tmp_path)


def test_a_manifest_must_be_text(folder: Path):
    (folder / "bundle.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(BundleError, match="is not UTF-8 text"):
        Bundle.open(folder)


def test_a_huge_manifest_is_not_read(folder: Path):
    with (folder / "bundle.json").open("r+b") as file:
        file.truncate(2**25)
    with pytest.raises(BundleError, match="has 33554432 bytes; expected at most 16777216"):
        Bundle.open(folder)


def test_a_manifest_that_cannot_be_read_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(BundleError, match=r"bundle.json cannot be read: Permission denied"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["audio_encoder.onnx", "denoiser.onnx", "decoder.onnx", "conditioning.safetensors"])
def test_every_required_file_must_be_listed(folder: Path, name: str):
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["files"][name]
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=f"does not list {name}"):
        Bundle.open(folder)


def test_a_text_encoder_needs_its_tokenizer(tmp_path: Path):
    folder = write_bundle(tmp_path / "wordy", None, "text_encoder.onnx")
    with pytest.raises(BundleError, match=r"does not list tokenizer.json"):
        Bundle.open(folder)


def test_a_text_encoder_with_its_tokenizer_is_welcome(tmp_path: Path):
    folder = write_bundle(tmp_path / "wordy", None, "text_encoder.onnx", "tokenizer.json")
    assert "tokenizer.json" in Bundle.open(folder).files


def test_a_missing_file_is_named(folder: Path):
    (folder / "decoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"decoder.onnx is missing"):
        Bundle.open(folder)


def test_a_cut_file_is_named_with_both_sizes(folder: Path):
    (folder / "decoder.onnx").write_bytes(b"graph")
    with pytest.raises(BundleError, match=r"decoder.onnx has 5 bytes; expected 21"):
        Bundle.open(folder)


def test_a_changed_file_is_found_by_its_hash(folder: Path):
    (folder / "decoder.onnx").write_bytes(b"Graph of decoder.onnx")
    with pytest.raises(BundleError, match=r"decoder.onnx has sha256 [0-9a-f]{12}\.\.\.; expected"):
        Bundle.open(folder)


def test_a_file_that_cannot_be_read_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(_: Path) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("clavilux.runtime.bundle.bundle.describe_file", refuse)
    with pytest.raises(BundleError, match="cannot be read: Input/output error"):
        Bundle.open(folder)


def rewrite_conditioning(folder: Path, **changes: np.ndarray | None) -> None:
    """Replace arrays of the bundle's conditioning, or take them out, and record the new hash."""
    arrays = {name: array for name, array in (vars(conditioning()) | changes).items() if array is not None}
    save_file(arrays, folder / "conditioning.safetensors")
    record(folder, "conditioning.safetensors")


def record(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"][name] = vars(describe_file(folder / name))
    (folder / "bundle.json").write_text(json.dumps(manifest))


def test_conditioning_must_be_safetensors(folder: Path):
    (folder / "conditioning.safetensors").write_bytes(b"not tensors at all")
    record(folder, "conditioning.safetensors")
    with pytest.raises(BundleError, match="is not a safetensors file"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["bos", "negative", "idle", "token_mean", "token_std", "concepts"])
def test_a_missing_embedding_is_named_with_its_shape(folder: Path, name: str):
    rewrite_conditioning(folder, **{name: None})
    with pytest.raises(BundleError, match=rf"has no '{name}'; expected float32 of shape \["):
        Bundle.open(folder)


def test_an_embedding_of_another_shape_is_refused(folder: Path):
    rewrite_conditioning(folder, idle=np.zeros((COUNT, WIDTH + 1), np.float32))
    with pytest.raises(BundleError, match=r"'idle' is float32 of shape \[3, 5\]; expected float32 of shape \[3, 4\]"):
        Bundle.open(folder)


def test_an_embedding_of_another_type_is_refused(folder: Path):
    rewrite_conditioning(folder, bos=np.zeros(WIDTH, np.float64))
    with pytest.raises(BundleError, match="'bos' is float64"):
        Bundle.open(folder)


def test_an_embedding_with_nan_is_refused(folder: Path):
    rewrite_conditioning(folder, bos=np.full(WIDTH, np.nan, np.float32))
    with pytest.raises(BundleError, match="'bos' holds NaN or infinity"):
        Bundle.open(folder)


@pytest.fixture
def lit(tmp_path: Path) -> Path:
    """A bundle that paints light."""
    return write_bundle(tmp_path / "lit", document("light", True))


def test_a_bundle_that_paints_light_has_a_row_for_each_number(lit: Path):
    rows = np.arange(len(LIGHT_NUMBERS) * WIDTH, dtype=np.float32).reshape(-1, WIDTH)
    rewrite_conditioning(lit, light=rows)
    bundle = Bundle.open(lit)
    assert bundle.light
    assert bundle.conditioning.light is not None
    np.testing.assert_array_equal(bundle.conditioning.light, rows)
    assert not bundle.conditioning.light.flags.writeable


def test_a_bundle_that_says_nothing_of_light_has_none(folder: Path):
    bundle = Bundle.open(folder)
    assert (bundle.light, bundle.conditioning.light) == (False, None)


def test_rows_of_light_that_are_missing_are_named_with_their_shape(lit: Path):
    with pytest.raises(BundleError, match=r"has no 'light'; expected float32 of shape \[9, 4\]"):
        Bundle.open(lit)


def test_rows_of_light_of_another_shape_are_refused(lit: Path):
    rewrite_conditioning(lit, light=np.zeros((8, WIDTH), np.float32))
    with pytest.raises(BundleError, match=r"'light' is float32 of shape \[8, 4\]; expected float32 of shape \[9, 4\]"):
        Bundle.open(lit)


def test_rows_of_light_that_a_bundle_does_not_tell_of_are_left_alone(folder: Path):
    rewrite_conditioning(folder, light=np.zeros((9, WIDTH), np.float32))
    assert Bundle.open(folder).conditioning.light is None


def test_a_manifest_that_could_not_be_read_back_is_not_written(folder: Path, tmp_path: Path):
    manifest = parse_manifest((folder / "bundle.json").read_text())
    object.__setattr__(manifest, "name", "two\nlines")
    with pytest.raises(BundleError, match="name"):
        write_manifest(tmp_path, manifest)
    assert not (tmp_path / "bundle.json").exists()


def test_an_exported_bundle_opens(tiny_bundle: Path):
    assert Bundle.open(tiny_bundle).latents.height == 8
