"""What an export will do, settled from configurations alone: what cannot fit fails here, before any weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clavilux.export.checkpoints.load import Sources
from clavilux.export.checkpoints.locate import Config, origin, read_config, revision
from clavilux.export.models.audio_encoder import check_encoder, most_frames, token_count, token_width
from clavilux.export.models.conditioning import Embedding, check_concepts, check_shapes, read_given
from clavilux.export.models.decoder import check_vae, upscaling
from clavilux.export.models.denoiser import check_unet, downscaling
from clavilux.export.models.schedule import ScheduleChoice, read_schedule
from clavilux.export.models.text_encoder import check_length, check_text_encoder
from clavilux.runtime.bundle.bounds import MAX_TEXT
from clavilux.runtime.bundle.manifest import (
    ARITHMETICS,
    GUIDANCES,
    LEAD_INS,
    MAX_GUIDANCE,
    STORAGES,
    GuidanceSpec,
    LatentSpec,
    ScheduleSpec,
    SizeSpec,
    Source,
)
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import FRAME_LENGTH, FRAME_STEP

SCHEDULER_CONFIG = "scheduler_config.json"
SHORTEST_WINDOW = FRAME_LENGTH + FRAME_STEP  # samples: two frames, the least that has a variance

LAYOUTS = ("diffusers",)

RESIDUAL = ("once", "self")
NO_GUIDANCE = GuidanceSpec()


@dataclass(frozen=True)
class Options:
    """What is free to choose."""

    name: str
    licence: str
    window_samples: int = 60_000  # at 16 kHz: the reference's 3.75 s
    hop_samples: int = 3200  # at 16 kHz: 0.2 s
    lead_in: str = LEAD_INS[0]  # what the encoder was trained to meet before a sound began
    picture: tuple[int, int] = (512, 512)  # height, width in pixels
    storage: str = "float16"  # type of the stored weights where arithmetic is float32
    arithmetic: str = "float32"  # or "float16", for GPUs; or "int8", where it is faster and as good
    schedule: str | None = None  # "euler", "ddim" or "lcm" instead of the scheduler's own class
    spacing: str | None = None  # "trailing" or "leading" instead of the scheduler's own timesteps
    steps: int = 1  # to begin with; the bundle can do any number up to this, and up to LEAST_STEP_COUNTS
    guidance: GuidanceSpec = NO_GUIDANCE
    sizes: tuple[int, int] | None = None  # smallest and largest side of pictures, pixels; None: `picture` only
    batch: int = 1  # pictures at once, at most
    image_encoder: bool = False  # also take pictures in
    layout: str | None = None  # one of LAYOUTS: also write the plain parts as other programs load them
    proof_steps: int = 4  # whole runs are compared with diffusers' up to this many steps
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
    count: int  # tokens of a prompt, BOS included
    latents: LatentSpec
    schedule: ScheduleSpec
    scheduler: Any  # diffusers' own, the reference for `schedule`
    vae_class: str
    sizes: SizeSpec | None
    text: Config | None
    given: Mapping[str, Embedding]


def make_plan(sources: Sources, options: Options) -> Plan:
    """Read all configurations and check them against each other.

    Raises ExportError, naming what was found and what was expected.
    """
    _check_options(options)
    _check_guidance(options.guidance)
    encoder = read_config(sources.encoder, "encoder")
    check_encoder(encoder, sources.encoder)
    vae = read_config(sources.vae, "vae")
    check_vae(vae, sources.vae)
    width, channels = token_width(encoder), vae.get("latent_channels", 4)
    unet = read_config(sources.unet, "unet")
    check_unet(unet, sources.unet, width=width, latent_channels=channels)
    scheduler, schedule = read_schedule(
        read_config(sources.scheduler, "scheduler", SCHEDULER_CONFIG),
        sources.scheduler,
        ScheduleChoice(options.schedule, options.spacing, options.steps),
    )
    frames = most_frames(options.window_samples)
    count = token_count(encoder, frames) + 1
    text = _read_text(sources, width, count)
    given = read_given(sources.conditioning)
    check_concepts(given, options.concepts)
    check_shapes(given, count, width)
    if text is None and "bos" not in given:
        raise ExportError("there is no BOS embedding; give a text encoder, or a conditioning file that holds 'bos'")
    return Plan(
        sources=sources,
        options=options,
        width=width,
        frames=frames,
        count=count,
        latents=_latents(options, channels, upscaling(vae)),
        schedule=schedule,
        scheduler=scheduler,
        vae_class=vae["_class_name"],
        sizes=_sizes(options, upscaling(vae) * downscaling(unet)),
        text=text,
        given=given,
    )


def _read_text(sources: Sources, width: int, count: int) -> Config | None:
    """Return the text encoder's configuration, if there is one; with a tokenizer it must take `count` tokens."""
    if sources.text_encoder is None:
        return None
    text = read_config(sources.text_encoder, "text encoder")
    check_text_encoder(text, sources.text_encoder, width)
    if sources.tokenizer is not None:
        check_length(text, count)
    return text


