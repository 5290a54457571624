"""The common part of `clavilux live` and `clavilux serve`: an engine, a sound card if one is named, and a server."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from clavilux.runtime.commands.options import add_model_options, parameters_from
from clavilux.runtime.commands.printable import printable
from clavilux.runtime.errors import DeviceError
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_models
from clavilux.runtime.playing.engine import Engine
from clavilux.runtime.sound.inputs import Chosen, Input, listed, quoted
from clavilux.runtime.sound.sound_card import SoundCard
from clavilux.runtime.sound.system import SoundSystem
from clavilux.runtime.supervision.messages import Facts, facts_of
from clavilux.runtime.supervision.worker import EngineWorker
from clavilux.server.commands.log_format import FORMATS, begin_log
from clavilux.server.commands.tokens_file import check_token, read_tokens
from clavilux.server.settings import Settings, Token
from clavilux.server.stage.interfaces import EngineLike
from clavilux.server.web.run import Listening, check, serve

TOKEN_VARIABLE = "CLAVILUX_TOKEN"  # noqa: S105  (a name, kept off the command line where others could read it)
PORTS = (0, 65_535)
MAX_VIEWERS = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that both commands have."""
    defaults = Settings()
    parser.add_argument(
        "--host", default=defaults.host, help=f"address to listen on ({defaults.host}: this machine only)"
    )
    parser.add_argument(
        "--port", type=int, default=defaults.port, help=f"port to listen on, 0 for any ({defaults.port})"
    )
    parser.add_argument(
        "--max-viewers",
        type=_viewers,
        default=defaults.max_viewers,
        metavar="N",
        help=f"who may watch at once ({defaults.max_viewers})",
    )
    parser.add_argument("--name", action="append", default=[], help="a host name it answers to; again for more")
    parser.add_argument("--open", action="store_true", help="let others reach it without a token")
    parser.add_argument(
        "--tokens", type=Path, metavar="FILE", help="a TOML file of tokens: who may watch, play, do everything"
    )
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="speak TLS with this certificate, PEM")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the certificate's key, PEM, without a password")
    parser.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a proxy whose X-Forwarded-For is believed, its address or network; again for more",
    )
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="a page from elsewhere that may connect, such as http://localhost:8000; again for more",
    )
    parser.add_argument(
        "--input",
        metavar="NAME|INDEX[:CHANNELS]",
        help="play an input of this machine, not the browser's microphone: its name, a part of it, or its index in the "
        "list; :3 after it takes channel 3 alone, :1+2 two of them",
    )
    parser.add_argument(
        "--in-process",
        action="store_true",
        help="hold the models in the server's own process: less memory, but nothing starts them again when they fail",
    )
    parser.add_argument("--list-inputs", action="store_true", help="show this machine's inputs and end")
    parser.add_argument("--verbose", action="store_true", help="say more, such as a line for who comes and goes")
    parser.add_argument(
        "--log-format", choices=FORMATS, default="text", help="the log's lines: text (default), or a JSON object each"
    )
    add_model_options(parser)
    parser.epilog = (
        parser.epilog or ""
    ) + f"\nClients must show the token in {TOKEN_VARIABLE} when that variable is set, or one of --tokens.\n"


