"""The bundle's manifest, `bundle.json`, as typed data with the bounds of every field.

What is read from outside and written is the task of `clavilux.runtime.bundle.manifest_json`; the folder around it is
that of `clavilux.runtime.bundle.bundle`.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from clavilux.runtime.bundle.bounds import line, number, one_of, whole
from clavilux.runtime.files import FileEntry
from clavilux.runtime.sound.format import FRAME_LENGTH, FRAME_STEP, MEL_BINS, SAMPLE_RATE

SCHEDULES = ("euler", "ddim", "lcm")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
ARITHMETICS = ("float32", "float16", "int8")
STORAGES = ("float32", "float16")
LEAD_INS = ("nothing", "silence")
"""Lead-ins: how a sound that is younger than its window began when the encoder was trained; a shorter window, padded
after normalisation as the reference does, or digital silence."""

GUIDANCES = ("none", "classic", "once", "self")
"""Kinds of guidance, away from the negative prompt: none; by a second pass of the UNet in every step (Ho and Salimans
2022, arXiv:2207.12598); or by the residual to one negative pass a picture, or to none (Kodaira et al. 2023,
arXiv:2312.12491, onetime-negative and self-negative R-CFG)."""

LIGHT_NUMBERS = (
    "hue_cosine", "hue_sine", "place", "fineness", "turbulence", "sheets", "symmetry", "extent", "light",
)  # fmt: skip
"""Numbers that a light is told by, each -1 to 1; the conditioning of a bundle that paints light has a row for each.
Hue is an angle, C at 0; how far it is from the middle is how much colour there is."""

MAX_GUIDANCE = 30.0
MAX_STEPS = 1000
MAX_BATCH = 64
MAX_PIXELS = 4096 * 4096
"""Pixels of a picture, however it is shaped: several pictures are kept, 50 MB each."""

MAX_LATENTS = 2**26
"""Numbers in the latents of a batch: a picture takes four times as many bytes as they have, 1 GB in all."""

_MAX_SAMPLES = 60 * SAMPLE_RATE
_MAX_SIDE = 8192  # pixels
_MAX_TIMESTEP = 1e6
_MAX_FIGURE = 1e30  # either way
_MAX_OPERATORS = 2**40
_MAX_PERSISTENCE = 10.0  # s
_MAX_FILE_NAME = 255  # characters: what file systems allow

Line = Annotated[str, line()]
LatentSide = Annotated[int, whole(1, _MAX_SIDE)]
Side = Annotated[int, whole(8, _MAX_SIDE)]
Share = Annotated[float, number(0.0, 1.0)]
Figure = Annotated[float, number(-_MAX_FIGURE, _MAX_FIGURE)]
Arithmetic = Annotated[str, one_of(ARITHMETICS)]
StepCount = Annotated[int, Meta(ge=1, le=9999, description="a number of steps, 1 to 9999")]
Timestep = Annotated[float, number(0.0, _MAX_TIMESTEP)]
FileName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\Z",
        max_length=_MAX_FILE_NAME,
        description="plain file names of letters, digits, . _ -",
    ),
]
"""No separators, no `..`, no hidden files: it cannot lead out of the bundle's folder."""


@dataclass(frozen=True)
class Source:
    """Origin of one component."""

    component: Line
    origin: Line  # a hub name or a folder's name
    revision: Line = ""
    licence: Line = ""


@dataclass(frozen=True)
class AudioSpec:
    """Sound that the audio encoder listens to."""

    sample_rate: Annotated[int, whole(SAMPLE_RATE, SAMPLE_RATE)]  # Hz
    window_samples: Annotated[int, whole(FRAME_LENGTH + FRAME_STEP, _MAX_SAMPLES, FRAME_STEP)]
    hop_samples: Annotated[int, whole(FRAME_STEP, _MAX_SAMPLES, FRAME_STEP)]  # at most the window
    mel_bins: Annotated[int, whole(MEL_BINS, MEL_BINS)]
    lead_in: Annotated[str, one_of(LEAD_INS)] = LEAD_INS[0]  # what fills a window before its sound began


