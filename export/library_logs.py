"""Silence for the libraries: what matters is raised or reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL

from diffusers.utils import logging as diffusers_logging
from transformers import logging as transformers_logging


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the loggers and progress bars of transformers and diffusers."""
    libraries = (transformers_logging, diffusers_logging)
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity(CRITICAL)
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
            library.enable_progress_bar()
