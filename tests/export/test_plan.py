"""Plans that are settled, or refused, before any weight is read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from clavilux.export.checkpoints.load import Sources
from clavilux.export.models.feature_extractor import FeatureSettings
from clavilux.export.options import Options
from clavilux.export.plan import latent_shapes, make_plan, opened, sources_for_manifest
from clavilux.export.spec import guided_denoiser
from clavilux.runtime.bundle.manifest import GuidanceSpec, LatentSpec, SizeSpec, Source
from clavilux.runtime.errors import ExportError
from tests.tiny import WIDTH, WINDOW_SAMPLES, tiny_options, tiny_sources, vocabulary


@pytest.fixture
def checkpoints(tiny_checkpoints: Path, tmp_path: Path) -> Path:
    """A copy of the configurations and the vocabulary, without weights."""
    for path in (*tiny_checkpoints.rglob("*config.json"), *(tiny_checkpoints / "pipeline" / "tokenizer").iterdir()):
        target = tmp_path / "set" / path.relative_to(tiny_checkpoints)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "set"


def change(folder: Path, file: str = "config.json", **values: Any) -> None:
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | values))


def refusal(sources: Sources, options: Options) -> str:
    with pytest.raises(ExportError) as caught:
        make_plan(sources, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plan_needs_no_weights(checkpoints: Path):
    plan = make_plan(tiny_sources(checkpoints), tiny_options())
    assert (plan.width, plan.frames, plan.latents) == (WIDTH, 200, LatentSpec(4, 8, 8))


def test_the_encoder_tells_what_it_heard_and_the_options_go_before_it(checkpoints: Path):
    told = {"window_seconds": 1.5, "lead_in": "silence", "padding_value": 1}
    (checkpoints / "encoder" / "preprocessor_config.json").write_text(json.dumps(told))
    sources, untold = tiny_sources(checkpoints), replace(tiny_options(), window_samples=None)
    assert make_plan(sources, untold).features == FeatureSettings(1, 24_000, "silence")
    chosen = replace(tiny_options(), lead_in="nothing")
    assert make_plan(sources, chosen).features == FeatureSettings(1, WINDOW_SAMPLES, "nothing")


def test_pictures_need_not_be_square(checkpoints: Path):
    plan = make_plan(tiny_sources(checkpoints), replace(tiny_options(), picture=(64, 96)))
    assert plan.latents == LatentSpec(4, 8, 12)


def test_an_encoder_and_a_unet_of_different_widths_are_refused(checkpoints: Path):
    change(checkpoints / "pipeline" / "unet", cross_attention_dim=768)
    message = refusal(tiny_sources(checkpoints), tiny_options())
    assert f"takes tokens 768 wide, the encoder gives {WIDTH}; expected equal widths" in message


def test_a_text_model_in_place_of_the_encoder_is_refused(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), encoder=checkpoints / "pipeline" / "text_encoder")
    assert "is a 'clip_text_model' model; expected 'wav2vec2-bert'" in refusal(sources, tiny_options())


def test_an_encoder_without_adapter_is_refused(checkpoints: Path):
    change(checkpoints / "encoder", add_adapter=False)
    assert "has no adapter" in refusal(tiny_sources(checkpoints), tiny_options())


def test_a_missing_scheduler_is_refused(checkpoints: Path):
    shutil.rmtree(checkpoints / "pipeline" / "scheduler")
    message = refusal(tiny_sources(checkpoints), tiny_options())
    assert message.startswith("scheduler")
    assert "does not exist" in message


def test_a_model_in_place_of_the_scheduler_is_refused(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), scheduler=checkpoints / "pipeline" / "vae")
    assert "has no scheduler_config.json" in refusal(sources, tiny_options())


def test_another_class_in_place_of_the_unet_is_refused(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), unet=checkpoints / "pipeline" / "vae")
    assert "is a 'AutoencoderTiny'; expected 'UNet2DConditionModel'" in refusal(sources, tiny_options())


def test_another_class_in_place_of_the_vae_is_refused(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), vae=checkpoints / "pipeline" / "unet")
    assert "expected AutoencoderKL or AutoencoderTiny" in refusal(sources, tiny_options())


@pytest.mark.parametrize("key", ["in_channels", "out_channels"])
def test_a_unet_with_other_channels_than_the_vae_is_refused(checkpoints: Path, key: str):
    change(checkpoints / "pipeline" / "unet", **{key: 9})
    assert f"has {key} 9, the vae has 4 latent channels" in refusal(tiny_sources(checkpoints), tiny_options())


@pytest.mark.parametrize(("key", "value"), [("addition_embed_type", "text_time"), ("time_cond_proj_dim", 256)])
def test_a_unet_that_wants_more_than_tokens_is_refused(checkpoints: Path, key: str, value: object):
    change(checkpoints / "pipeline" / "unet", **{key: value})
    assert f"({key}); expected a UNet of the SD 1.x or 2.x family" in refusal(tiny_sources(checkpoints), tiny_options())


def test_a_text_encoder_of_another_width_is_refused(checkpoints: Path):
    change(checkpoints / "pipeline" / "text_encoder", hidden_size=768)
    assert "text encoder" in refusal(tiny_sources(checkpoints), tiny_options())


def test_something_else_in_place_of_the_text_encoder_is_refused(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), text_encoder=checkpoints / "encoder")
    assert "is a 'wav2vec2-bert' model; expected clip_text_model or clip" in refusal(sources, tiny_options())


def test_without_text_encoder_and_conditioning_there_is_no_bos(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), text_encoder=None, tokenizer=None)
    assert "there is no BOS embedding" in refusal(sources, tiny_options())


def test_a_given_bos_stands_in_for_the_text_encoder(checkpoints: Path, tmp_path: Path):
    save_file({"bos": np.zeros(WIDTH, np.float32)}, tmp_path / "given.safetensors")
    given = tmp_path / "given.safetensors"
    sources = replace(tiny_sources(checkpoints), text_encoder=None, tokenizer=None, conditioning=given)
    assert make_plan(sources, tiny_options()).text is None


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"window_samples": 32001}, "the window has 32001 samples; expected a multiple of 160"),
        ({"window_samples": 480}, "the window has 480 samples; expected 560 or more"),
        ({"hop_samples": 0}, "the hop has 0 samples; expected a multiple of 160"),
        ({"hop_samples": 64_000}, "the hop \\(64000\\) is longer than the window \\(32000\\)"),
        ({"storage": "int4"}, "the storage is 'int4'; expected one of float32, float16"),
        ({"picture": (60, 64)}, "the picture is 60x64; expected multiples of 8"),
        ({"picture": (0, 64)}, "the picture is 0x64; expected multiples of 8"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(checkpoints: Path, choice: dict, message: str):
    with pytest.raises(ExportError, match=message):
        make_plan(tiny_sources(checkpoints), replace(tiny_options(), **choice))


def test_named_concepts_without_embeddings_are_refused(checkpoints: Path):
    options = replace(tiny_options(), concepts=("dog", "cat"))
    assert "2 concepts are named, the conditioning holds 0" in refusal(tiny_sources(checkpoints), options)


def test_sources_are_named_by_their_checkpoints(checkpoints: Path):
    named = sources_for_manifest(tiny_sources(checkpoints))
    assert Source("encoder", "encoder") in named
    assert not any("/" in source.origin for source in named)


GUIDED = GuidanceSpec("once", 2.0, 0.5)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"arithmetic": "int4"}, "the arithmetic is 'int4'; expected one of float32, float16, int8"),
        ({"guidance": GuidanceSpec("both")}, "the guidance is 'both'; expected one of none, classic, once, self"),
        ({"guidance": replace(GUIDED, kind="classic")}, "the guidance is 'classic' with delta 0.5; delta is for"),
        ({"guidance": replace(GUIDED, kind="none")}, "the guidance is 'none' with delta 0.5; delta is for"),
        ({"sizes": (40, 128)}, "the size 40 does not fit sizes from 40 to 128; expected multiples of 16"),
        ({"sizes": (32, 100)}, "the size 100 does not fit"),
        ({"sizes": (96, 128)}, "the size 64 does not fit sizes from 96 to 128"),
        ({"sizes": (16, 48)}, "the size 64 does not fit sizes from 16 to 48"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(checkpoints: Path, choice: dict, message: str):
    assert message in refusal(tiny_sources(checkpoints), replace(tiny_options(), **choice))


def test_sizes_are_multiples_of_what_the_unet_and_the_vae_halve(checkpoints: Path):
    plan = make_plan(tiny_sources(checkpoints), replace(tiny_options(), sizes=(32, 128), batch=4))
    assert plan.sizes == SizeSpec(32, 128, 16)


def test_one_size_one_picture_is_no_choice_of_sizes(checkpoints: Path):
    assert make_plan(tiny_sources(checkpoints), tiny_options()).sizes is None


def test_the_plan_knows_the_length_of_a_prompt(checkpoints: Path):
    assert make_plan(tiny_sources(checkpoints), tiny_options()).count == 26


def test_a_prompt_too_long_for_the_words_is_refused_before_any_weight_is_read(checkpoints: Path):
    change(checkpoints / "encoder", num_adapter_layers=1, adapter_stride=1)
    assert "the prompt has 99 tokens, the text encoder takes 77" in refusal(tiny_sources(checkpoints), tiny_options())


def test_the_steps_to_begin_with_are_in_the_schedule(checkpoints: Path):
    plan = make_plan(tiny_sources(checkpoints), replace(tiny_options(), steps=7))
    assert max(plan.schedule.timesteps) == 7


def test_a_batch_alone_leaves_the_size_as_it_is(checkpoints: Path):
    """Expected: both sides closed, and only multiples of the vae's factor asked for, as for one picture."""
    plan = make_plan(tiny_sources(checkpoints), replace(tiny_options(), picture=(64, 72), batch=2))
    assert plan.sizes is None
    assert latent_shapes(plan) == [(1, 4, 8, 9)]


