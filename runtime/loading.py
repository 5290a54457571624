"""Loading: from a bundle's folder and a device's name to an instrument or an engine.

with open_engine("my-bundle", device="cuda") as engine:
    ...
"""

from pathlib import Path

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.clock import Clock
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.diffusion.guider import guider_for
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.hearing.audio_encoder import AudioEncoder
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.models import Models, workloads
from clavilux.runtime.placement.autotune import open_graphs
from clavilux.runtime.placement.devices import check_threads
from clavilux.runtime.playing.engine import Engine

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "lumia"


def open_models(bundle: Path | str | None = None, *, device: str = "cpu", threads: int = 0) -> tuple[Bundle, Models]:
    """Open a bundle (None: the default one) and load its graphs on `device`, "auto" for the fastest ones.

    `threads` is how many they run on, 0 for one per core. Any number of instruments can share the models, each in its
    turn. Raises BundleError or ProviderError.
    """
    check_threads(threads)
    opened = Bundle.open(bundle or DEFAULT_BUNDLE)
    sessions = open_graphs(opened, device, threads, workloads)
    encoder, denoiser, decoder = (sessions[name] for name in (AUDIO_ENCODER, DENOISER, DECODER))
    guider = guider_for(opened.guidance, opened.conditioning.negative)
    schedule = Schedule(opened.schedule)
    return opened, Models(AudioEncoder(encoder), Denoiser(denoiser, schedule, guider), Decoder(decoder))


def open_instrument(bundle: Path | str | None = None, *, device: str = "cpu", threads: int = 0) -> Instrument:
    """Return an instrument for a bundle, as `open_models` opens it. Raises BundleError or ProviderError."""
    return Instrument(*open_models(bundle, device=device, threads=threads))


def open_engine(
    bundle: Path | str | None = None, *, device: str = "cpu", threads: int = 0, clock: Clock | None = None
) -> Engine:
    """Return an engine for a bundle (None: the default one), not yet started. Raises BundleError or ProviderError."""
    return Engine(open_instrument(bundle, device=device, threads=threads), clock=clock)
