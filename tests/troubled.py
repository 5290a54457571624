"""Models that get into trouble when a file says so, in whatever process they have been loaded."""

import os
import resource
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.loading import open_models
from clavilux.runtime.models import Models
from clavilux.runtime.providers.session import Array, Session

MUCH = 2**33  # bytes; more than a worker takes, models and all


class TroubledSession:
    """A session that hangs, fails, has no memory left or gives NaN, once for each word in a file."""

    def __init__(self, session: Session, trouble: Path) -> None:
        self.provider = session.provider
        self._session = session
        self._trouble = trouble

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        match self._next():
            case "hang":
                threading.Event().wait()
            case "fail":
                raise ProviderError("the card has left")
            case "memory":
                resource.setrlimit(resource.RLIMIT_AS, (MUCH, MUCH))
                np.ones(MUCH, np.uint8)
            case "exit":
                os._exit(3)
            case "nan":
                return [np.full_like(output, np.nan) for output in self._session.run(inputs)]
        return self._session.run(inputs)

    def _next(self) -> str:
        """Take the first word out of the file; "" where there is none."""
        words = self._trouble.read_text().split() if self._trouble.exists() else []
        if not words:
            return ""
        self._trouble.write_text(" ".join(words[1:]))
        return words[0]


def open_troubled(bundle: Path, trouble: Path) -> tuple[Bundle, Models]:
    """Load a bundle whose denoiser gets into the trouble that the file `trouble` names."""
    opened, models = open_models(bundle, threads=1)
    denoiser = models.denoiser
    session = TroubledSession(denoiser.session, trouble)
    return opened, replace(models, denoiser=Denoiser(session, denoiser.schedule, denoiser.guider))


def cause(trouble: Path, *words: str) -> None:
    """Let the models that look at `trouble` get into it, whole or not at all."""
    draft = trouble.with_suffix(".draft")
    draft.write_text(" ".join(words))
    draft.rename(trouble)