def play(arguments: argparse.Namespace, on_listening: Callable[[Listening], None]) -> int:
    """Play until interrupted. Raises ClaviluxError for whatever cannot be opened."""
    begin_log(arguments.log_format, verbose=arguments.verbose)
    if arguments.list_inputs:
        return list_inputs()
    settings = settings_from(arguments)
    check(settings)  # before the models are loaded, which may take long
    with opened(arguments) as (engine, facts):
        settings = replace(settings, bundle=facts.bundle)
        engine.set(parameters_from(arguments.set))

        def announce(here: Listening) -> None:
            _announce(engine, facts, here)
            on_listening(here)

        with _sound_card(engine, arguments.input) as card:
            serve(engine, settings, source=card, on_listening=announce)
    if engine.failure is not None:
        raise DeviceError(f"the engine stopped: {engine.failure}")
    return 0


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[tuple[EngineLike, Facts]]:
    """Yield an engine whose models are in a worker, or in this process where that is asked for, and what it plays."""
    opener = partial(open_models, arguments.bundle, device=arguments.device, threads=arguments.threads)
    if arguments.in_process:
        instrument = Instrument(*opener())
        yield Engine(instrument), facts_of(instrument)
        return
    with EngineWorker(opener, prepare=partial(begin_log, arguments.log_format, verbose=arguments.verbose)) as worker:
        yield worker.engine(), worker.open()


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Return the server's settings. Raises DeviceError for a port or a token that cannot be one."""
    low, high = PORTS
    if not low <= arguments.port <= high:
        raise DeviceError(f"port {arguments.port} cannot be; expected {low} to {high}")
    usual, token = Settings(), _token()
    everyone = arguments.max_viewers + usual.max_performers  # who may come back at once, from one address
    return Settings(
        host=arguments.host,
        port=arguments.port,
        token=token,
        tokens=() if arguments.tokens is None else _tokens(arguments.tokens, token),
        open=arguments.open,
        names=tuple(arguments.name),
        origins=tuple(arguments.origin),
        proxies=tuple(arguments.proxy),
        max_viewers=arguments.max_viewers,
        max_waiting=max(usual.max_waiting, everyone),
        max_waiting_per_address=max(usual.max_waiting_per_address, everyone),
        certificate=arguments.certificate,
        key=arguments.key,
        own_sound=arguments.input is not None,
    )


def _viewers(text: str) -> int:
    """Return how many may watch, 1 to MAX_VIEWERS. Raises DeviceError."""
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= MAX_VIEWERS:
        raise DeviceError(f"--max-viewers {text}; expected 1 to {MAX_VIEWERS}")
    return int(text)


def _token() -> str | None:
    """Return the token that the environment sets. Raises DeviceError for one that nobody could show."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None:
        check_token(token, TOKEN_VARIABLE)
    return token


def _tokens(path: Path, own: str | None) -> tuple[Token, ...]:
    """Return the tokens in a file. Raises DeviceError where `own`, that of the environment, would hide one of them."""
    tokens = read_tokens(path)
    for number, token in enumerate(tokens, 1):
        if token.text == own:
            raise DeviceError(f"{path}, token {number} is {TOKEN_VARIABLE}, which may do everything; expected another")
    return tokens


def list_inputs() -> int:
    """Print the inputs of this machine as `--input` takes them, the default one with a star."""
    inputs = listed(SoundSystem().inputs())
    width = max((len(quoted(source.words)) for source in inputs), default=0)
    for source in inputs:
        star = "*" if source.is_default else " "
        print(printable(f"{star} {source.index:3}  {quoted(source.words):{width}}  {_about(source)}"))
    if not inputs:
        print("no inputs; plug in a microphone or an interface")
    return 0


def _about(source: Input) -> str:
    """Return what an input has, and what else it is called."""
    channels = f"{'up to ' if source.converts else ''}{source.channels} channel{'s' if source.channels > 1 else ''}"
    facts = [channels, f"{source.rate} Hz", *(["what is played"] if source.is_loopback else [])]
    also = source.label if source.label != source.name else ""
    return ", ".join(facts) + (f"  ({also})" if also else "")


@contextmanager
def _sound_card(engine: EngineLike, wanted: str | None) -> Iterator[SoundCard | None]:
    """Let a sound card play the engine while the block runs; none if none is wanted."""
    if wanted is None:
        yield None
        return
    card = SoundCard(SoundSystem(engine.clock), wanted, engine.hear, engine.clock)
    line = printable(f"listening to {_heard(card.start())}")
    with suppress(OSError):  # as below
        print(line, flush=True)
    try:
        yield card
    finally:
        card.stop()


def _heard(chosen: Chosen) -> str:
    """Return which input is heard, at what rate, and which channels of it."""
    source, use = chosen.source, chosen.use
    which = f"channel{'s' if len(use) > 1 else ''} {'+'.join(map(str, use))} of {source.channels}"
    count = f"{chosen.heard} channel{'s' if chosen.heard > 1 else ''}"
    return f"{source.words}, {source.rate} Hz, {which if use else count}"


def _announce(engine: EngineLike, facts: Facts, here: Listening) -> None:
    height, width = engine.picture
    line = f"Clavilux plays {facts.bundle} at {width}x{height} on {facts.provider}: {here.url}  (Ctrl-C ends)"
    with suppress(OSError):  # whoever reads along may have gone; the music goes on
        print(printable(line), flush=True)
