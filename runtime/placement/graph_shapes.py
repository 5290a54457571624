"""A bundle's graphs as execution providers want them: which file, which weights, what shapes may come.

An engine is compiled for shapes, so that open axes need their range; it is found again by the hash of the graph and of
the weights beside it.
"""

import hashlib
from collections.abc import Mapping

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import (
    AUDIO_ENCODER,
    COEFFICIENTS,
    DECODER,
    DENOISER,
    FRAMES,
    GUIDANCE_X0,
    GUIDED_COEFFICIENTS,
    MIN_FRAMES,
)
from clavilux.runtime.providers.session import GraphFile, ShapeRange
from clavilux.runtime.sound.format import MEL_BINS, SAMPLE_RATE, frame_count

LONGEST_CLIP = frame_count(60 * SAMPLE_RATE)
"""Log-mel frames of the longest clip that an engine renders the picture of; other providers take any."""

WEIGHTS = ".data"  # what the name of a graph's weights ends in, where they lie in a file of their own


def graph_file(bundle: Bundle, name: str) -> GraphFile:
    """Return the graph `name` of a bundle, for example "denoiser.onnx". Raises BundleError when it has none."""
    path = bundle.path(name)
    hashes = [bundle.files[file].sha256 for file in (name, f"{name}{WEIGHTS}") if file in bundle.files]
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    axes = {FRAMES: frame_count(bundle.audio.window_samples)} if name == AUDIO_ENCODER else {}
    return GraphFile(path, sha256, bundle.precision.arithmetic, _shapes(bundle, name), axes)


def _shapes(bundle: Bundle, name: str) -> Mapping[str, ShapeRange]:
    """Return the shapes of the inputs that have open axes, by name."""
    if name == AUDIO_ENCODER:
        window = frame_count(bundle.audio.window_samples)
        ends = (MIN_FRAMES, max(window, LONGEST_CLIP)) if bundle.audio.lead_in == "nothing" else (window, window)
        return {"features": ShapeRange(*((1, frames, MEL_BINS) for frames in (ends[0], window, ends[1])))}
    if bundle.sizes is None and bundle.batch == 1:
        return {}
    latents = _latents(bundle)
    if name == DECODER:
        return {"latents": latents}
    if name == DENOISER:
        leading = {GUIDANCE_X0: latents} if bundle.guidance.kind in ("once", "self") else {}
        return {"sample": latents, "noise": latents} | leading | _prompts(bundle)
    return {}


def _latents(bundle: Bundle) -> ShapeRange:
    latents, sizes = bundle.latents, bundle.sizes
    factor = bundle.picture.height // latents.height
    usual = (latents.height, latents.width)
    low, high = ((side // factor,) * 2 for side in (sizes.smallest, sizes.largest)) if sizes else (usual, usual)
    channels = latents.channels
    return ShapeRange((1, channels, *low), (1, channels, *usual), (bundle.batch, channels, *high))


def _prompts(bundle: Bundle) -> dict[str, ShapeRange]:
    """Return the shapes of what is there once per picture, when there may be several."""
    batch = bundle.batch
    if batch == 1:
        return {}
    prompt = (bundle.tokens.count, bundle.tokens.width)
    guided = bundle.guidance.kind != "none"
    each = {"tokens": prompt, "coefficients": (GUIDED_COEFFICIENTS if guided else COEFFICIENTS,)}
    if bundle.guidance.kind == "classic":
        each["negative"] = prompt
    return {name: ShapeRange((1, *shape), (1, *shape), (batch, *shape)) for name, shape in each.items()}