@pytest.mark.parametrize(
    ("sizes", "blocks"),
    [((16, 64), [(2, 3), (1, 1)]), ((16, 32), [(2, 2), (1, 1)]), ((32, 64), [(2, 3)]), ((48, 64), [(3, 4)])],
)
def test_graphs_are_traced_on_more_than_one_block_and_proved_on_the_smallest_size(
    checkpoints: Path, sizes: tuple[int, int], blocks: list[tuple[int, int]]
):
    picture = (sizes[1], sizes[1])
    plan = make_plan(tiny_sources(checkpoints), replace(tiny_options(), picture=picture, sizes=sizes))
    assert [(height // 2, width // 2) for *_, height, width in latent_shapes(plan)[:-1]] == blocks


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_classic_guidance_below_1_is_refused_before_any_weight_is_read(checkpoints: Path, scale: float):
    options = replace(tiny_options(), guidance=GuidanceSpec("classic", scale))
    assert "scale" in refusal(tiny_sources(checkpoints), options)


@pytest.mark.parametrize("guidance", ["none", "classic", "once"])
def test_open_sizes_leave_the_tokens_as_wide_as_they_are(checkpoints: Path, guidance: str):
    plan = make_plan(tiny_sources(checkpoints), replace(tiny_options(), sizes=(64, 128)))
    component = opened(plan, guided_denoiser(guidance))
    names = {axis.name for axis in component.open_axes}
    open_ports = {port.name for port in component.inputs if names.intersection(port.axes)}
    assert open_ports == {"sample", "noise", *({"anchor"} if guidance == "once" else ())}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "two\nlines"}, "the name is 'two\\nlines'; expected one line of text, 1 to 500 characters"),
        ({"licence": "x" * 501}, "expected one line of text, 0 to 500 characters"),
        ({"arithmetic": "float16", "storage": "float32"}, "float16 arithmetic stores its weights in float16"),
    ],
)
def test_what_no_manifest_can_say_is_refused_at_once(checkpoints: Path, changes: dict[str, Any], message: str):
    assert message in refusal(tiny_sources(checkpoints), replace(tiny_options(), **changes))


