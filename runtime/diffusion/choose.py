"""Choice of the pipeline for two sessions: on the card where both lie there, else through the host, and why."""

import logging
from pathlib import Path

import numpy as np

from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.diffusion.device_pipeline import DevicePipeline
from clavilux.runtime.diffusion.host_pipeline import HostPipeline
from clavilux.runtime.diffusion.motion import TAPS
from clavilux.runtime.diffusion.pipeline import Pipeline
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia import cuda, tensorrt_rtx
from clavilux.runtime.providers.nvidia.io_binding import TYPES, BoundSession
from clavilux.runtime.providers.session import GraphFile, ShapeRange

log = logging.getLogger("clavilux.pipeline")

ANY_LATENTS = ShapeRange((1, 1, 1, 1), (1, 4, 64, 64), (1, 64, 1024, 1024))  # up to 8192 pixels a side, at 8 for each
START = GraphFile(Path(__file__).with_name("start.onnx"), shapes={"noise": ANY_LATENTS, "latents": ANY_LATENTS})
"""Graph of a run's first sample; `clavilux.export.graphs.start_graph` writes it."""
ANY_TAPS = ShapeRange((TAPS * TAPS, 1, 1), (TAPS * TAPS, 64, 64), (TAPS * TAPS, 1024, 1024))  # as ANY_LATENTS
WARP = GraphFile(
    Path(__file__).with_name("warp.onnx"), shapes={"latents": ANY_LATENTS, "places": ANY_TAPS, "weights": ANY_TAPS}
)
"""Graph that moves the last latents; `clavilux.export.graphs.warp_graph` writes it."""


def open_pipeline(denoiser: Denoiser, decoder: Decoder) -> Pipeline:
    """Return the pipeline for these two: on the card where both lie there, else on the host.

    Where one of them lies on a card and the pictures go through the host all the same, the log says why. Raises
    ProviderError when the card does not take the graphs that begin a picture there.
    """
    first, second = denoiser.session, decoder.session
    obstacle = "only one of denoiser and decoder runs on the card"
    if isinstance(first, BoundSession) and isinstance(second, BoundSession):
        obstacle = _obstacle(first, second)
        if not obstacle:
            return DevicePipeline(denoiser, *open_beginning(first), first, second)
    if isinstance(first, BoundSession) or isinstance(second, BoundSession):
        log.warning("latents go through the host for every picture: %s", obstacle)
    return HostPipeline(denoiser, decoder)


def open_beginning(denoiser: BoundSession) -> tuple[BoundSession, BoundSession]:
    """Load START and WARP, on the card and the stream of `denoiser`. Raises ProviderError.

    Beside TensorRT's engines they run on CUDA's provider: TensorRT would build an engine for three nodes, and wait for
    each of its replays. TensorRT for RTX comes without that provider, so that it has to run the graphs itself.
    """
    if denoiser.stream is None:
        raise ProviderError(f"{denoiser.name} has no stream of its own that {START.path.name} could run on")
    opener = tensorrt_rtx.open_on if denoiser.provider == tensorrt_rtx.RTX else cuda.open_on
    start, warp = (opener(graph, 1, denoiser.stream, captures=denoiser.captures) for graph in (START, WARP))
    return start, warp


def _obstacle(denoiser: BoundSession, decoder: BoundSession) -> str:
    """Return why latents of the one cannot go to the other on the card; "" when they can."""
    if denoiser.stream is None or denoiser.stream is not decoder.stream:
        return f"{denoiser.name} and {decoder.name} do not share a stream"
    given = [TYPES.get(kind) for kind in denoiser.results]
    taken = [*denoiser.inputs.values(), *decoder.inputs.values()]
    if len(given) != 2 or {*given, *taken} != {np.float32}:
        return f"expected float32 in and out of {denoiser.name} and into {decoder.name}; export the bundle again"
    if [TYPES.get(kind) for kind in decoder.results] != [np.uint8]:
        return f"{decoder.name} gives {', '.join(decoder.results)}, expected one tensor(uint8); export the bundle again"
    return ""
