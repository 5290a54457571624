"""What an export will do, settled from configurations alone: what cannot fit fails here, before any weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.audio import check_encoder, most_frames, token_width
from export.checkpoints import Config, Sources, origin, read_config
from export.conditioning import Embedding, check_concepts, read_given
from export.decoder import check_vae, upscaling
from export.denoiser import check_unet
from export.schedule import read_schedule
from export.text import check_text_encoder
from runtime.errors import ExportError
from runtime.manifest import FRAME_LENGTH, FRAME_STEP, LEAD_INS, STORAGES, LatentSpec, ScheduleSpec, Source

SCHEDULER_CONFIG = "scheduler_config.json"
SHORTEST_WINDOW = FRAME_LENGTH + FRAME_STEP  # samples: two frames, the least that has a variance


@dataclass(frozen=True)
class Options:
    """What is free to choose."""

    name: str
    licence: str
    window_samples: int = 60_000  # at 16 kHz: the reference's 3.75 s
    hop_samples: int = 3200  # at 16 kHz: 0.2 s
    lead_in: str = LEAD_INS[0]  # what the encoder was trained to meet before a sound began
    picture: tuple[int, int] = (512, 512)  # height, width in pixels
    storage: str = "float16"  # type of the stored weights; arithmetic is float32
    schedule: str | None = None  # "euler", "ddim" or "lcm" instead of the scheduler's own class
    spacing: str | None = None  # "trailing" or "leading" instead of the scheduler's own timesteps
    concepts: tuple[str, ...] = ()  # names of the embeddings in the given conditioning
    sources: tuple[Source, ...] = ()  # for the manifest; empty: taken from the checkpoints' names
    overwrite: bool = False  # replace a bundle that is there


@dataclass(frozen=True)
class Plan:
    """Everything that is known before weights are loaded."""

    sources: Sources
    options: Options
    width: int  # of a token
    frames: int  # padded length of a window
    latents: LatentSpec
    schedule: ScheduleSpec
    scheduler: Any  # diffusers' own, the reference for `schedule`
    vae_class: str
    text: Config | None
    given: Mapping[str, Embedding]


def make_plan(sources: Sources, options: Options) -> Plan:
    """Read all configurations and check them against each other.

    Raises ExportError, naming what was found and what was expected.
    """
    _check_options(options)
    encoder = read_config(sources.encoder, "encoder")
    check_encoder(encoder, sources.encoder)
    vae = read_config(sources.vae, "vae")
    check_vae(vae, sources.vae)
    width, channels = token_width(encoder), vae.get("latent_channels", 4)
    check_unet(read_config(sources.unet, "unet"), sources.unet, width=width, latent_channels=channels)
    scheduler, schedule = read_schedule(
        read_config(sources.scheduler, "scheduler", SCHEDULER_CONFIG),
        sources.scheduler,
        options.schedule,
        options.spacing,
    )
    text = read_config(sources.text_encoder, "text encoder") if sources.text_encoder else None
    if text is not None:
        check_text_encoder(text, sources.text_encoder, width)
    given = read_given(sources.conditioning)
    check_concepts(given, options.concepts)
    if text is None and "bos" not in given:
        raise ExportError("there is no BOS embedding; give a text encoder, or a conditioning file that holds 'bos'")
    return Plan(
        sources=sources,
        options=options,
        width=width,
        frames=most_frames(options.window_samples),
        latents=_latents(options, channels, upscaling(vae)),
        schedule=schedule,
        scheduler=scheduler,
        vae_class=vae["_class_name"],
        text=text,
        given=given,
    )


def _check_options(options: Options) -> None:
    for key, samples in (("window", options.window_samples), ("hop", options.hop_samples)):
        if samples % FRAME_STEP or samples <= 0:
            raise ExportError(f"the {key} has {samples} samples; expected a multiple of {FRAME_STEP} (10 ms at 16 kHz)")
    if options.window_samples < SHORTEST_WINDOW:
        raise ExportError(f"the window has {options.window_samples} samples; expected {SHORTEST_WINDOW} or more")
    if options.hop_samples > options.window_samples:
        raise ExportError(f"the hop ({options.hop_samples}) is longer than the window ({options.window_samples})")
    if options.storage not in STORAGES:
        raise ExportError(f"the storage is {options.storage!r}; expected one of {', '.join(STORAGES)}")


def _latents(options: Options, channels: int, factor: int) -> LatentSpec:
    height, width = options.picture
    if min(height, width) < factor or height % factor or width % factor:
        raise ExportError(f"the picture is {height}x{width}; expected multiples of {factor}, the vae's factor")
    return LatentSpec(channels, height // factor, width // factor)


def sources_for_manifest(sources: Sources, options: Options) -> tuple[Source, ...]:
    """Return the given sources, or one per checkpoint, named without any path of this machine."""
    if options.sources:
        return options.sources
    named = {role: where for role, where in vars(sources).items() if where is not None}
    return tuple(Source(role, origin(where)) for role, where in named.items())
