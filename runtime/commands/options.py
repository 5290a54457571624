"""Command-line options that several commands share."""

import argparse
from typing import Any

from clavilux.runtime.control.parameters import RANGES
from clavilux.runtime.errors import ParameterError, ProviderError
from clavilux.runtime.placement.devices import AUTO, DEVICES, most_threads

WORDS = {"true": True, "false": False, "on": True, "off": False}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add --bundle, --device, --threads and --set."""
    parser.add_argument("--bundle", metavar="FOLDER", help="what to play (default: lumia, which comes along)")
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help=f"where it runs: {', '.join(DEVICES)}, {AUTO} (cpu)"
    )
    parser.add_argument(
        "--threads", type=threads, default=0, metavar="N", help="threads for the models (0: one per core)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"a parameter to begin with, again for more: {', '.join(RANGES)}",
    )


def threads(text: str) -> int:
    """Return a number of threads, 0 to that of cores. Raises ProviderError."""
    most = most_threads()
    if not (text.isascii() and text.isdecimal()) or int(text[:9]) > most:
        raise ProviderError(f"--threads {text}; expected 0 to {most}, as many as there are cores")
    return int(text)


def parameters_from(settings: list[str]) -> dict[str, Any]:
    """Turn NAME=VALUE words into parameter values.

    Raises ParameterError when a word has no `=` or its value cannot be of the parameter's kind; ranges are checked
    where the values are merged.
    """
    pairs = [setting.partition("=") for setting in settings]
    return {name: _value(name, sign, text) for name, sign, text in pairs}


def _value(name: str, sign: str, text: str) -> Any:
    if not sign:
        raise ParameterError(f"--set {name}; expected NAME=VALUE, for example --set glide=0.5")
    kind = RANGES[name].kind if name in RANGES else "choice"
    if kind in ("choice", "route"):
        return text
    if kind == "bool":
        if text.lower() not in WORDS:
            raise ParameterError(f"{name} is {text!r}; expected {', '.join(WORDS)}")
        return WORDS[text.lower()]
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError as error:
        raise ParameterError(f"{name} is {text!r}; expected a {'whole ' if kind == 'int' else ''}number") from error