def test_a_decoder_of_blocks_counts_them_among_the_pixels_of_a_latent(checkpoints: Path):
    vae = checkpoints / "pipeline" / "vae"
    for side, levels in ((2, 3), (4, 2)):
        channels = dict.fromkeys(("in_channels", "out_channels"), 3 * side**2)
        change(vae, **channels, decoder_block_out_channels=[8] * levels)
        assert make_plan(tiny_sources(checkpoints), tiny_options()).latents == LatentSpec(4, 8, 8)


@pytest.mark.parametrize("channels", [4, 9])
def test_an_autoencoder_of_other_channels_than_blocks_have_is_refused(checkpoints: Path, channels: int):
    change(checkpoints / "pipeline" / "vae", in_channels=channels, out_channels=channels)
    message = refusal(tiny_sources(checkpoints), tiny_options())
    assert message.startswith(
        f"the vae takes {channels} channels and gives {channels}; expected 3 both ways, or 3 n * n"
    )


def test_other_programs_are_not_given_a_decoder_of_blocks(checkpoints: Path):
    vae = checkpoints / "pipeline" / "vae"
    change(vae, in_channels=12, out_channels=12, decoder_block_out_channels=[8] * 3)
    assert refusal(tiny_sources(checkpoints), replace(tiny_options(), layout="diffusers")) == (
        f"vae {vae} makes blocks of 2x2 pixels, which programs of the layout 'diffusers' do not know; expected one of "
        "3 channels, or no layout"
    )


