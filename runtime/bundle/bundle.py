"""A bundle: the folder that holds everything the instrument needs, and nothing it must compute.

    bundle = Bundle.open("runtime/bundles/lumia")
    bundle.path("denoiser.onnx"), bundle.conditioning.idle

Opening checks the manifest, the presence, size and sha256 of every file, and the shapes in `conditioning.safetensors`.
Nothing here is ever unpickled.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER, TEXT_ENCODER, TOKENIZER
from clavilux.runtime.bundle.manifest import (
    LIGHT_NUMBERS,
    MANIFEST_FIELDS,
    AudioSpec,
    EvidenceSpec,
    GuidanceSpec,
    KeptOperators,
    LatentSpec,
    Manifest,
    ParityFigure,
    PictureSpec,
    PrecisionSpec,
    ScheduleSpec,
    SizeSpec,
    Source,
    TokenSpec,
)
from clavilux.runtime.bundle.manifest_json import MANIFEST, format_manifest, parse_manifest
from clavilux.runtime.errors import BundleError
from clavilux.runtime.files import FileEntry, describe_file, written_whole

__all__ = [
    "MANIFEST",
    "AudioSpec",
    "Bundle",
    "Conditioning",
    "EvidenceSpec",
    "GuidanceSpec",
    "KeptOperators",
    "LatentSpec",
    "Manifest",
    "ParityFigure",
    "PictureSpec",
    "PrecisionSpec",
    "ScheduleSpec",
    "SizeSpec",
    "Source",
    "TokenSpec",
    "write_conditioning",
    "write_manifest",
]

CONDITIONING = "conditioning.safetensors"

REQUIRED = (AUDIO_ENCODER, DENOISER, DECODER, CONDITIONING)
HALF = ("concepts",)  # embeddings that may be float16 on disk
_TEXT = (TEXT_ENCODER, TOKENIZER)
_MAX_MANIFEST = 16 * 2**20  # bytes


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Cached embeddings, all float32 and read-only. L is the prompt's token count with BOS, D its width.

    On disk `concepts`, which only cosines are taken of, are float16 where that holds them.
    """

    bos: NDArray[np.float32]  # [D]: stands in front of every prompt
    negative: NDArray[np.float32]  # [L, D]: what white noise sounds like, for guidance
    idle: NDArray[np.float32]  # [L, D]: where pictures drift in silence
    token_mean: NDArray[np.float32]  # [L, D]: mean over the encoder's usual sounds
    token_std: NDArray[np.float32]  # [L, D]: standard deviation over them
    concepts: NDArray[np.float32] | None = None  # [K, L-1, D]: one embedding per named concept, without BOS
    light: NDArray[np.float32] | None = None  # [9, D]: what each of LIGHT_NUMBERS, at 1, adds to every token but BOS


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle(Manifest):
    """A bundle that was opened and found sound: the manifest's data, the folder and the cached embeddings."""

    folder: Path
    conditioning: Conditioning

    @classmethod
    def open(cls, folder: Path | str) -> "Bundle":
        """Return the bundle in `folder`, completely checked.

        Raises BundleError: no such folder, no manifest, another format version, a field of the wrong type or range,
        a file that is missing or differs from its recorded size or hash, embeddings of the wrong shape.
        """
        folder = Path(folder)
        manifest = parse_manifest(_read_manifest(folder))
        _check_required(folder, manifest)
        for name, entry in manifest.files.items():
            _check_file(folder / name, entry)
        conditioning = _read_conditioning(folder / CONDITIONING, manifest)
        values = {key: getattr(manifest, key) for key in MANIFEST_FIELDS}
        return cls(folder=folder, conditioning=conditioning, **values)

    def path(self, name: str) -> Path:
        """Return the path of the file `name`, for example "denoiser.onnx".

        Raises BundleError when the manifest does not list it.
        """
        if name not in self.files:
            raise BundleError(f"bundle {self.folder} has no {name}; it has {', '.join(self.files)}")
        return self.folder / name


