"""Seeded inputs of a bundle's graphs in their usual shapes, for whoever runs a graph by itself."""

import numpy as np

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import (
    AUDIO_ENCODER,
    COEFFICIENTS,
    DECODER,
    GUIDANCE_X0,
    GUIDED_COEFFICIENTS,
)
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.session import Array

MEL_MEAN, MEL_DEVIATION = -5.0, 3.0  # about those of log-mel frames
LAST_TIMESTEP = (999, 14.6, -14.6, 1, 0, 0)  # coefficients of one step from pure noise


def example(bundle: Bundle, graph: str, seed: int = 0) -> dict[str, Array]:
    """Return float32 inputs, by name, of the encoder, the denoiser or the decoder, for example "decoder.onnx"."""
    random = np.random.default_rng(seed)
    latents = (1, bundle.latents.channels, bundle.latents.height, bundle.latents.width)
    if graph == AUDIO_ENCODER:
        frames = graph_file(bundle, AUDIO_ENCODER).shapes["features"].usual
        return {"features": random.normal(MEL_MEAN, MEL_DEVIATION, frames).astype(np.float32)}
    if graph == DECODER:
        return {"latents": random.standard_normal(latents, np.float32)}
    sample, noise, leading = random.standard_normal((3, *latents), np.float32)
    kind = bundle.guidance.kind
    coefficients = np.zeros((1, COEFFICIENTS if kind == "none" else GUIDED_COEFFICIENTS), np.float32)
    coefficients[0, :COEFFICIENTS] = LAST_TIMESTEP
    tokens = bundle.conditioning.idle + random.normal(0, 0.1, bundle.conditioning.idle.shape)  # another for each seed
    inputs: dict[str, Array] = {
        "sample": sample,
        "noise": noise,
        "tokens": tokens[None].astype(np.float32),
        "coefficients": coefficients,
    }
    if kind == "classic":
        inputs["negative"] = bundle.conditioning.negative[None]
    elif kind != "none":
        inputs[GUIDANCE_X0] = leading
    return inputs
