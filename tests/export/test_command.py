"""`clavilux export` on the command line."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.export import command
from clavilux.export.build import Report
from clavilux.export.checkpoints.load import Lora
from clavilux.export.options import Options
from clavilux.export.proof import Proof
from clavilux.export.summary import how_to_play
from clavilux.export.work.resume import Made
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import EvidenceSpec, GuidanceSpec, KeptOperators
from clavilux.runtime.errors import ExportError, ProviderError
from clavilux.runtime.files import FileEntry

ALONE = ["out", "--encoder", "e/e", "--unet", "u/u", "--scheduler", "s/s", "--vae", "v/v"]
CONCEPTS = ["--concepts", "dog, cat", "--evidence", "0.4,0.7"]
PIPELINE = ["out", "--encoder", "e/e", "--diffusion", "stabilityai/sd-turbo"]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([*words])


def test_the_defaults_are_those_of_the_reference():
    options = command.options_from(parse(*PIPELINE))
    assert options == Options(name="out", licence="unspecified")
    assert (options.window_samples, options.hop_samples, options.picture) == (None, 3200, None)


def test_every_choice_arrives():
    words = (
        "--name n --licence MIT --size 64x96 --window 2 --hop 0.1 --schedule lcm --spacing leading --storage float32"
    )
    options = command.options_from(
        parse(*PIPELINE, *words.split(), "--concepts", "dog, cat", "--evidence", "0.4,0.7", "--overwrite")
    )
    assert options == Options(
        name="n",
        licence="MIT",
        window_samples=32_000,
        hop_samples=1600,
        picture=(64, 96),
        storage="float32",
        schedule="lcm",
        spacing="leading",
        concepts=("dog", "cat"),
        evidence=EvidenceSpec(similarity=0.4, held_similarity=0.7),
        overwrite=True,
    )


def test_a_pipeline_names_all_its_parts():
    sources = command.sources_from(parse(*PIPELINE))
    assert sources.unet == "stabilityai/sd-turbo/unet"
    assert sources.tokenizer == "stabilityai/sd-turbo/tokenizer"


def test_a_part_replaces_the_pipelines():
    sources = command.sources_from(parse(*PIPELINE, "--vae", "madebyollin/taesd"))
    assert (sources.vae, sources.unet) == ("madebyollin/taesd", "stabilityai/sd-turbo/unet")


def test_parts_can_stand_alone():
    sources = command.sources_from(parse(*ALONE, "--conditioning", "c.safetensors"))
    assert (sources.vae, sources.text_encoder, sources.conditioning) == ("v/v", None, "c.safetensors")


def test_without_text_bos_still_comes_from_the_text_encoder_and_the_tokenizer():
    sources = command.sources_from(parse(*PIPELINE, "--no-text"))
    assert (sources.words, command.sources_from(parse(*PIPELINE)).words) == (False, True)
    assert sources.text_encoder == "stabilityai/sd-turbo/text_encoder"
    assert sources.tokenizer == "stabilityai/sd-turbo/tokenizer"


def test_a_missing_part_is_named():
    with pytest.raises(ExportError, match="no --scheduler; give --diffusion, or all of --unet, --scheduler, --vae"):
        command.sources_from(parse("out", "--encoder", "e/e", "--unet", "u/u", "--vae", "v/v"))


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        ("--size", "large", "'large' is no size; expected for example 512"),
        ("--size", "64x", "'64x' is no size"),
        ("--window", "long", "'long' is no time; expected seconds"),
        ("--hop", "inf", "'inf' is no time"),
        ("--sizes", "1024-384", "'1024-384' are no sizes; expected for example 384-1024"),
        ("--batch", "0", "'0'; expected a whole number, 1 to 1000"),
    ],
)
def test_a_word_that_is_no_value_is_refused(word: str, value: str, message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        parse(*PIPELINE, word, value)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_running_prints_the_proof_and_the_place(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def export(sources, out, options, progress, announce) -> Report:
        announce("the plan")
        progress("denoiser: tracing")
        entries = {"denoiser.onnx": FileEntry(2_000_000, "")}
        kept = KeptOperators("denoiser", "Sin, Cos", 2, "phases")
        bundle = Bundle.open(tiny_bundle)
        precise = replace(bundle, precision=replace(bundle.precision, kept=(kept,)))
        return Report(precise, {"denoiser": Made(entries, {}, Proof(), 61.0, 3_000_000_000)})

    monkeypatch.setattr("clavilux.export.build.run_export", export)
    assert command.run(parse(*PIPELINE)) == 0
    printed = capsys.readouterr()
    assert "denoiser: tracing" in printed.err
    assert "relative_error" in printed.out
    assert re.search(r"denoiser +2 in float32 +phases +Sin, Cos", printed.out)
    assert re.search(r"denoiser +61 +2\.0 +3\.00", printed.out)
    assert printed.out.startswith("the plan\n")
    assert f"\n{tiny_bundle}\nnow: clavilux live --bundle {tiny_bundle}\n" in printed.out


def test_a_stopped_export_says_where_it_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clavilux.export.build.run_export", stop)
    with pytest.raises(KeyboardInterrupt):
        command.run(parse(*PIPELINE))
    assert ".out.export keeps what is finished, and the same command goes on from there" in capsys.readouterr().err


def test_a_device_builds_its_engines_at_once(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[tuple[Path, str]] = []
    made = Report(Bundle.open(tiny_bundle), {"denoiser": Made({}, {}, Proof(), 1.0, 1)})
    monkeypatch.setattr(command, "check_device", lambda _: None)
    monkeypatch.setattr("clavilux.export.build.run_export", lambda *_, **__: made)
    monkeypatch.setattr("clavilux.runtime.loading.open_instrument", lambda path, device: opened.append((path, device)))
    command.run(parse(*PIPELINE))
    command.run(parse(*PIPELINE, "--device", "tensorrt-rtx"))
    assert opened == [(tiny_bundle, "tensorrt-rtx")]


def test_every_new_choice_arrives():
    words = (
        "--precision float16 --steps 50 --guidance once --guidance-scale 3 --guidance-delta 0.5 --sizes 384-1024 "
        "--batch 4 --image-encoder --layout diffusers --proof-steps 2"
    )
    options = command.options_from(parse(*PIPELINE, *words.split()))
    assert options == Options(
        name="out",
        licence="unspecified",
        arithmetic="float16",
        steps=50,
        guidance=GuidanceSpec("once", 3.0, 0.5),
        sizes=(384, 1024),
        batch=4,
        image_encoder=True,
        layout="diffusers",
        proof_steps=2,
    )


@pytest.mark.parametrize(
    ("word", "lora"),
    [
        ("a/b", Lora("a/b")),
        ("a/b:0.5", Lora("a/b", 0.5)),
        ("c:/loras/d.safetensors", Lora("c:/loras/d.safetensors")),
    ],
)
def test_a_lora_may_come_with_its_scale(word: str, lora: Lora):
    sources = command.sources_from(parse(*PIPELINE, "--lora", word, "--allow-pickle", "--config", "c/c"))
    assert (sources.lora, sources.allow_pickle, sources.single_file_config) == ((lora,), True, "c/c")


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "clavilux.export.build", None)
    with pytest.raises(ExportError, match=r"is not installed; run: pip install 'clavilux\[export\]'"):
        command.run(parse(*PIPELINE))


def test_help_ends_with_examples():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert "clavilux export my-bundle" in str(parser.epilog)


def test_a_device_that_cannot_run_is_refused_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch):
    def refuse(device: str) -> None:
        raise ProviderError(f"no card for {device}")

    monkeypatch.setattr(command, "check_device", refuse)
    monkeypatch.setattr("clavilux.export.build.run_export", None)
    with pytest.raises(ProviderError, match="no card for cuda"):
        command.run(parse(*PIPELINE, "--device", "cuda"))


def test_a_device_that_fails_at_last_leaves_a_whole_bundle(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, device: str) -> None:
        raise ProviderError(f"{device} does not take the graph")

    made = Report(Bundle.open(tiny_bundle), {"denoiser": Made({}, {}, Proof(), 1.0, 1)})
    monkeypatch.setattr(command, "check_device", lambda _: None)
    monkeypatch.setattr("clavilux.export.build.run_export", lambda *_, **__: made)
    monkeypatch.setattr("clavilux.runtime.loading.open_instrument", fail)
    with pytest.raises(ProviderError, match=r"does not take the graph; the bundle .* is whole, without engines"):
        command.run(parse(*PIPELINE, "--device", "tensorrt"))


@pytest.mark.parametrize("word", ["--guidance-scale", "--guidance-delta"])
def test_a_number_for_a_guidance_that_is_not_asked_for_is_refused(word: str):
    with pytest.raises(ExportError, match="are for --guidance classic, once or self"):
        command.options_from(parse(*PIPELINE, word, "0.5"))


def test_classic_guidance_begins_with_the_references_strength():
    guidance = command.options_from(parse(*PIPELINE, "--guidance", "classic")).guidance
    assert guidance == GuidanceSpec("classic", 7.5, 1.0)


@pytest.mark.parametrize("text", ["0.5", "a,b", "0.5,1.5", "nan,0.5", "0.1,0.2,0.3", "0.9,0.5"])
def test_evidence_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match="expected two rising similarities from 0 to 1"):
        parse(*PIPELINE, "--evidence", text)


def test_a_dry_run_prints_the_plan_alone(tiny_checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    where = ["--encoder", str(tiny_checkpoints / "encoder"), "--diffusion", str(tiny_checkpoints / "pipeline")]
    assert command.run(parse(str(tmp_path / "out"), *where, "--window", "2", "--dry-run")) == 0
    assert capsys.readouterr().out.startswith("encoder       encoder: model.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("word", "arithmetic"), [("fp16", "float16"), ("fp32", "float32"), ("int8", "int8")])
def test_a_precision_may_be_spelled_as_elsewhere(word: str, arithmetic: str):
    assert command.options_from(parse(*PIPELINE, "--precision", word)).arithmetic == arithmetic


def test_a_revision_is_the_pipelines_and_a_variant_everyones():
    sources = command.sources_from(parse(*PIPELINE, "--revision", "v2", "--variant", "fp16"))
    assert (sources.unet, sources.vae) == ("stabilityai/sd-turbo@v2/unet", "stabilityai/sd-turbo@v2/vae")
    assert (sources.encoder, sources.variant) == (PIPELINE[2], "fp16")


def test_a_revision_without_a_pipeline_is_refused():
    with pytest.raises(ExportError, match="--revision v2 is of --diffusion; for others write owner/name@revision"):
        command.sources_from(parse(*ALONE, "--revision", "v2"))


@pytest.mark.parametrize(
    ("arithmetic", "device", "last"),
    [
        ("float32", "cpu", "for a card, export with --precision float16 (--device tensorrt-rtx on an RTX 30 to 50)"),
        ("float16", "cpu", "now: clavilux live --bundle {} --device cuda"),
        ("float16", "tensorrt-rtx", "now: clavilux live --bundle {} --device tensorrt-rtx"),
    ],
)
def test_the_line_that_plays_it_comes_last(tiny_bundle: Path, arithmetic: str, device: str, last: str):
    bundle = Bundle.open(tiny_bundle)
    made = replace(bundle, precision=replace(bundle.precision, arithmetic=arithmetic))
    assert how_to_play(made, device).splitlines()[-1] == last.format(tiny_bundle)
