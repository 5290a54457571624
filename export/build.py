"""Checkpoints become a bundle, with the proof that it equals them. `clavilux export` is this on the command line.

    sources = Sources.from_pipeline("my/encoder", "stabilityai/sd-turbo")
    export_bundle(sources, "my/bundle", Options(name="mine", licence="Apache-2.0"))

One component is in memory at a time. The proof compares each graph with torch, and whole pictures with diffusers' loop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from export.audio import AudioEncoderGraph, Features, reference_tokens
from export.chain import Latents, Run, bundle_latents, diffusers_latents, noise
from export.checkpoints import Sources, load_encoder, load_text_encoder, load_tokenizer, load_unet, load_vae
from export.components import AUDIO_ENCODER_GRAPH, CHAIN, DECODER_GRAPH, DENOISER_GRAPH, PICTURE, TEXT_ENCODER_GRAPH
from export.conditioning import Embedding, check_shapes, make_conditioning
from export.decoder import DecoderGraph, reference_pictures
from export.denoiser import DenoiserGraph
from export.plan import Options, Plan, make_plan, sources_for_manifest
from export.prove import Case, Workshop
from export.schedule import STEP_COUNTS
from export.sounds import Samples, usual_sounds
from export.staging import staged
from export.text import TextEncoderGraph, bos_embedding, check_length, example_ids, reference_text, write_tokenizer
from runtime.bundle import (
    TOKENIZER,
    AudioSpec,
    Bundle,
    Conditioning,
    Manifest,
    PictureSpec,
    PrecisionSpec,
    TokenSpec,
    describe_file,
    write_conditioning,
    write_manifest,
)
from runtime.manifest import MEL_BINS, SAMPLE_RATE
from runtime.provider import Session
from runtime.schedule import Schedule

__all__ = ["Options", "Sources", "export_bundle"]

SOUNDS_COMPARED = 3


def export_bundle(
    sources: Sources, out: Path | str, options: Options, progress: Callable[[str], None] | None = None
) -> Bundle:
    """Write the bundle of `sources` to the folder `out` and return it opened; `progress` is told each step in words.

    Raises ExportError when the checkpoints do not fit together, cannot be read, or the proof fails; then nothing is
    left at `out`.
    """
    out = Path(out)
    plan = make_plan(sources, options)
    with staged(out, overwrite=options.overwrite) as folder, TemporaryDirectory(dir=folder) as scratch:
        shop = Workshop(folder, Path(scratch), options.storage, progress or _silent, [])
        write_manifest(folder, _manifest(plan, shop, _fill(plan, shop)))
        Bundle.open(folder)
    return Bundle.open(out)


def _silent(_: str) -> None:
    return


@dataclass(frozen=True)
class _Ear:
    """The exported encoder behind its features."""

    features: Features
    session: Session

    def encode(self, samples: Samples) -> Embedding:
        tokens: Embedding = self.session.run({"features": self.features.raw(samples)})[0][0].astype(np.float32)
        return tokens


@dataclass(frozen=True)
class _Pair:
    """Latents of the same run, by diffusers and by the bundle."""

    steps: int
    expected: Latents
    found: Latents


def _fill(plan: Plan, shop: Workshop) -> Conditioning:
    ear = _make_audio_encoder(plan, shop)
    sound = usual_sounds(plan.options.window_samples, 1)[0]
    tokens = ear.encode(sound)
    count = len(tokens) + 1
    check_shapes(plan.given, count, plan.width)
    bos = _make_text_encoder(plan, shop, count)
    conditioning = make_conditioning(plan.given, bos, ear.encode, plan.options.window_samples)
    write_conditioning(shop.folder, conditioning)
    prompt = np.concatenate([conditioning.bos[None], tokens])[None]
    _make_decoder(plan, shop, _make_denoiser(plan, shop, prompt))
    return conditioning


def _make_audio_encoder(plan: Plan, shop: Workshop) -> _Ear:
    """Prove the encoder on whole windows and, for its open axis, on a shorter one."""
    shop.report("audio_encoder: loading")
    encoder = load_encoder(plan.sources.encoder)
    window = plan.options.window_samples
    features = Features(window)
    sounds = usual_sounds(window, SOUNDS_COMPARED)
    sounds.append(sounds[0][: window // 2])
    expected = reference_tokens(encoder, [features.prepared(sound) for sound in sounds])
    raw = [features.raw(sound) for sound in sounds]
    cases = [Case({"features": one}, [tokens]) for one, tokens in zip(raw, expected, strict=True)]
    graph = AudioEncoderGraph(encoder, plan.frames)
    return _Ear(features, shop.make(AUDIO_ENCODER_GRAPH, graph, cases, plan.frames))


def _make_text_encoder(plan: Plan, shop: Workshop, count: int) -> Embedding | None:
    """Return the BOS embedding; with a tokenizer at hand, the encoder itself goes into the bundle too."""
    if plan.text is None or plan.sources.text_encoder is None:
        return None
    shop.report("text_encoder: loading")
    encoder = load_text_encoder(plan.sources.text_encoder)
    if plan.sources.tokenizer is not None:
        check_length(plan.text, count)
        write_tokenizer(load_tokenizer(plan.sources.tokenizer), count, shop.folder / TOKENIZER)
        ids = example_ids(plan.text, count)
        case = Case({"input_ids": ids.numpy()}, [reference_text(encoder, ids)])
        shop.make(TEXT_ENCODER_GRAPH, TextEncoderGraph(encoder), [case])
    return bos_embedding(encoder, plan.text)


def _make_denoiser(plan: Plan, shop: Workshop, prompt: NDArray[np.float32]) -> list[_Pair]:
    """Prove single steps at both ends of the schedule, then whole runs of every number of steps."""
    shop.report("denoiser: loading")
    unet = load_unet(plan.sources.unet)
    schedule = Schedule(plan.schedule)
    shape = (1, plan.latents.channels, plan.latents.height, plan.latents.width)
    graph = DenoiserGraph(unet)
    rows = schedule.rows(max(STEP_COUNTS))
    cases = [_step_case(graph, shape, prompt, row[None]) for row in (rows[0], rows[-1])]
    runs = [Run(steps, prompt, shape) for steps in STEP_COUNTS]
    expected = [diffusers_latents(unet, plan.scheduler, run) for run in runs]
    session = shop.make(DENOISER_GRAPH, graph, cases)
    found = [bundle_latents(session, schedule, run) for run in runs]
    for run, one, other in zip(runs, expected, found, strict=True):
        shop.judge(_run_name("latents", run.steps), CHAIN, [one], [other])
    return [_Pair(run.steps, one, other) for run, one, other in zip(runs, expected, found, strict=True)]


def _step_case(
    graph: DenoiserGraph, shape: tuple[int, ...], prompt: NDArray[np.float32], row: NDArray[np.float32]
) -> Case:
    inputs = {
        "sample": noise(shape, 0).numpy(),
        "noise": noise(shape, 1).numpy(),
        "tokens": prompt,
        "coefficients": row,
    }
    with torch.inference_mode():
        outputs = graph(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return Case(inputs, [output.numpy() for output in outputs])


def _make_decoder(plan: Plan, shop: Workshop, pairs: list[_Pair]) -> None:
    """Prove the decoder on the latents that diffusers made, and the pictures of the bundle's own latents."""
    shop.report("decoder: loading")
    vae = load_vae(plan.sources.vae, plan.vae_class)
    pictures = [reference_pictures(vae, torch.from_numpy(pair.expected)).numpy() for pair in pairs]
    cases = [Case({"latents": pair.expected}, [picture]) for pair, picture in zip(pairs, pictures, strict=True)]
    session = shop.make(DECODER_GRAPH, DecoderGraph(vae), cases)
    for pair, picture in zip(pairs, pictures, strict=True):
        shop.judge(_run_name("picture", pair.steps), PICTURE, [picture], session.run({"latents": pair.found}))


def _run_name(what: str, steps: int) -> str:
    return f"{what}, {steps} {'step' if steps == 1 else 'steps'}"


def _manifest(plan: Plan, shop: Workshop, conditioning: Conditioning) -> Manifest:
    options = plan.options
    height, width = options.picture
    files = sorted(path for path in shop.folder.iterdir() if path.is_file())
    return Manifest(
        name=options.name,
        licence=options.licence,
        sources=sources_for_manifest(plan.sources, options),
        audio=AudioSpec(SAMPLE_RATE, options.window_samples, options.hop_samples, MEL_BINS, options.lead_in),
        tokens=TokenSpec(*conditioning.negative.shape),
        latents=plan.latents,
        picture=PictureSpec(height, width),
        schedule=plan.schedule,
        precision=PrecisionSpec("float32", options.storage),
        files={path.name: describe_file(path) for path in files},
        parity=tuple(shop.figures),
        concepts=options.concepts,
    )
