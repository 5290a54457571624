"""The phases of an export, one for each part of a bundle: loaded, traced, finished, one model in memory at a time.

Every phase fills a `Proof`, and returns arrays for later ones. Comparisons of whole runs and pictures, which need more
than one graph, are made here; the way of a single graph is `clavilux.export.finish`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clavilux.export.checkpoints.load import load_tokenizer
from clavilux.export.diffusers_layout.write import FOLDER, trace_parts, write_settings
from clavilux.export.finish import finish
from clavilux.export.given_unet import MODEL, find_onnx_unet, trace_around
from clavilux.export.graphs.convert import Case, Traced, free_memory, trace
from clavilux.export.models.audio_encoder import AudioEncoderGraph, reference_tokens
from clavilux.export.models.conditioning import Embedding, make_conditioning
from clavilux.export.models.decoder import DecoderGraph, reference_pictures
from clavilux.export.models.denoiser import DenoiserGraph, noise
from clavilux.export.models.evidence import measured_evidence
from clavilux.export.models.feature_extractor import Features
from clavilux.export.models.image_encoder import ImageEncoderGraph, reference_latents, usual_pictures
from clavilux.export.models.text_encoder import (
    TextEncoderGraph,
    TextTokens,
    bos_embedding,
    example_ids,
    reference_text,
    write_tokenizer,
)
from clavilux.export.models.usual_sounds import reference_hiss, usual_sounds
from clavilux.export.parity.figures import compare
from clavilux.export.parity.prove import prove_exact
from clavilux.export.parity.reference_runs import RunInputs, bundle_latents, diffusers_latents
from clavilux.export.parts import Parts
from clavilux.export.plan import Plan, latent_shapes, opened, proof_steps
from clavilux.export.proof import Proof
from clavilux.export.spec import (
    AUDIO_ENCODER_GRAPH,
    DECODER_GRAPH,
    IMAGE_ENCODER_GRAPH,
    PICTURE,
    REFERENCE_RUN,
    TEXT_ENCODER_GRAPH,
    Axis,
    Component,
    guided_denoiser,
)
from clavilux.export.work.resume import Arrays
from clavilux.export.work.staging import WorkFolder
from clavilux.runtime.bundle.bundle import write_conditioning
from clavilux.runtime.bundle.graphs import FRAMES, GUIDANCE_X0, MIN_FRAMES, TOKENIZER
from clavilux.runtime.diffusion.denoiser import Latents
from clavilux.runtime.diffusion.schedule import Guidance, Schedule
from clavilux.runtime.providers.session import Session
from clavilux.runtime.sound.samples import Samples

SOUNDS_COMPARED = 3
MAX_FRAMES = 2**20  # log-mel frames of a clip, for torch, which wants a bound; the graph has none


@dataclass(frozen=True)
class _Ear:
    """The exported encoder behind its features."""

    features: Features
    session: Session

    def encode(self, samples: Samples) -> Embedding:
        tokens: Embedding = self.session.run({"features": self.features.raw(samples)})[0][0].astype(np.float32)
        return tokens


@dataclass(frozen=True)
class Phases:
    """The phases of one export, working in one folder."""

    parts: Parts
    work: WorkFolder

    @property
    def plan(self) -> Plan:
        """The plan, settled before any weight is read."""
        return self.parts.plan

    def _trace(self, component: Component, module: nn.Module, cases: Sequence[Case]) -> Traced:
        self.parts.report(f"{component.name}: tracing")
        return trace(component, module, cases, self.work.scratch)

    def _finish(self, traced: Traced, proof: Proof) -> Session:
        return finish(traced, self.work.bundle, self.plan.options, proof, self.parts.report)

    def text_encoder(self, proof: Proof, text: TextTokens) -> Arrays:
        """Return the BOS embedding; where words can be typed, the encoder itself goes into the bundle too."""
        plan = self.plan
        encoder = self.parts.text_encoder()
        bos = bos_embedding(encoder, text.bos)
        if plan.words is not None:
            write_tokenizer(load_tokenizer(plan.words), plan.count, self.work.bundle / TOKENIZER)
            ids = example_ids(text, plan.count)
            case = Case({"input_ids": ids.numpy()}, [reference_text(encoder, ids)])
            traced = self._trace(TEXT_ENCODER_GRAPH, TextEncoderGraph(encoder), [case])
            del encoder
            self._finish(traced, proof)
        return {"bos": bos}

    def audio_encoder(self, proof: Proof, bos: Embedding | None) -> Arrays:
        """Prove the encoder, write the cached embeddings.

        Return a prompt, what it is led away from, and similarities that are evidence for concepts.
        """
        plan, window = self.plan, self.plan.features.window_samples
        features = Features(window, plan.features.padding_value)
        traced, hiss = self._trace_audio(features)
        ear = _Ear(features, self._finish(traced, proof))
        tokens = ear.encode(usual_sounds(window, 1)[0])
        conditioning = make_conditioning(plan.given, bos, hiss, ear.encode, window)
        write_conditioning(self.work.bundle, conditioning)
        made = {"prompt": np.concatenate([conditioning.bos[None], tokens])[None], "negative": conditioning.negative}
        if conditioning.concepts is None or plan.options.evidence is not None:
            return made
        self.parts.report("audio_encoder: measuring how near sounds without a name come to its concepts")
        found = measured_evidence(conditioning.concepts, ear.encode, window)
        return made | {"evidence": np.array(found)}

    def _trace_audio(self, features: Features) -> tuple[Traced, Embedding]:
        """Trace the encoder on whole windows and, for its open axis, on a shorter sound and longer ones.

        Of these a mean over all of it is taken; the last is the reference's hiss of 4 s, whose tokens are returned too.
        """
        plan, window = self.plan, self.plan.features.window_samples
        encoder = self.parts.audio_encoder()
        sounds = usual_sounds(window, SOUNDS_COMPARED)
        sounds += [sounds[0][: window // 2], np.concatenate(sounds[:2]), reference_hiss(window)]
        expected = reference_tokens(encoder, [features.prepared(one) for one in sounds])
        raw = [features.raw(sound) for sound in sounds]
        cases = [Case({"features": one}, [tokens]) for one, tokens in zip(raw, expected, strict=True)]
        component = replace(AUDIO_ENCODER_GRAPH, open_axes=(Axis(FRAMES, MIN_FRAMES, MAX_FRAMES),))
        graph = AudioEncoderGraph(encoder, plan.frames, plan.features.padding_value)
        return self._trace(component, graph, cases), expected[-1][0]

    def denoiser(self, proof: Proof, heard: Arrays) -> Arrays:
        """Prove single steps at both ends of the schedule, then whole runs; return their latents."""
        plan = self.plan
        schedule = Schedule(plan.schedule)
        guided = plan.options.guidance.kind != "none"
        negative = heard["negative"] if guided else None
        runs = [
            RunInputs(steps, heard["prompt"], latent_shapes(plan)[-1], plan.options.guidance, negative)
            for steps in proof_steps(plan.options)
        ]
        traced, expected = self._trace_denoiser(runs)
        session = self._finish(traced, proof)
        self.parts.report("denoiser: comparing whole runs with diffusers")
        found = [bundle_latents(session, schedule, run) for run in runs]
        for run, one, other in zip(runs, expected, found, strict=True):
            proof.figures += compare(_run_name("latents", run.steps), REFERENCE_RUN, [one], [other])
        return {
            f"{which}_{run.steps}": latents
            for which, all_latents in (("expected", expected), ("found", found))
            for run, latents in zip(runs, all_latents, strict=True)
        }

    def _trace_denoiser(self, runs: list[RunInputs]) -> tuple[Traced, list[Latents]]:
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
        self.parts.report(f"denoiser: whole runs in {'ONNX Runtime' if given else 'torch'}")
        expected = [diffusers_latents(unet, plan.schedules.configured, one) for one in runs]
        del unet
        if given is None:
            return self._trace(component, graph, cases), expected
        del graph
        self.parts.report(f"{component.name}: taking in {MODEL}")
        return trace_around(given, component, cases, self.work.scratch), expected

    def decoder(self, proof: Proof, latents: Arrays) -> Arrays:
        """Prove the decoder on the latents that diffusers made, and the pictures of the bundle's own latents."""
        plan = self.plan
        steps = proof_steps(plan.options)
        vae = self.parts.vae()
        pictures = [reference_pictures(vae, torch.from_numpy(latents[f"expected_{n}"])).numpy() for n in steps]
        cases = [Case({"latents": latents[f"expected_{n}"]}, [one]) for n, one in zip(steps, pictures, strict=True)]
        others = [noise(shape, 2) for shape in latent_shapes(plan)[:-1]]
        cases = [Case({"latents": one.numpy()}, [reference_pictures(vae, one).numpy()]) for one in others] + cases
        traced = self._trace(opened(plan, DECODER_GRAPH), DecoderGraph(vae), cases)
        del vae
        session = self._finish(traced, proof)
        for n, picture in zip(steps, pictures, strict=True):
            found = session.run({"latents": latents[f"found_{n}"]})
            proof.figures += compare(_run_name("picture", n), PICTURE, [picture], found)
        return {}

    def image_encoder(self, proof: Proof) -> Arrays:
        """Prove the way from pictures to latents."""
        plan = self.plan
        vae = self.parts.vae()
        factor = plan.vae_factor
        pictures = [
            usual_pictures(height * factor, width * factor, seed)
            for seed, (*_, height, width) in enumerate(latent_shapes(plan) * 2)
        ]
        cases = [Case({"pictures": one}, [reference_latents(vae, one)]) for one in pictures]
        traced = self._trace(opened(plan, IMAGE_ENCODER_GRAPH), ImageEncoderGraph(vae), cases)
        del vae
        self._finish(traced, proof)
        return {}

    def layout(self, proof: Proof) -> Arrays:
        """Write and prove the plain parts of the pipeline, as other programs load them."""
        folder = self.work.bundle / FOLDER
        for traced in trace_parts(self.parts, folder):
            self.parts.report(f"{traced.component.name}: comparing with its original")
            proof.figures += prove_exact(traced)[1]
            free_memory()
        write_settings(self.plan, folder)
        return {}


def _step_case(component: Component, graph: DenoiserGraph, run: RunInputs, row: NDArray[np.float32]) -> Case:
    known = {
        "sample": noise(run.shape, 0).numpy(),
        "noise": noise(run.shape, 1).numpy(),
        "tokens": run.tokens,
        "coefficients": row,
        "negative": None if run.negative is None else run.negative[None],
        GUIDANCE_X0: noise(run.shape, 2).numpy(),
    }
    inputs = {port.name: np.asarray(known[port.name]) for port in component.inputs}
    with torch.inference_mode():
        outputs = graph(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return Case(inputs, [output.numpy() for output in outputs])


def _run_name(what: str, steps: int) -> str:
    return f"{what}, {steps} {'step' if steps == 1 else 'steps'}"
