"""The options of an export and their words, without torch: the command line offers what stands here."""

from collections.abc import Callable
from dataclasses import dataclass

from clavilux.runtime.bundle.bounds import MAX_TEXT
from clavilux.runtime.bundle.manifest import (
    ARITHMETICS,
    GUIDANCES,
    MAX_GUIDANCE,
    STORAGES,
    EvidenceSpec,
    GuidanceSpec,
    Source,
)
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import FRAME_LENGTH, FRAME_STEP

Progress = Callable[[str], None]
"""Whoever is told, a line at a time, how far something is."""

LAYOUTS = ("diffusers",)
"""Layouts of other programs, in which the pipeline's parts can be written beside the bundle's own graphs."""

SPACINGS = ("trailing", "leading")
"""How timesteps may lie. With diffusers' `linspace` one step would start, and end, at timestep 0."""

REFERENCE_WINDOW = 60_000  # samples at 16 kHz: 3.75 s
MIN_WINDOW = FRAME_LENGTH + FRAME_STEP  # samples: two frames, the least that has a variance

RESIDUAL = ("once", "self")  # kinds of guidance that have a delta
NO_GUIDANCE = GuidanceSpec()


@dataclass(frozen=True)
class Options:
    """Options of an export: everything that is free to choose besides the checkpoints."""

    name: str
    licence: str
    window_samples: int | None = None  # at 16 kHz; None: as the encoder was trained, or the reference's
    hop_samples: int = 3200  # at 16 kHz: 0.2 s
    lead_in: str | None = None  # what the encoder was trained to meet before a sound began; None: as it tells
    picture: tuple[int, int] | None = None  # height, width in pixels; None: as the UNet was trained
    storage: str = "float16"  # type of the stored weights where arithmetic is float32
    arithmetic: str = "float32"  # or "float16", for GPUs; or "int8", where it is faster and as good
    schedule: str | None = None  # one of SCHEDULES instead of the scheduler's own class
    spacing: str | None = None  # one of SPACINGS instead of the scheduler's own timesteps
    steps: int = 1  # to begin with; the bundle can do any number up to this, and up to MIN_STEP_COUNTS
    guidance: GuidanceSpec = NO_GUIDANCE
    sizes: tuple[int, int] | None = None  # smallest and largest side of pictures, pixels; None: `picture` only
    batch: int = 1  # pictures at once, at most
    image_encoder: bool = False  # also take pictures in
    layout: str | None = None  # one of LAYOUTS: also write the pipeline's parts as other programs load them
    proof_steps: int = 4  # whole runs are compared with diffusers' up to this many steps
    concepts: tuple[str, ...] = ()  # names of the embeddings in the given conditioning
    evidence: EvidenceSpec | None = None  # what counts as one of them; None: measured on sounds without a name
    sources: tuple[Source, ...] = ()  # for the manifest; empty: taken from the checkpoints' names
    overwrite: bool = False  # replace a bundle that is there


def check_window(window_samples: int, hop_samples: int) -> None:
    """Raise ExportError for a window and a hop that lie on no grid of log-mel frames."""
    for key, samples in (("window", window_samples), ("hop", hop_samples)):
        if samples % FRAME_STEP or samples <= 0:
            raise ExportError(f"the {key} has {samples} samples; expected a multiple of {FRAME_STEP} (10 ms at 16 kHz)")
    if window_samples < MIN_WINDOW:
        raise ExportError(f"the window has {window_samples} samples; expected {MIN_WINDOW} or more")
    if hop_samples > window_samples:
        raise ExportError(f"the hop ({hop_samples}) is longer than the window ({window_samples})")


def check_options(options: Options) -> None:
    """Raise ExportError, naming what was found and what was expected, for options that no checkpoint can meet."""
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
    _check_guidance(options.guidance)


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