def write_conditioning(folder: Path, conditioning: Conditioning) -> None:
    """Write `conditioning.safetensors` into `folder`."""
    arrays = {key: value for key, value in vars(conditioning).items() if value is not None}
    # save_file would make a file that only its owner can read
    content = save({key: np.ascontiguousarray(value, _stored_type(key, value)) for key, value in arrays.items()})
    (folder / CONDITIONING).write_bytes(content)


def _stored_type(name: str, array: NDArray[np.float32]) -> type[np.floating]:
    fits = name in HALF and bool(np.abs(array).max(initial=0.0) < np.finfo(np.float16).max)
    return np.float16 if fits else np.float32


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` whole into `folder`.

    Raises BundleError when it could not be read back, and ClaviluxError when the file cannot be written.
    """
    text = format_manifest(manifest)
    parse_manifest(text)
    with written_whole(folder / MANIFEST) as part:
        part.write_text(text, encoding="utf-8")


def _read_manifest(folder: Path) -> str:
    path = folder / MANIFEST
    if not folder.is_dir():
        found = "a file" if folder.exists() else "missing"
        raise BundleError(f"bundle {folder} is {found}; expected a folder with {MANIFEST} in it")
    if not path.is_file():
        raise BundleError(f"bundle {folder} has no {MANIFEST}; expected a folder that `clavilux export` wrote")
    if path.stat().st_size > _MAX_MANIFEST:
        raise BundleError(f"{path} has {path.stat().st_size} bytes; expected at most {_MAX_MANIFEST}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not UTF-8 text ({error.reason}); export the bundle again") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def _check_required(folder: Path, manifest: Manifest) -> None:
    expected = REQUIRED + (_TEXT if any(name in manifest.files for name in _TEXT) else ())
    for name in expected:
        if name not in manifest.files:
            raise BundleError(f"bundle {folder} does not list {name}; expected {', '.join(expected)}")


def _check_file(path: Path, entry: FileEntry) -> None:
    if not path.is_file():
        raise BundleError(f"{path} is missing; copy the bundle again or export it again")
    size = path.stat().st_size
    if size != entry.bytes:
        raise BundleError(f"{path} has {size} bytes; expected {entry.bytes}: copy the bundle again")
    try:
        sha256 = describe_file(path).sha256
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    if sha256 != entry.sha256:
        raise BundleError(f"{path} has sha256 {sha256[:12]}...; expected {entry.sha256[:12]}...: copy the bundle again")


def _read_conditioning(path: Path, manifest: Manifest) -> Conditioning:
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BundleError(f"{path} is not a safetensors file ({error}); export the bundle again") from error
    shapes = _shapes(manifest)
    for name in HALF:
        if name in arrays and arrays[name].dtype == np.float16:
            arrays[name] = arrays[name].astype(np.float32)
    for name, shape in shapes.items():
        _check_array(path, name, arrays.get(name), shape)
    for array in arrays.values():
        array.flags.writeable = False
    return Conditioning(**{name: arrays[name] for name in shapes})


def _shapes(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    count, width = manifest.tokens.count, manifest.tokens.width
    whole = dict.fromkeys(("negative", "idle", "token_mean", "token_std"), (count, width))
    concepts = {"concepts": (len(manifest.concepts), count - 1, width)} if manifest.concepts else {}
    light = {"light": (len(LIGHT_NUMBERS), width)} if manifest.light else {}
    return {"bos": (width,), **whole, **concepts, **light}


def _check_array(path: Path, name: str, array: NDArray[np.float32] | None, shape: tuple[int, ...]) -> None:
    if array is None:
        raise BundleError(f"{path} has no {name!r}; expected float32 of shape {list(shape)}")
    if array.dtype != np.float32 or array.shape != shape:
        found = f"{array.dtype} of shape {list(array.shape)}"
        raise BundleError(f"{path}: {name!r} is {found}; expected float32 of shape {list(shape)}")
    if not np.isfinite(array).all():
        raise BundleError(f"{path}: {name!r} holds NaN or infinity; export the bundle again")