def _check_options(options: Options) -> None:
    for key, samples in (("window", options.window_samples), ("hop", options.hop_samples)):
        if samples % FRAME_STEP or samples <= 0:
            raise ExportError(f"the {key} has {samples} samples; expected a multiple of {FRAME_STEP} (10 ms at 16 kHz)")
    if options.window_samples < SHORTEST_WINDOW:
        raise ExportError(f"the window has {options.window_samples} samples; expected {SHORTEST_WINDOW} or more")
    if options.hop_samples > options.window_samples:
        raise ExportError(f"the hop ({options.hop_samples}) is longer than the window ({options.window_samples})")
    for key, text, shortest in (("name", options.name, 1), ("licence", options.licence, 0)):
        if not shortest <= len(text) <= MAX_TEXT or not text.isprintable():
            raise ExportError(f"the {key} is {text!r}; expected one line of text, {shortest} to {MAX_TEXT} characters")
    if options.arithmetic == "float16" and options.storage != "float16":
        raise ExportError(f"the storage is {options.storage!r}; float16 arithmetic stores its weights in float16")
    for key, value, choices in (
        ("storage", options.storage, STORAGES),
        ("arithmetic", options.arithmetic, ARITHMETICS),
        ("guidance", options.guidance.kind, GUIDANCES),
        ("layout", options.layout or LAYOUTS[0], LAYOUTS),
    ):
        if value not in choices:
            raise ExportError(f"the {key} is {value!r}; expected one of {', '.join(choices)}")


def _latents(options: Options, channels: int, factor: int) -> LatentSpec:
    height, width = options.picture
    if min(height, width) < factor or height % factor or width % factor:
        raise ExportError(f"the picture is {height}x{width}; expected multiples of {factor}, the vae's, and no less")
    return LatentSpec(channels, height // factor, width // factor)


def _check_guidance(guidance: GuidanceSpec) -> None:
    for key, value, most in (("scale", guidance.scale, MAX_GUIDANCE), ("delta", guidance.delta, 1.0)):
        if not 0 <= value <= most:
            raise ExportError(f"the guidance has {key} {value:g}; expected 0 to {most:g}")
    if guidance.kind == "classic" and guidance.scale < 1:
        raise ExportError(
            f"the guidance is 'classic' with scale {guidance.scale:g}; expected 1 or more, as diffusers does"
        )
    if guidance.kind not in RESIDUAL and guidance.delta != 1:
        raise ExportError(f"the guidance is {guidance.kind!r} with delta {guidance.delta}; delta is for {RESIDUAL}")


def _sizes(options: Options, multiple: int) -> SizeSpec | None:
    """Return what sizes the graphs will take, every side a multiple of what the UNet and the VAE halve."""
    if options.sizes is None:
        return None
    smallest, largest = options.sizes
    for side in (smallest, largest, *options.picture):
        if side % multiple or not smallest <= side <= largest:
            raise ExportError(
                f"the size {side} does not fit sizes from {smallest} to {largest}; expected multiples of {multiple} "
                "between them"
            )
    return SizeSpec(smallest, largest, multiple)


def sources_for_manifest(sources: Sources) -> tuple[Source, ...]:
    """Return one entry per checkpoint, named without any path of this machine."""
    return tuple(Source(role, origin(where), revision(where)) for role, where in sources.checkpoints().items())
