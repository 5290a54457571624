"""The bundle's manifest, `bundle.json`, as typed and checked data.

The manifest comes from outside: every field is checked for type and range, and a message names the field, what was
found and what was expected. Reading and writing the folder around it is the task of `clavilux.runtime.bundle.bundle`.
"""

import json
import re
from dataclasses import asdict, dataclass
from itertools import pairwise

from clavilux.runtime.bundle.json_fields import Table, show
from clavilux.runtime.errors import BundleError

FORMAT = 1
"""Version of the bundle's layout. A reader takes this one only."""

SAMPLE_RATE = 16_000  # Hz; what Wav2Vec2-BERT was trained on
MEL_BINS = 80
FRAME_STEP = 160  # samples between two log-mel frames: 10 ms
FRAME_LENGTH = 400  # samples under one log-mel frame: 25 ms

SCHEDULES = ("euler", "ddim", "lcm")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
ARITHMETICS = ("float32", "float16", "int8")
STORAGES = ("float32", "float16")
LEAD_INS = ("nothing", "silence")
"""What an encoder was trained to meet before a sound that is younger than its window: a shorter window, padded after
normalisation as the reference does, or digital silence."""

GUIDANCES = ("none", "classic", "once", "self")
"""How a picture is led away from the negative prompt: not at all; by a second pass of the UNet in every step (Ho and
Salimans 2022, arXiv:2207.12598); or by the residual to one negative pass a picture, or to none (Kodaira et al. 2023,
arXiv:2312.12491, onetime-negative and self-negative R-CFG)."""

MOST_GUIDANCE = 30.0
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_SAMPLES = 60 * SAMPLE_RATE
_MOST_PIXELS = 8192  # per side
MOST_STEPS = 1000
MOST_BATCH = 64
_MOST_BYTES = 2**40


@dataclass(frozen=True)
class Source:
    """Where one component came from."""

    component: str
    origin: str  # a hub name or a folder's name
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True)
class AudioSpec:
    """What the audio encoder listens to."""

    sample_rate: int  # Hz
    window_samples: int  # multiple of FRAME_STEP
    hop_samples: int  # multiple of FRAME_STEP, at most the window
    mel_bins: int
    lead_in: str = "nothing"  # what fills a window before its sound began: see LEAD_INS


@dataclass(frozen=True)
class TokenSpec:
    """Shape of the prompt [count, width]; `count` includes the BOS token."""

    count: int
    width: int


@dataclass(frozen=True)
class LatentSpec:
    """Shape of the latents [channels, height, width]."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class PictureSpec:
    """Size of the pictures in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class ScheduleSpec:
    """A diffusers scheduler as plain numbers."""

    kind: str  # one of SCHEDULES
    prediction: str  # one of PREDICTIONS: what the UNet's output means
    alphas_cumprod: tuple[float, ...]  # one per training step, 0 to 1
    timesteps: dict[int, tuple[float, ...]]  # by number of steps, falling
    initial_noise: float  # scale of N(0, 1) noise at full strength, variance-preserving
    final_alpha: float  # alpha_cumprod after the last step


@dataclass(frozen=True)
class GuidanceSpec:
    """Classifier-free guidance, whose kind is part of the denoiser's graph."""

    kind: str = "none"  # one of GUIDANCES
    scale: float = 1.0  # to begin with; 1 is no guidance
    delta: float = 1.0  # strength of a residual's virtual negative noise, 0 to 1


@dataclass(frozen=True)
class SizeSpec:
    """Sizes a bundle can paint besides its usual one: sides in pixels."""

    smallest: int
    largest: int
    multiple: int  # every side is a whole number of these


@dataclass(frozen=True)
class KeptOperators:
    """Operators of one component that stay in float32 although the rest computes in less."""

    component: str
    operators: str  # ONNX operator types
    count: int
    why: str


@dataclass(frozen=True)
class Choice:
    """What was measured before one component's arithmetic was chosen."""

    component: str
    arithmetic: str  # one of ARITHMETICS
    why: str  # the figures that decided, in words


@dataclass(frozen=True)
class PrecisionSpec:
    """Type that is computed in, and type the weights are stored in."""

    arithmetic: str
    storage: str
    kept: tuple[KeptOperators, ...] = ()
    choices: tuple[Choice, ...] = ()  # components that differ from `arithmetic`, or had another one tried