def test_a_part_that_a_local_pipeline_lacks_is_not_looked_for_on_the_hub(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), vae=str(checkpoints / "pipeline" / "decoder"))
    assert "pipeline has no folder decoder" in refusal(sources, tiny_options())


def test_a_unet_that_pools_its_own_tokens_is_taken(checkpoints: Path):
    change(checkpoints / "pipeline" / "unet", addition_embed_type="text")
    assert make_plan(tiny_sources(checkpoints), tiny_options()).width == WIDTH


def test_the_tokenizer_tells_bos_where_no_words_can_be_typed_too(checkpoints: Path):
    change(checkpoints / "pipeline" / "text_encoder", vocab_size=len(vocabulary()) + 7, bos_token_id=0)
    for words in (True, False):
        plan = make_plan(replace(tiny_sources(checkpoints), words=words), tiny_options())
        assert plan.text is not None
        assert (plan.text.bos, plan.notes) == (vocabulary()["<|startoftext|>"], ())
        assert (plan.words is None) == (not words)


def test_without_words_a_tokenizer_may_be_missing_and_what_is_taken_is_said(checkpoints: Path):
    shutil.rmtree(checkpoints / "pipeline" / "tokenizer")
    sources = tiny_sources(checkpoints)
    assert "pipeline has no folder tokenizer" in refusal(sources, tiny_options())
    plan = make_plan(replace(sources, words=False), tiny_options())
    bos = len(vocabulary()) - 2
    assert plan.notes == (
        f"text encoder: no tokenizer tells which token is BOS; {bos} of {bos + 2} is taken, as its configuration says",
    )


def test_a_tokenizer_that_only_told_bos_is_no_source_of_the_bundle(checkpoints: Path):
    roles = [source.component for source in sources_for_manifest(replace(tiny_sources(checkpoints), words=False))]
    assert "tokenizer" not in roles
    assert "text_encoder" in roles


def test_what_configurations_leave_out_is_what_their_classes_take(checkpoints: Path):
    """Libraries save without what is usual: of the encoder in full size, its width."""
    config = checkpoints / "encoder" / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps({key: told[key] for key in told if not key.endswith("hidden_size")}))
    assert "takes tokens 32 wide, the encoder gives 1024" in refusal(tiny_sources(checkpoints), tiny_options())