@dataclass(frozen=True)
class EvidenceSpec:
    """Evidence that a sound is the concept it is nearest to, as measured for this bundle's encoder.

    The defaults are lumia's, measured by `clavilux.benchmarks.studies.hearing`.
    """

    similarity: Share = 0.5  # cosine from which a concept is near enough for something short, such as a word,
    persistence: Annotated[float, number(0.0, _MAX_PERSISTENCE)] = 0.08  # s after its end, by similarity squared
    held_similarity: Share = 0.9  # and from which it is for a sound that goes on,
    held_persistence: Annotated[float, number(0.0, _MAX_PERSISTENCE)] = 1.0  # after so many s


@dataclass(frozen=True)
class TokenSpec:
    """Shape of the prompt [count, width]; `count` includes the BOS token."""

    count: Annotated[int, whole(2, 4096)]
    width: Annotated[int, whole(1, 16384)]


@dataclass(frozen=True)
class LatentSpec:
    """Shape of the latents [channels, height, width]."""

    channels: Annotated[int, whole(1, 64)]
    height: LatentSide
    width: LatentSide


@dataclass(frozen=True)
class PictureSpec:
    """Size of the pictures in pixels."""

    height: Side
    width: Side


@dataclass(frozen=True)
class ScheduleSpec:
    """A diffusers scheduler as plain numbers."""

    kind: Annotated[str, one_of(SCHEDULES)]
    prediction: Annotated[str, one_of(PREDICTIONS)]  # what the UNet's output means
    alphas_cumprod: tuple[Share, ...]  # one per training step, 0 to 1
    timesteps: dict[StepCount, tuple[Timestep, ...]]  # by number of steps, falling
    initial_noise: Annotated[float, number(0.0, 100.0)]  # scale of N(0, 1) noise at full strength, variance-preserving
    final_alpha: Share  # alpha_cumprod after the last step


@dataclass(frozen=True)
class GuidanceSpec:
    """Classifier-free guidance, whose kind is part of the denoiser's graph."""

    kind: Annotated[str, one_of(GUIDANCES)] = GUIDANCES[0]
    scale: Annotated[float, number(0.0, MAX_GUIDANCE)] = 1.0  # to begin with; 1 is no guidance
    delta: Share = 1.0  # strength of a residual's virtual negative noise


@dataclass(frozen=True)
class SizeSpec:
    """Sizes a bundle can paint besides its usual one: sides in pixels."""

    smallest: Side
    largest: Side
    multiple: Annotated[int, whole(1, _MAX_SIDE)]  # every side is a whole number of these


@dataclass(frozen=True)
class KeptOperators:
    """Operators of one component that stay in float32 although the rest computes in less."""

    component: Line
    operators: Line  # ONNX operator types
    count: Annotated[int, whole(1, _MAX_OPERATORS)]
    why: Line


@dataclass(frozen=True)
class ArithmeticChoice:
    """Reason why one component computes in its arithmetic."""

    component: Line
    arithmetic: Arithmetic
    why: Line  # the figures that decided, in words


@dataclass(frozen=True)
class PrecisionSpec:
    """Type that is computed in, and type the weights are stored in."""

    arithmetic: Arithmetic
    storage: Annotated[str, one_of(STORAGES)]
    kept: tuple[KeptOperators, ...] = ()
    choices: tuple[ArithmeticChoice, ...] = ()  # components that differ from `arithmetic`, or had another one tried


@dataclass(frozen=True)
class ParityFigure:
    """One figure of the proof that the bundle equals its original."""

    component: Line
    figure: Line
    value: Figure
    threshold: Figure


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest: all that `bundle.json` says."""

    name: Annotated[str, line(shortest=1)]
    licence: Line
    sources: tuple[Source, ...]
    audio: AudioSpec
    tokens: TokenSpec
    latents: LatentSpec
    picture: PictureSpec
    schedule: ScheduleSpec
    precision: PrecisionSpec
    files: dict[FileName, FileEntry]
    parity: tuple[ParityFigure, ...] = ()
    concepts: tuple[Line, ...] = ()
    evidence: EvidenceSpec = EvidenceSpec()
    steps: Annotated[int, whole(1, MAX_STEPS)] = 1  # to begin with
    guidance: GuidanceSpec = GuidanceSpec()
    sizes: SizeSpec | None = None  # None: the usual size only
    batch: Annotated[int, whole(1, MAX_BATCH)] = 1  # pictures that one run of the graphs can make, at most
    light: bool = False  # whether it paints light, too: then the conditioning says how its numbers are told


MANIFEST_FIELDS = tuple(Manifest.__dataclass_fields__)