@dataclass(frozen=True)
class FileEntry:
    """Size and hash of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ParityFigure:
    """One figure of the proof that the bundle equals its original."""

    component: str
    figure: str
    value: float
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that `bundle.json` says."""

    name: str
    licence: str
    sources: tuple[Source, ...]
    audio: AudioSpec
    tokens: TokenSpec
    latents: LatentSpec
    picture: PictureSpec
    schedule: ScheduleSpec
    precision: PrecisionSpec
    files: dict[str, FileEntry]
    parity: tuple[ParityFigure, ...] = ()
    concepts: tuple[str, ...] = ()
    steps: int = 1  # to begin with
    guidance: GuidanceSpec = GuidanceSpec()
    sizes: SizeSpec | None = None  # None: the usual size only
    batch: int = 1  # pictures that one run of the graphs can make, at most


MANIFEST_FIELDS = tuple(Manifest.__dataclass_fields__)


def format_manifest(manifest: Manifest) -> str:
    """Return the JSON text of `manifest`."""
    everything = {"format": FORMAT} | {key: asdict(manifest)[key] for key in MANIFEST_FIELDS}
    return json.dumps(everything, indent=1, allow_nan=False) + "\n"


def parse_manifest(text: str) -> Manifest:
    """Return the checked manifest in the JSON `text`.

    Raises BundleError, naming the field, what was found and what was expected.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"bundle.json is not JSON ({error}); export the bundle again") from error
    root = Table(found, "bundle.json")
    if root.found.get("format") != FORMAT:
        raise BundleError(
            f"bundle.json has format {root.found.get('format')!r}; this version of Clavilux reads {FORMAT}"
        )
    manifest = Manifest(
        name=root.text("name", shortest=1),
        licence=root.text("licence"),
        sources=tuple(_source(entry) for entry in root.tables("sources")),
        audio=_audio(root.table("audio")),
        tokens=_tokens(root.table("tokens")),
        latents=_latents(root.table("latents")),
        picture=_picture(root.table("picture")),
        schedule=_schedule(root.table("schedule")),
        precision=_precision(root.table("precision")),
        files=_files(root.table("files")),
        parity=tuple(_figure(entry) for entry in root.tables("parity", optional=True)),
        concepts=root.texts("concepts"),
        steps=root.integer("steps", 1, MOST_STEPS) if "steps" in root.found else 1,
        guidance=_guidance(root.table("guidance")) if "guidance" in root.found else GuidanceSpec(),
        sizes=_sizes(root.table("sizes")) if root.found.get("sizes") is not None else None,
        batch=root.integer("batch", 1, MOST_BATCH) if "batch" in root.found else 1,
    )
    _check_picture(manifest.latents, manifest.picture)
    _check_sizes(manifest.sizes, manifest.picture, manifest.picture.height // manifest.latents.height)
    if manifest.steps not in manifest.schedule.timesteps:
        raise BundleError(f"bundle.json: steps is {manifest.steps}; expected a number that the schedule has")
    return manifest


def _source(entry: Table) -> Source:
    return Source(*(entry.text(key) for key in ("component", "origin", "revision", "licence")))


def _audio(table: Table) -> AudioSpec:
    rate = table.integer("sample_rate", SAMPLE_RATE, SAMPLE_RATE)
    window = table.integer("window_samples", FRAME_LENGTH + FRAME_STEP, _MOST_SAMPLES)
    hop = table.integer("hop_samples", FRAME_STEP, window)
    for key, value in (("window_samples", window), ("hop_samples", hop)):
        if value % FRAME_STEP:
            raise BundleError(f"{table.where}: {key} is {value}; expected a multiple of {FRAME_STEP}")
    lead_in = table.choice("lead_in", LEAD_INS) if "lead_in" in table.found else LEAD_INS[0]
    return AudioSpec(rate, window, hop, table.integer("mel_bins", MEL_BINS, MEL_BINS), lead_in)


def _tokens(table: Table) -> TokenSpec:
    return TokenSpec(table.integer("count", 2, 4096), table.integer("width", 1, 16384))


def _latents(table: Table) -> LatentSpec:
    height, width = (table.integer(key, 1, _MOST_PIXELS) for key in ("height", "width"))
    return LatentSpec(table.integer("channels", 1, 64), height, width)


def _picture(table: Table) -> PictureSpec:
    height, width = (table.integer(key, 8, _MOST_PIXELS) for key in ("height", "width"))
    return PictureSpec(height, width)


def _precision(table: Table) -> PrecisionSpec:
    return PrecisionSpec(
        table.choice("arithmetic", ARITHMETICS),
        table.choice("storage", STORAGES),
        tuple(_kept(entry) for entry in table.tables("kept", optional=True)),
        tuple(_choice(entry) for entry in table.tables("choices", optional=True)),
    )


def _kept(entry: Table) -> KeptOperators:
    count = entry.integer("count", 1, _MOST_BYTES)
    return KeptOperators(entry.text("component"), entry.text("operators"), count, entry.text("why"))


def _choice(entry: Table) -> Choice:
    return Choice(entry.text("component"), entry.choice("arithmetic", ARITHMETICS), entry.text("why"))


def _guidance(table: Table) -> GuidanceSpec:
    scale, delta = table.number("scale", 0.0, MOST_GUIDANCE), table.number("delta", 0.0, 1.0)
    return GuidanceSpec(table.choice("kind", GUIDANCES), scale, delta)


def _sizes(table: Table) -> SizeSpec:
    smallest = table.integer("smallest", 8, _MOST_PIXELS)
    largest = table.integer("largest", smallest, _MOST_PIXELS)
    return SizeSpec(smallest, largest, table.integer("multiple", 1, largest))


def _schedule(table: Table) -> ScheduleSpec:
    kind, prediction = table.choice("kind", SCHEDULES), table.choice("prediction", PREDICTIONS)
    alphas = table.numbers("alphas_cumprod", 0.0, 1.0)
    if not alphas:
        raise BundleError(f"{table.where}: alphas_cumprod is empty; expected one number per training step")
    return ScheduleSpec(
        kind=kind,
        prediction=prediction,
        alphas_cumprod=alphas,
        timesteps=_timesteps(table.table("timesteps"), len(alphas)),
        initial_noise=table.number("initial_noise", 0.0, 100.0),
        final_alpha=table.number("final_alpha", 0.0, 1.0),
    )


def _timesteps(table: Table, training_steps: int) -> dict[int, tuple[float, ...]]:
    if "1" not in table.found:
        raise BundleError(f"{table.where}: 1 is missing; expected the timesteps of one-step pictures")
    timesteps = {int(key): _falling(table, key, training_steps) for key in map(_count, table.found)}
    if missing := set(range(1, max(timesteps))).difference(timesteps):
        raise BundleError(f"{table.where}: {min(missing)} is missing; expected every number of steps up to the largest")
    return timesteps


def _count(key: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", key):
        raise BundleError(
            f"bundle.json: schedule: timesteps has the key {key!r}; expected a number of steps, 1 to 9999"
        )
    return key


def _falling(table: Table, key: str, training_steps: int) -> tuple[float, ...]:
    steps = table.numbers(key, 0, training_steps - 1)
    if len(steps) != int(key) or any(later >= earlier for earlier, later in pairwise(steps)):
        raise BundleError(f"{table.where}: {key} is {show(steps)}; expected {key} falling timesteps")
    return steps


def _files(table: Table) -> dict[str, FileEntry]:
    for name in table.found:
        check_file_name(name)
    return {name: _file(table.table(name)) for name in table.found}


def check_file_name(name: str) -> None:
    """Raise BundleError unless `name` is a plain file name: no separators, no `..`, no hidden files."""
    if not _FILE_NAME.fullmatch(name) or len(name) > 255:  # 255: what file systems allow
        raise BundleError(f"bundle.json: files names {show(name)}; expected plain file names of letters, digits, . _ -")


def _file(entry: Table) -> FileEntry:
    sha256 = entry.text("sha256")
    if not _SHA256.fullmatch(sha256):
        raise BundleError(f"{entry.where}: sha256 is {show(sha256)}; expected 64 hexadecimal digits")
    return FileEntry(entry.integer("bytes", 0, _MOST_BYTES), sha256)


def _figure(entry: Table) -> ParityFigure:
    limit = 1e30
    value, threshold = (entry.number(key, -limit, limit) for key in ("value", "threshold"))
    return ParityFigure(entry.text("component"), entry.text("figure"), value, threshold)


def _check_picture(latents: LatentSpec, picture: PictureSpec) -> None:
    factor = picture.height / latents.height
    if factor != picture.width / latents.width or factor != int(factor):
        raise BundleError(
            f"bundle.json: a picture of {picture.height}x{picture.width} does not fit latents of "
            f"{latents.height}x{latents.width}; expected the same whole factor both ways"
        )


def _check_sizes(sizes: SizeSpec | None, picture: PictureSpec, factor: int) -> None:
    """Raise BundleError unless the usual size is one of `sizes`, and every one makes whole latents."""
    if sizes is None:
        return
    if sizes.multiple % factor:
        raise BundleError(f"bundle.json: sizes: multiple is {sizes.multiple}; expected a multiple of {factor}")
    for side in (sizes.smallest, sizes.largest, picture.height, picture.width):
        if side % sizes.multiple or not sizes.smallest <= side <= sizes.largest:
            raise BundleError(
                f"bundle.json: the side {side} does not fit sizes {sizes.smallest} to {sizes.largest}; expected "
                f"multiples of {sizes.multiple} between them"
            )
