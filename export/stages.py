"""What each part of a bundle is made of: loaded, exported, proved, one model in memory at a time.

Every stage takes a `Workshop` to write in, and returns arrays for later ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypedDict

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPTextModel

from clavilux.export.checkpoints.load import load_encoder, load_text_encoder, load_tokenizer, load_unet, load_vae
from clavilux.export.checkpoints.lora import fuse_loras
from clavilux.export.given_unet import find_onnx_unet, trace_around
from clavilux.export.models.audio_encoder import AudioEncoderGraph, Features, reference_tokens
from clavilux.export.models.conditioning import Embedding, make_conditioning
from clavilux.export.models.decoder import DecoderGraph, reference_pictures
from clavilux.export.models.denoiser import DenoiserGraph
from clavilux.export.models.image_encoder import ImageEncoderGraph, reference_latents, usual_pictures
from clavilux.export.models.text_encoder import (
    TextEncoderGraph,
    bos_embedding,
    example_ids,
    reference_text,
    write_tokenizer,
)
from clavilux.export.models.usual_sounds import Samples, reference_hiss, usual_sounds
from clavilux.export.parity.prove import Case, Traced, Workshop
from clavilux.export.parity.reference_runs import Latents, Run, bundle_latents, diffusers_latents, noise
from clavilux.export.plan import Options, Plan
from clavilux.export.spec import (
    AUDIO_ENCODER_GRAPH,
    CHAIN,
    DECODER_GRAPH,
    IMAGE_ENCODER_GRAPH,
    PICTURE,
    TEXT_ENCODER_GRAPH,
    Axis,
    Component,
    guided_denoiser,
)
from clavilux.export.work.resume import Arrays
from clavilux.runtime.bundle.bundle import write_conditioning
from clavilux.runtime.bundle.graphs import MIN_FRAMES, TOKENIZER
from clavilux.runtime.diffusion.schedule import Guidance, Schedule
from clavilux.runtime.providers.session import Session

SOUNDS_COMPARED = 3


@dataclass(frozen=True)
class _Ear:
    """The exported encoder behind its features."""

    features: Features
    session: Session

    def encode(self, samples: Samples) -> Embedding:
        tokens: Embedding = self.session.run({"features": self.features.raw(samples)})[0][0].astype(np.float32)
        return tokens


class Loading(TypedDict):
    """What every loader of weights takes."""

    allow_pickle: bool
    report: Callable[[str], None]


@dataclass(frozen=True)
class Parts:
    """The checkpoints of a plan, loaded when they are asked for."""

    plan: Plan
    report: Callable[[str], None]

    @property
    def loading(self) -> Loading:
        """What every loader of weights takes."""
        return {"allow_pickle": self.plan.sources.allow_pickle, "report": self.report}

    def unet(self) -> UNet2DConditionModel:
        """Return the UNet with its LoRAs."""
        sources = self.plan.sources
        return fuse_loras(load_unet(sources.unet, **self.loading), sources.lora, **self.loading)

    def vae(self) -> AutoencoderKL | AutoencoderTiny:
        """Return the autoencoder."""
        return load_vae(self.plan.sources.vae, self.plan.vae_class, **self.loading)

    def text_encoder(self) -> CLIPTextModel:
        """Return the text encoder, which the plan must have."""
        return load_text_encoder(self.plan.sources.text_encoder or "", **self.loading)


@dataclass(frozen=True)
class Stages:
    """The stages of one export."""

    parts: Parts

    @property
    def plan(self) -> Plan:
        """What was settled before."""
        return self.parts.plan

    def text_encoder(self, shop: Workshop) -> Arrays:
        """Return the BOS embedding; with a tokenizer at hand, the encoder itself goes into the bundle too."""
        plan = self.plan
        encoder = self.parts.text_encoder()
        bos = bos_embedding(encoder, plan.text or {})
        if plan.sources.tokenizer is not None:
            write_tokenizer(load_tokenizer(plan.sources.tokenizer), plan.count, shop.folder / TOKENIZER)
            ids = example_ids(plan.text or {}, plan.count)
            case = Case({"input_ids": ids.numpy()}, [reference_text(encoder, ids)])
            traced = shop.trace(TEXT_ENCODER_GRAPH, TextEncoderGraph(encoder), [case])
            del encoder
            shop.prove(traced)
        return {"bos": bos}

    def audio_encoder(self, shop: Workshop, bos: Embedding | None) -> Arrays:
        """Prove the encoder, write the cached embeddings; return a prompt, and what it is led away from."""
        plan, window = self.plan, self.plan.options.window_samples
        features = Features(window)
        traced, hiss = self._trace_audio(shop, features)
        ear = _Ear(features, shop.prove(traced))
        tokens = ear.encode(usual_sounds(window, 1)[0])
        conditioning = make_conditioning(plan.given, bos, hiss, ear.encode, window)
        write_conditioning(shop.folder, conditioning)
        return {"prompt": np.concatenate([conditioning.bos[None], tokens])[None], "negative": conditioning.negative}

    def _trace_audio(self, shop: Workshop, features: Features) -> tuple[Traced, Embedding]:
        """Trace the encoder on whole windows and, for its open axis, on a shorter one; return its tokens of hiss too.

        The hiss goes the reference's way, which takes its mean over 4 s and then the first window of it.
        """
        plan, window = self.plan, self.plan.options.window_samples
        encoder = load_encoder(plan.sources.encoder, **self.parts.loading)
        sounds = usual_sounds(window, SOUNDS_COMPARED)
        sounds.append(sounds[0][: window // 2])
        *expected, hiss = reference_tokens(
            encoder, [features.prepared(one) for one in (*sounds, reference_hiss(window))]
        )
        raw = [features.raw(sound) for sound in sounds]
        cases = [Case({"features": one}, [tokens]) for one, tokens in zip(raw, expected, strict=True)]
        frames = Axis("frames", MIN_FRAMES, plan.frames)
        component = replace(AUDIO_ENCODER_GRAPH, open_axes=(frames,))
        return shop.trace(component, AudioEncoderGraph(encoder, plan.frames), cases), hiss[0]

    def denoiser(self, shop: Workshop, heard: Arrays) -> Arrays:
        """Prove single steps at both ends of the schedule, then whole runs; return their latents."""
        plan = self.plan
        schedule = Schedule(plan.schedule)
        guided = plan.options.guidance.kind != "none"
        negative = heard["negative"] if guided else None
        runs = [
            Run(steps, heard["prompt"], latent_shapes(plan)[-1], plan.options.guidance, negative)
            for steps in proof_steps(plan.options)
        ]
        traced, expected = self._trace_denoiser(shop, runs)
        session = shop.prove(traced)
        shop.report("denoiser: comparing whole runs with diffusers")
        found = [bundle_latents(session, schedule, run) for run in runs]
        for run, one, other in zip(runs, expected, found, strict=True):
            shop.judge(_run_name("latents", run.steps), CHAIN, [one], [other])
        return {
            f"{which}_{run.steps}": latents
            for which, all_latents in (("expected", expected), ("found", found))
            for run, latents in zip(runs, all_latents, strict=True)
        }

    def _trace_denoiser(self, shop: Workshop, runs: list[Run]) -> tuple[Traced, list[Latents]]:
        """Trace the denoiser; the original is the UNet in torch, or the given graph in ONNX Runtime."""
        plan = self.plan
        given = find_onnx_unet(plan.sources.unet)
        unet: Any = given.open() if given else self.parts.unet()
        graph, run = DenoiserGraph(unet), runs[-1]
        guidance = None if run.negative is None else Guidance(run.guidance.scale, run.guidance.delta)
        rows = Schedule(plan.schedule).rows(max(2, run.steps), guidance=guidance)
        component = opened(plan, guided_denoiser(plan.options.guidance.kind))
        cases = [
            _step_case(component, graph, replace(run, shape=shape), row[None])
            for shape, row in product(latent_shapes(plan), (rows[0], rows[-1]))
        ]
        shop.report(f"denoiser: whole runs in {'ONNX Runtime' if given else 'torch'}")
        expected = [diffusers_latents(unet, plan.scheduler, one) for one in runs]
        del unet
        if given is None:
            return shop.trace(component, graph, cases), expected
        del graph
        return trace_around(given, shop, component, cases), expected

    def decoder(self, shop: Workshop, latents: Arrays) -> Arrays:
        """Prove the decoder on the latents that diffusers made, and the pictures of the bundle's own latents."""
        plan = self.plan
        steps = proof_steps(plan.options)
        vae = self.parts.vae()
        pictures = [reference_pictures(vae, torch.from_numpy(latents[f"expected_{n}"])).numpy() for n in steps]
        cases = [Case({"latents": latents[f"expected_{n}"]}, [one]) for n, one in zip(steps, pictures, strict=True)]
        others = [noise(shape, 2) for shape in latent_shapes(plan)[:-1]]
        cases = [Case({"latents": one.numpy()}, [reference_pictures(vae, one).numpy()]) for one in others] + cases
        traced = shop.trace(opened(plan, DECODER_GRAPH), DecoderGraph(vae), cases)
        del vae
        session = shop.prove(traced)
        for n, picture in zip(steps, pictures, strict=True):
            found = session.run({"latents": latents[f"found_{n}"]})
            shop.judge(_run_name("picture", n), PICTURE, [picture], found)
        return {}

    def image_encoder(self, shop: Workshop) -> Arrays:
        """Prove the way from pictures to latents."""
        plan = self.plan
        vae = self.parts.vae()
        factor = vae_factor(plan)
        pictures = [
            usual_pictures(height * factor, width * factor, seed)
            for seed, (*_, height, width) in enumerate(latent_shapes(plan) * 2)
        ]
        cases = [Case({"pictures": one}, [reference_latents(vae, one)]) for one in pictures]
        traced = shop.trace(opened(plan, IMAGE_ENCODER_GRAPH), ImageEncoderGraph(vae), cases)
        del vae
        shop.prove(traced)
        return {}