def test_an_autoencoder_may_leave_out_its_blocks(checkpoints: Path):
    """AutoencoderKL's default is one block, which enlarges nothing."""
    (checkpoints / "pipeline" / "vae" / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    plan = make_plan(tiny_sources(checkpoints), tiny_options())
    assert (plan.latents, plan.vae_factor) == (LatentSpec(4, 64, 64), 1)


def test_a_unet_that_leaves_out_the_width_of_its_tokens_takes_diffusers(checkpoints: Path):
    config = checkpoints / "pipeline" / "unet" / "config.json"
    told = json.loads(config.read_text())
    del told["cross_attention_dim"]
    config.write_text(json.dumps(told))
    assert "takes tokens 1280 wide" in refusal(tiny_sources(checkpoints), tiny_options())


@pytest.mark.parametrize(
    ("sample_size", "picture"), [(8, (64, 64)), (12, (96, 96)), ([8, 12], (64, 96)), (None, (512, 512))]
)
def test_pictures_are_as_large_as_the_unet_was_trained_for(
    checkpoints: Path, sample_size: object, picture: tuple[int, int]
):
    change(checkpoints / "pipeline" / "unet", sample_size=sample_size)
    plan = make_plan(tiny_sources(checkpoints), replace(tiny_options(), picture=None))
    assert plan.picture == picture
    assert (plan.latents.height, plan.latents.width) == (picture[0] // 8, picture[1] // 8)


def test_a_size_that_is_chosen_stands(checkpoints: Path):
    change(checkpoints / "pipeline" / "unet", sample_size=96)
    assert make_plan(tiny_sources(checkpoints), tiny_options()).picture == (64, 64)


def test_an_autoencoder_of_another_family_is_refused_before_any_weight_is_read(checkpoints: Path, tmp_path: Path):
    full = {"_class_name": "AutoencoderKL", "block_out_channels": [8, 8]}
    change(checkpoints / "pipeline" / "vae", **full)
    shutil.copytree(checkpoints / "pipeline" / "vae", tmp_path / "xl")
    change(checkpoints / "pipeline" / "vae", scaling_factor=0.18215)
    change(tmp_path / "xl", scaling_factor=0.13025)
    sources = tiny_sources(checkpoints)
    message = refusal(replace(sources, vae=tmp_path / "xl"), tiny_options())
    assert "xl takes latents of SDXL (scaling_factor 0.13025), the unet makes those of SD 1.x and 2.x" in message
    change(checkpoints / "pipeline" / "vae", scaling_factor=0.13025)  # then the pipeline is of that kind
    assert make_plan(replace(sources, vae=tmp_path / "xl"), tiny_options()).notes == ()
    assert make_plan(sources, tiny_options()).notes == ()


def test_a_doubt_about_the_autoencoder_is_noted(checkpoints: Path, tmp_path: Path):
    shutil.copytree(checkpoints / "pipeline" / "vae", tmp_path / "mine")
    change(tmp_path / "mine", in_channels=3, _name_or_path="nameless")
    (note,) = make_plan(replace(tiny_sources(checkpoints), vae=tmp_path / "mine"), tiny_options()).notes
    assert "mine does not tell whose latents it takes; expected those of SD 1.x and 2.x" in note


def test_a_pipeline_of_another_family_is_named_before_anything_is_read(tmp_path: Path):
    """Expected: of a Flux folder its name, though neither encoder nor UNet are there."""
    index = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert "is a FluxPipeline" in refusal(Sources.from_pipeline(tmp_path / "encoder", str(tmp_path)), tiny_options())


def test_a_plan_notes_what_a_file_and_a_scheduler_tell(checkpoints: Path):
    sources = replace(tiny_sources(checkpoints), told={"prediction_type": "epsilon"}, notes=("of the file",))
    first, second = make_plan(sources, tiny_options()).notes
    assert first == "of the file"
    assert "has prediction_type v_prediction, its own file's marks say epsilon" in second
