"""One measurement on the card, in a process of its own.

    python -m clavilux.benchmarks.on_card.measure parity --bundle my-bundle

It prints a line of JSON whenever it knows more, so that the last one holds all that was found, also where the process
then fails or is ended.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.on_card import card, cuda_graphs, graph_checks, provider_options, torch_peer
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.loading import DEFAULT_BUNDLE

OF_CARD: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    "machine": card.describe,
    "copies": card.copies,
    "torch": torch_peer.peer,
}
OF_BUNDLE: dict[str, Callable[[Bundle], Iterator[dict[str, Any]]]] = {
    "parity": graph_checks.parity,
    "graphs": cuda_graphs.captures,
    "threads": graph_checks.threads,
    "motion": graph_checks.motion,
    "options": provider_options.options,
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*OF_CARD, *OF_BUNDLE], help="of the measurement")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="the default one unless given")
    asked = parser.parse_args(words)

    def run() -> None:
        own = OF_CARD.get(asked.name)
        for found in own() if own else OF_BUNDLE[asked.name](Bundle.open(asked.bundle)):
            print(json.dumps(found), flush=True)

    return ended(f"measure {asked.name}", run)


if __name__ == "__main__":
    sys.exit(main())