def vae_factor(plan: Plan) -> int:
    """Return how many pixels one latent spans on each side."""
    return plan.options.picture[0] // plan.latents.height


def latent_shapes(plan: Plan) -> list[tuple[int, ...]]:
    """Return the shapes to prove a graph on, the usual one last.

    With open sizes a small one comes first, which is traced: not square, and not of one block, which torch would fix.
    """
    latents, sizes = plan.latents, plan.sizes
    usual = (1, latents.channels, latents.height, latents.width)
    if sizes is None or sizes.smallest == sizes.largest:
        return [usual]
    block = sizes.multiple // vae_factor(plan)
    low, high = (side // sizes.multiple for side in (sizes.smallest, sizes.largest))
    traced = max(2, low), min(max(2, low) + 1, high)
    sides = [traced, (low, low)] if low == 1 else [traced]
    return [*((1, latents.channels, height * block, width * block) for height, width in sides), usual]


def opened(plan: Plan, component: Component) -> Component:
    """Return the component with the axes open that may differ from run to run."""
    sizes, batch = plan.sizes, plan.options.batch
    axes = [Axis("batch", 1, batch)] if batch > 1 else []
    if sizes is not None and sizes.smallest < sizes.largest:
        low, high = sizes.smallest // sizes.multiple, sizes.largest // sizes.multiple
        sides = {"height": sizes.multiple, "width": sizes.multiple}
        sides |= {f"latent_{side}": multiple // vae_factor(plan) for side, multiple in sides.items()}
        named = {axis for port in component.inputs for axis in port.axes}
        axes += [Axis(name, low, high, multiple) for name, multiple in sides.items() if name in named]
    return replace(component, open_axes=tuple(axes))


def proof_steps(options: Options) -> list[int]:
    """Return the numbers of steps whose whole runs are compared with diffusers': one, and the usual one."""
    return sorted({1, max(2, min(options.steps, options.proof_steps))})


def _step_case(component: Component, graph: DenoiserGraph, run: Run, row: NDArray[np.float32]) -> Case:
    known = {
        "sample": noise(run.shape, 0).numpy(),
        "noise": noise(run.shape, 1).numpy(),
        "tokens": run.tokens,
        "coefficients": row,
        "negative": None if run.negative is None else run.negative[None],
        "anchor": noise(run.shape, 2).numpy(),
    }
    inputs = {port.name: np.asarray(known[port.name]) for port in component.inputs}
    with torch.inference_mode():
        outputs = graph(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return Case(inputs, [output.numpy() for output in outputs])


def _run_name(what: str, steps: int) -> str:
    return f"{what}, {steps} {'step' if steps == 1 else 'steps'}"
