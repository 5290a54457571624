"""Snapshots of an instrument and its screen between two frames, so that a film goes on as if it had never stopped.

A snapshot is a pickle of all their state but for what is the same in every process (the bundle, the models) and what
lives in libraries (Kaldi's filter banks): of that, an instrument that has heard the same sound has an equal one. It is
read with an unpickler that makes nothing but the instrument's own classes and numpy's arrays.
"""

import io
import pickle  # read by `_Reader` alone
from types import MethodType
from typing import Any

import kaldi_native_fbank as knf

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.output.film import Film

State = tuple[Instrument, Film | None]

HOME = "clavilux.runtime."  # packages whose classes a snapshot may name
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


class SnapshotError(ClaviluxError):
    """A state cannot be kept, or what was kept does not fit."""


def take(instrument: Instrument, film: Film | None) -> bytes:
    """Return the state of both. Raises SnapshotError where a part of it lies on a card."""
    kept = io.BytesIO()
    try:
        _Writer(kept, _shared(instrument)).dump((instrument, film))
    except (TypeError, ValueError, pickle.PicklingError) as error:
        raise SnapshotError(f"the state of this device cannot be kept ({error})") from error
    return kept.getvalue()


def restore(kept: bytes, heard: Instrument) -> State:
    """Return the instrument and the screen that `take` kept.

    `heard` has the same bundle and has been pushed the same sound; it becomes a part of what is returned. Raises
    SnapshotError when it does not fit.
    """
    shared = _shared(heard)
    found = _Writer(io.BytesIO(), shared)
    found.dump((heard, None))
    try:
        state: State = _Reader(io.BytesIO(kept), shared, found.banks).load()
    except (pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError, TypeError) as error:
        raise SnapshotError(f"the state that was kept does not fit ({error})") from error
    return state


def method(owner: object, name: str) -> Any:
    """Return a method of one of the instrument's parts, bound. Raises SnapshotError for anything else."""
    if not type(owner).__module__.startswith(HOME) or name not in vars(type(owner)):
        raise SnapshotError(f"the state that was kept does not fit ({name} is no method of an instrument)")
    return getattr(owner, name)


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
        self.banks: list[object] = []  # in the order in which they are met, the same in every instrument
        self._names = {id(one): name for name, one in shared.items()}

    def persistent_id(self, found: object) -> str | int | None:
        if isinstance(found, knf.OnlineFbank):
            self.banks.append(found)
            return len(self.banks) - 1
        return self._names.get(id(found))

    def reducer_override(self, found: object) -> Any:
        """Name methods by their owner: pickle's own way is `getattr`, which could lead anywhere."""
        return (method, (found.__self__, found.__name__)) if isinstance(found, MethodType) else NotImplemented


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: dict[str, object], banks: list[object]) -> None:
        super().__init__(file)
        self._shared, self._banks = shared, banks

    def persistent_load(self, name: str | int) -> object:
        return self._banks[name] if isinstance(name, int) else self._shared[name]

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if "." not in name else None
        own = module.startswith(HOME) and isinstance(found, type) and found.__module__ == module
        if not own and (module, name) not in NAMED:
            raise pickle.UnpicklingError(f"{module}.{name} is nothing of an instrument")
        return found
