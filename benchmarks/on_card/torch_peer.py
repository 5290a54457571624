"""PyTorch on the same card at sd-turbo's size: eager, captured as a CUDA graph, and compiled.

Float16, channels-last, fresh weights, as diffusers advises. Parts are told apart, because bundles differ in their
decoder: `tiny` is an AutoencoderTiny, `kl` the AutoencoderKL of every Stable Diffusion 1.x and 2.x.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.percentiles import MS

LATENTS = (1, 4, 64, 64)  # of a picture of 512x512
PROMPT = (1, 77, 1024)
TIMESTEP = 999.0
SETTLED, TIMED = 5, 60  # runs
MODE = "reduce-overhead"  # torch.compile with CUDA graphs


def peer() -> Iterator[dict[str, Any]]:
    """Yield ms of each part in each way, and the seconds that compiling took. Raises BenchError without a card."""
    torch = _torch()
    found: dict[str, Any] = {}
    with torch.inference_mode():
        for name, model, run in _parts(torch):
            found[name] = {"eager_ms": _median_ms(torch, run), "graph_ms": _median_ms(torch, _captured(torch, run))}
            yield found
            since = time.perf_counter()
            model.compile(mode=MODE)
            run()
            found[name] |= {"compile_s": round(time.perf_counter() - since, 1), "compiled_ms": _median_ms(torch, run)}
            yield found


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise BenchError("torch is not installed; run: pip install torch diffusers") from error
    if not torch.cuda.is_available():
        raise BenchError(f"torch {torch.__version__} sees no card")
    return torch


def _parts(torch: Any) -> Iterator[tuple[str, Any, Callable[[], object]]]:
    """Yield each part's name, the module that is compiled, and a run of it."""
    from diffusers import AutoencoderTiny

    from clavilux.benchmarks.peers import turbo

    def on_card(build: Callable[[], Any]) -> Any:
        with torch.device("cuda"):  # where drawing a billion weights takes no time
            return build().half().eval().to(memory_format=torch.channels_last)

    latents = torch.randn(LATENTS, device="cuda", dtype=torch.half).to(memory_format=torch.channels_last)
    timestep, prompt = torch.tensor([TIMESTEP], device="cuda"), torch.randn(PROMPT, device="cuda", dtype=torch.half)
    unet = on_card(turbo.unet)
    yield "unet", unet, lambda: unet(latents, timestep, encoder_hidden_states=prompt, return_dict=False)[0]
    tiny = on_card(AutoencoderTiny).decoder
    yield "tiny", tiny, lambda: tiny(latents)
    kl = on_card(turbo.autoencoder).decoder
    yield "kl", kl, lambda: kl(latents)


def _captured(torch: Any, run: Callable[[], object]) -> Callable[[], object]:
    """Return what replays a run that was captured; before, it runs on a stream of its own, as capture wants it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(SETTLED):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    replay: Callable[[], object] = graph.replay
    return replay


def _median_ms(torch: Any, run: Callable[[], object]) -> float:
    for _ in range(SETTLED):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(TIMED):
        since = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - since)
    return round(float(sorted(times)[TIMED // 2]) * MS, 3)
