"""Snapshots of an instrument and its screen between two frames, so that a film goes on as if it had never stopped.

A snapshot is a pickle of all their state but for what is the same in every process (the bundle, the models). It is read
with an unpickler that makes nothing but the instrument's own classes and numpy's arrays, and imports nothing else.
"""

import io
import pickle  # read by `_Reader` alone
from types import MethodType
from typing import Any

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.output.film import Film

State = tuple[Instrument, Film | None]

HOME = "clavilux.runtime."
PACKAGES = ("conditioning", "control", "hearing")
MODULES = {
    "bundle.manifest",
    "diffusion.denoiser",
    "diffusion.frame_maker",
    "diffusion.host_pipeline",
    "diffusion.journey",
    "diffusion.motion",
    "diffusion.pipeline",
    "diffusion.schedule",
    "diffusion.stream_batch",
    "frame",
    "instrument",
    "output.film",
    "output.flash_budget",
    "output.flash_cells",
    "output.flash_limiter",
    "output.light_numbers",
    "output.light_state",
    "output.master",
    "output.pictures",
    "output.placing",
    "output.screen",
    "output.size",
    "pulse",
    "sound.channels",
    "sound.meters",
    "sound.resample",
    "sound.window",
}
"""Of `HOME`: packages and modules of whose classes an instrument and its screen are made; a snapshot names no other."""
NAMED = {
    ("collections", "deque"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    (__name__, "method"),
}
"""And what else: (module, name)."""
UNKEPT = (AttributeError, TypeError, ValueError, pickle.PicklingError)
UNREAD = (
    ArithmeticError,
    AttributeError,
    ClaviluxError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,  # RecursionError, too
    TypeError,
    ValueError,  # UnicodeDecodeError, too
    pickle.UnpicklingError,
)
"""Errors that content which `take` did not make leads to."""


class SnapshotError(ClaviluxError):
    """A state cannot be kept, or what was kept does not fit."""


def take(instrument: Instrument, film: Film | None) -> bytes:
    """Return the state of both. Raises SnapshotError where a part of it lies on a card."""
    kept = io.BytesIO()
    try:
        _Writer(kept, _shared(instrument)).dump((instrument, film))
    except UNKEPT as error:
        raise SnapshotError(f"the state of this device cannot be kept ({error})") from error
    return kept.getvalue()


def restore(kept: bytes, fresh: Instrument) -> State:
    """Return the instrument and the screen that `take` kept.

    `fresh` has the same bundle; its models become those of what is returned. Raises SnapshotError when it does not fit.
    """
    try:
        state = _Reader(io.BytesIO(kept), _shared(fresh)).load()
    except UNREAD as error:
        raise SnapshotError(f"the state that was kept does not fit ({error})") from error
    match state:
        case (Instrument() as instrument, Film() | None as film):
            return instrument, film
    raise SnapshotError(f"the state that was kept does not fit ({type(state).__name__} is no instrument and screen)")


def method(owner: object, name: str) -> Any:
    """Return a method of one of the instrument's parts, bound. Raises SnapshotError for anything else."""
    if not _is_own(type(owner).__module__) or name not in vars(type(owner)):
        raise SnapshotError(f"the state that was kept does not fit ({name} is no method of an instrument)")
    return getattr(owner, name)


def _is_own(module: str) -> bool:
    """Return whether an instrument is made of classes of a module, by its name."""
    inner = module.removeprefix(HOME)
    return module.startswith(HOME) and (inner in MODULES or inner.split(".")[0] in PACKAGES)


def _shared(instrument: Instrument) -> dict[str, object]:
    models = instrument.models
    return {
        "bundle": instrument.bundle,
        "models": models,
        "encoder": models.encoder,
        "denoiser": models.denoiser,
        "decoder": models.decoder,
    }


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, shared: dict[str, object]) -> None:
        super().__init__(file, protocol=5)
        self._names = {id(one): name for name, one in shared.items()}

    def persistent_id(self, found: object) -> str | None:
        return self._names.get(id(found))

    def reducer_override(self, found: object) -> Any:
        """Name methods by their owner: pickle's own way is `getattr`, which could lead anywhere."""
        return (method, (found.__self__, found.__name__)) if isinstance(found, MethodType) else NotImplemented


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: dict[str, object]) -> None:
        super().__init__(file, fix_imports=False)
        self._shared = shared

    def persistent_load(self, name: str) -> object:
        return self._shared[name]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in NAMED:
            return super().find_class(module, name)
        found = super().find_class(module, name) if _is_own(module) and "." not in name else None
        if not isinstance(found, type) or found.__module__ != module:
            raise pickle.UnpicklingError(f"{module}.{name} is nothing of an instrument")
        return found
