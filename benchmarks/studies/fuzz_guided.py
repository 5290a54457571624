"""Fuzzing guided by coverage: inputs for the decoders that reach code which none before them has reached.

    pip install atheris==3.0.0
    python -m clavilux.benchmarks.studies.fuzz_guided --messages 1000000 --out fuzzed

Atheris counts branches of Clavilux's own Python and of `tomllib`; it begins with the decoders' valid inputs, and keeps
those that it found worth keeping in `corpus` for the next time. The first byte of an input chooses its decoder. One
that leads to what is not declared ends it, with the exit code of libFuzzer, and lies beside the corpus.
"""

import argparse
import importlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from clavilux.benchmarks.command_line import make_folder, require
from clavilux.command import EXIT_MISTAKE
from clavilux.runtime.commands.printable import complain
from clavilux.runtime.errors import ClaviluxError

if TYPE_CHECKING:
    from clavilux.benchmarks.studies.fuzz_decoders import Decoder

MAX_BYTES = 4096  # of one input
MAX_SECONDS = 10  # for one input, which is a finding after that
COUNTED = ["clavilux.runtime", "clavilux.server", "tomllib"]


def counted() -> tuple[Any, Any]:
    """Return atheris and the decoders' module, imported so that branches are counted. Raises BenchError without it."""
    require(["atheris"])
    atheris = importlib.import_module("atheris")
    for name in [name for name in sys.modules if name.startswith(tuple(COUNTED))]:
        del sys.modules[name]  # it came before it could be counted
    with atheris.instrument_imports(include=COUNTED):
        return atheris, importlib.import_module("clavilux.benchmarks.studies.fuzz_decoders")


def begin(corpus: Path, single: "tuple[Decoder, ...]") -> None:
    """Write the decoders' valid inputs into a folder, each behind the number of its decoder."""
    make_folder(corpus)
    for number, decoder in enumerate(single):
        for place, case in enumerate(decoder.corpus):
            data = case if isinstance(case, bytes) else str(case).encode()
            (corpus / f"{number}-{place}").write_bytes(bytes([number]) + data)


def chosen_by(data: bytes, single: "tuple[Decoder, ...]") -> "tuple[Decoder, bytes]":
    """Return the decoder that the first byte of an input chooses, and the rest of it."""
    return single[data[0] % len(single) if data else 0], data[1:]


def fuzzed(messages: int, folder: Path) -> NoReturn:
    """Fuzz the decoders; ends this process with libFuzzer's exit code: 0, or another one for a finding."""
    logging.getLogger("clavilux").addHandler(logging.NullHandler())  # of short tokens it would say very much
    atheris, study = counted()
    single = study.decoders(folder)
    corpus = folder / "corpus"
    begin(corpus, single)

    def one_input(data: bytes) -> None:
        decoder, rest = chosen_by(data, single)
        found = study.Findings(decoder.name)
        study.try_one(decoder, rest, found, lambda name, case: None)
        if found.undeclared:
            raise AssertionError(f"{decoder.name}: {', '.join(found.undeclared)}")

    limits = [f"-runs={messages}", f"-max_len={MAX_BYTES}", f"-timeout={MAX_SECONDS}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], one_input)
    atheris.Fuzz()
    sys.exit(0)


def main(words: list[str] | None = None) -> int:
    """Fuzz; a mistake is one line, and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="inputs (100000)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the corpus and what is found")
    arguments = parser.parse_args(words)
    try:
        make_folder(arguments.out)
        fuzzed(arguments.messages, arguments.out)
    except ClaviluxError as error:
        complain("fuzz", error)
        return EXIT_MISTAKE


if __name__ == "__main__":
    sys.exit(main())
