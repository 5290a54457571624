"""The components of a bundle, declared as data: names, shapes, open axes, and the gates their proof must pass.

Every threshold of the export stands in this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.graphs import (
    AUDIO_ENCODER,
    COEFFICIENTS,
    DECODER,
    DENOISER,
    FRAMES,
    GUIDANCE_X0,
    GUIDED_COEFFICIENTS,
    IMAGE_ENCODER,
    TEXT_ENCODER,
)
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import MEL_BINS

COLOURS = 3


@dataclass(frozen=True)
class Port:
    """One input or output of a graph; a named axis has the same size in all ports of a component."""

    name: str
    axes: tuple[str | int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Axis:
    """An axis that may differ from run to run: `multiple` times a number in low..high."""

    name: str
    low: int
    high: int
    multiple: int = 1


@dataclass(frozen=True)
class Gate:
    """A bound on one figure: at most `threshold`, or with `at_least` no less than it."""

    figure: str
    threshold: float
    at_least: bool = False

    def passes(self, value: float) -> bool:
        """Say whether `value` is good enough; NaN never is."""
        return value >= self.threshold if self.at_least else value <= self.threshold


@dataclass(frozen=True)
class Component:
    """One graph of the bundle."""

    name: str
    file: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    exact: tuple[Gate, ...]  # the float32 graph against torch
    stored: tuple[Gate, ...]  # the graph as stored in the bundle against the float32 graph
    open_axes: tuple[Axis, ...] = ()

    @property
    def takes_batches(self) -> bool:
        """Whether one run may hold several pictures."""
        return any(axis.name == "batch" for axis in self.open_axes)

    def check(self, arrays: Sequence[NDArray[np.generic]]) -> None:
        """Raise ExportError unless `arrays`, inputs then outputs, have the types and axes declared here."""
        sizes: dict[str | int, int] = {}
        for port, array in zip(self.inputs + self.outputs, arrays, strict=True):
            expected = [axis if isinstance(axis, int) else sizes.get(axis) for axis in port.axes]
            fits = len(expected) == array.ndim and all(
                size in (None, found) for size, found in zip(expected, array.shape, strict=True)
            )
            if not fits or array.dtype != port.dtype:
                found = f"{array.dtype} {list(array.shape)}"
                raise ExportError(f"{self.name}: {port.name} is {found}; expected {port.dtype} {list(port.axes)}")
            sizes.update(zip(port.axes, array.shape, strict=True))


_EXACT = (Gate("max_abs_error", 1e-2), Gate("relative_error", 1e-3))
_STORED = (Gate("cosine", 0.999, at_least=True), Gate("relative_l2", 0.02))
_PROMPT = Port("tokens", ("batch", "prompt", "token_width"))


def _latents(name: str) -> Port:
    return Port(name, ("batch", "channels", "latent_height", "latent_width"))


AUDIO_ENCODER_GRAPH = Component(
    name="audio_encoder",
    file=AUDIO_ENCODER,
    inputs=(Port("features", ("batch", FRAMES, MEL_BINS)),),
    outputs=(Port("tokens", ("batch", "audio_tokens", "token_width")),),
    exact=_EXACT,
    stored=_STORED,
)
DENOISER_GRAPH = Component(
    name="denoiser",
    file=DENOISER,
    inputs=(_latents("sample"), _latents("noise"), _PROMPT, Port("coefficients", ("batch", COEFFICIENTS))),
    outputs=(_latents("x0"), _latents("next")),
    exact=_EXACT,
    stored=_STORED,
)
GUIDING = {
    "none": (),
    "classic": (Port("negative", ("batch", "prompt", "token_width")),),
    "once": (_latents(GUIDANCE_X0),),
    "self": (_latents(GUIDANCE_X0),),
}
"""Inputs that the denoiser's graph takes besides, by kind of guidance: the negative prompt, or the x0 in its place."""


def guided_denoiser(kind: str) -> Component:
    """Return the denoiser's declaration for one of `clavilux.runtime.bundle.manifest.GUIDANCES`."""
    if kind == "none":
        return DENOISER_GRAPH
    *ports, _ = DENOISER_GRAPH.inputs
    coefficients = Port("coefficients", ("batch", GUIDED_COEFFICIENTS))
    return replace(DENOISER_GRAPH, inputs=(*ports, coefficients, *GUIDING[kind]))


DECODER_GRAPH = Component(
    name="decoder",
    file=DECODER,
    inputs=(_latents("latents"),),
    outputs=(Port("pictures", ("batch", "height", "width", COLOURS), "uint8"),),
    exact=(Gate("max_abs_error", 1.0),),  # a value that lies on the edge between two levels may fall to either side
    stored=(Gate("psnr", 40.0, at_least=True), Gate("ssim", 0.99, at_least=True)),  # dB, and 1 for equal pictures
)
IMAGE_ENCODER_GRAPH = Component(
    name="encoder_image",
    file=IMAGE_ENCODER,
    inputs=(Port("pictures", ("batch", "height", "width", COLOURS), "uint8"),),
    outputs=(_latents("latents"),),
    exact=_EXACT,
    stored=_STORED,
)
TEXT_ENCODER_GRAPH = Component(
    name="text_encoder",
    file=TEXT_ENCODER,
    inputs=(Port("input_ids", ("batch", "prompt"), "int64"),),
    outputs=(_PROMPT,),
    exact=_EXACT,
    stored=_STORED,
)

COMPONENTS = (AUDIO_ENCODER_GRAPH, DENOISER_GRAPH, DECODER_GRAPH, IMAGE_ENCODER_GRAPH, TEXT_ENCODER_GRAPH)

REFERENCE_RUN = (Gate("relative_l2", 0.05),)
"""Latents after all steps of the bundle's graphs, against diffusers' own loop."""

PICTURE = (Gate("psnr", 30.0, at_least=True), Gate("ssim", 0.95, at_least=True))
"""The bundle's picture against diffusers' own: in dB, and in structural similarity."""
