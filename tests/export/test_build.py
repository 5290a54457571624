"""Exporting whole bundles, and what they compute."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline
from numpy.typing import NDArray
from safetensors.numpy import save_file

from clavilux.export import phases, plan
from clavilux.export.build import export_bundle, room_needed
from clavilux.export.checkpoints.load import load_encoder, load_text_encoder, load_unet, load_vae
from clavilux.export.models.audio_encoder import reference_tokens
from clavilux.export.models.denoiser import noise
from clavilux.export.models.evidence import LEAST
from clavilux.export.models.feature_extractor import Features
from clavilux.export.models.usual_sounds import usual_sounds
from clavilux.export.parity.figures import psnr
from clavilux.export.parity.reference_runs import RunInputs, bundle_latents
from clavilux.export.spec import AUDIO_ENCODER_GRAPH, Gate
from clavilux.runtime.bundle.bundle import Bundle, EvidenceSpec
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.sound.samples import Samples
from tests.tiny import WIDTH, WINDOW_SAMPLES, tiny_options, tiny_sources, write_scheduler

SHAPE = (1, 4, 8, 8)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def test_every_component_and_every_whole_run_has_its_proof(bundle: Bundle):
    proved = {figure.component for figure in bundle.parity}
    parts = ("audio_encoder", "text_encoder", "denoiser", "decoder")
    runs = ("1 step", "2 steps")
    expected = {*parts, *(f"{part}, stored" for part in parts)}
    assert proved == expected | {f"{what}, {run}" for what in ("latents", "picture") for run in runs}


def test_the_manifest_has_the_shapes_of_the_graphs(bundle: Bundle):
    tokens = sound_tokens(bundle, usual_sounds(WINDOW_SAMPLES, 1)[0])
    assert (1, bundle.tokens.count - 1, bundle.tokens.width) == tokens.shape
    picture = open_session(bundle.path("decoder.onnx")).run({"latents": np.zeros(SHAPE, np.float32)})[0]
    assert picture.shape == (1, bundle.picture.height, bundle.picture.width, 3)
    assert picture.dtype == np.uint8


def test_bos_stands_in_front_of_every_cached_prompt(bundle: Bundle):
    for name in ("negative", "idle", "token_mean"):
        np.testing.assert_allclose(getattr(bundle.conditioning, name)[0], bundle.conditioning.bos, atol=1e-6)


def test_the_manifest_holds_no_path_of_this_machine(second: Bundle):
    text = (second.folder / "bundle.json").read_text()
    assert str(second.folder.parent) not in text
    assert "/" not in "".join(source["origin"] for source in json.loads(text)["sources"])


def test_the_graphs_hold_no_path_of_this_machine(bundle: Bundle):
    for name in bundle.files:
        assert b".py" not in bundle.path(name).read_bytes()


def test_nothing_temporary_is_left(tiny_bundle: Path, bundle: Bundle):
    assert {path.name for path in tiny_bundle.iterdir()} == {*bundle.files, "bundle.json"}
    assert not [path for path in tiny_bundle.parent.iterdir() if path.name.startswith(".")]


def sound_tokens(bundle: Bundle, sound: Samples) -> NDArray[np.float32]:
    return open_session(bundle.path("audio_encoder.onnx")).run({"features": Features(WINDOW_SAMPLES).raw(sound)})[0]


def bundle_picture(bundle: Bundle, sound: Samples) -> NDArray[np.uint8]:
    tokens = sound_tokens(bundle, sound)
    prompt = np.concatenate([bundle.conditioning.bos[None, None], tokens], axis=1)
    denoiser = open_session(bundle.path("denoiser.onnx"))
    latents = bundle_latents(denoiser, Schedule(bundle.schedule), RunInputs(1, prompt, SHAPE))
    return open_session(bundle.path("decoder.onnx")).run({"latents": latents})[0][0]


def pipeline_picture(checkpoints: Path, sound: Samples) -> NDArray[np.uint8]:
    """Return what transformers and diffusers make of `sound`: the reference's own path, one step without guidance."""
    folder = checkpoints / "pipeline"
    text_encoder = load_text_encoder(folder / "text_encoder")
    pipeline = StableDiffusionPipeline(
        vae=load_vae(folder / "vae", "AutoencoderTiny"),
        text_encoder=text_encoder,
        tokenizer=None,
        unet=load_unet(folder / "unet"),
        scheduler=EulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    features = Features(WINDOW_SAMPLES).prepared(sound)
    (tokens,) = reference_tokens(load_encoder(checkpoints / "encoder"), [features])
    ids = torch.tensor([[text_encoder.config.bos_token_id]])
    with torch.inference_mode():
        bos = text_encoder(input_ids=ids).last_hidden_state
    prompt = torch.cat([bos, torch.from_numpy(tokens)], dim=1)
    made = pipeline(prompt_embeds=prompt, latents=noise(SHAPE, 0), num_inference_steps=1, guidance_scale=0.0)
    return np.asarray(made.images[0])


@pytest.mark.parametrize("which", range(3))
def test_a_sounds_picture_is_that_of_transformers_and_diffusers(bundle: Bundle, tiny_checkpoints: Path, which: int):
    sound = usual_sounds(WINDOW_SAMPLES, 3)[which]
    expected, found = pipeline_picture(tiny_checkpoints, sound), bundle_picture(bundle, sound)
    assert psnr(expected.astype(np.float64), found.astype(np.float64)) > 40


def test_different_sounds_give_different_pictures(bundle: Bundle):
    one, other = (bundle_picture(bundle, sound).astype(float) for sound in usual_sounds(WINDOW_SAMPLES, 2))
    assert np.abs(one - other).mean() > 2


def test_a_failing_proof_writes_no_bundle(tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    impossible = replace(AUDIO_ENCODER_GRAPH, exact=(Gate("max_abs_error", -1.0),))
    monkeypatch.setattr(phases, "AUDIO_ENCODER_GRAPH", impossible)
    with pytest.raises(ExportError, match=r"audio_encoder: max_abs_error is .*; expected at most -1"):
        export_bundle(tiny_sources(tiny_checkpoints), tmp_path / "bundle", tiny_options())
    assert list(tmp_path.iterdir()) == []


def test_without_room_nothing_is_begun(tiny_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(ExportError, match=r"needs .* while it is made, .* are free; make room"):
        export_bundle(tiny_sources(tiny_checkpoints), tmp_path / "bundle", tiny_options())
    assert list(tmp_path.iterdir()) == []


def test_the_room_needed_is_the_bundle_and_its_largest_part_twice(tiny_checkpoints: Path):
    parts = ("encoder", *(f"pipeline/{name}" for name in ("unet", "vae", "text_encoder")))
    files = [path.stat().st_size for part in parts for path in (tiny_checkpoints / part).glob("*.safetensors")]
    assert room_needed(tiny_sources(tiny_checkpoints), tiny_options()) == sum(files) + 2 * max(files)


@pytest.mark.parametrize(
    ("steps", "most", "proved"),
    [(1, 4, [1, 2]), (2, 4, [1, 2]), (3, 4, [1, 3]), (50, 4, [1, 4]), (50, 50, [1, 50]), (4, 1, [1, 2])],
)
def test_whole_runs_are_proved_for_one_step_and_for_the_usual_number(steps: int, most: int, proved: list[int]):
    assert plan.proof_steps(replace(tiny_options(), steps=steps, proof_steps=most)) == proved


def test_a_bundle_in_the_way_is_left_alone(tiny_checkpoints: Path, tiny_bundle: Path):
    with pytest.raises(ExportError, match="is there already"):
        export_bundle(tiny_sources(tiny_checkpoints), tiny_bundle, tiny_options())
    Bundle.open(tiny_bundle)


@pytest.fixture(scope="module")
def second(tiny_checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The other family: DDIM, epsilon, the full autoencoder, no words, given embeddings, weights in float32."""
    folder = tmp_path_factory.mktemp("second")
    torch.manual_seed(1)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, **blocks).save_pretrained(folder / "vae")
    write_scheduler(
        folder / "scheduler", DDIMScheduler, prediction_type="epsilon", timestep_spacing="leading", clip_sample=False
    )
    save_file({"concepts": np.ones((1, 25, WIDTH), np.float32)}, folder / "given.safetensors")
    sources = replace(
        tiny_sources(tiny_checkpoints),
        vae=folder / "vae",
        scheduler=folder / "scheduler",
        tokenizer=None,
        conditioning=folder / "given.safetensors",
    )
    told: list[str] = []
    options = replace(tiny_options("second"), storage="float32", concepts=("bell",), picture=(16, 24))
    bundle = export_bundle(sources, folder / "bundle", options, told.append)
    assert "has prediction_type epsilon, the unet's own, scheduler, has v_prediction" in told[0]
    assert told[1].startswith("text encoder: no tokenizer tells which token is BOS")
    assert [line for line in told if line.endswith(": loading")] == [
        *("text_encoder: loading", "audio_encoder: loading", "denoiser: loading", "decoder: loading")
    ]
    return bundle


def test_the_full_autoencoder_and_ddim_pass_the_same_proof(second: Bundle):
    assert (second.schedule.kind, second.latents.height, second.latents.width) == ("ddim", 8, 12)
    assert all(np.isfinite(figure.value) for figure in second.parity)


def test_without_a_tokenizer_there_are_no_words_but_there_is_bos(second: Bundle, bundle: Bundle):
    assert "text_encoder.onnx" not in second.files
    np.testing.assert_array_equal(second.conditioning.bos, bundle.conditioning.bos)


def test_given_concepts_lie_in_the_bundle(second: Bundle):
    assert second.concepts == ("bell",)
    assert LEAST <= second.evidence.similarity <= second.evidence.held_similarity <= 1.0
    assert second.evidence != EvidenceSpec()  # measured, with this encoder
    assert second.conditioning.concepts is not None


def test_stored_halves_take_less_room_than_floats(second: Bundle, bundle: Bundle):
    small, large = (one.files["audio_encoder.onnx"].bytes for one in (bundle, second))
    assert small < 0.75 * large


def test_float32_storage_equals_the_exact_graphs(second: Bundle):
    stored = [figure for figure in second.parity if figure.component.endswith("stored")]
    assert {figure.value for figure in stored if figure.figure == "relative_l2"} == {0.0}


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_checkpoints_that_may_only_be_read_may_lie_anywhere_and_stay_as_they_are(
    tiny_checkpoints: Path, tmp_path: Path
):
    """Beneath folders with spaces and accents, as a link, without leave to write: as shared caches are."""
    real = Path(shutil.copytree(tiny_checkpoints, tmp_path / "öffentliche Modelle" / "sd 2.1 (base)"))
    place = tmp_path / "my models"
    place.symlink_to(real, target_is_directory=True)
    for path in (*real.rglob("*"), real):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = states(real)
    out = export_bundle(tiny_sources(place), tmp_path / "my bundles" / "été 1", tiny_options())
    for path in (real, *real.rglob("*")):
        path.chmod(0o755)
    assert states(real) == before
    assert Bundle.open(out.folder).files.keys() == out.files.keys()
