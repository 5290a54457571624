"""Readers of the product that are given hostile inputs, each with valid ones to begin with and the errors it declares.

    for decoder in decoders(folder):
        found = tried(decoder, 1000, Random(7), keep)

Whatever an input is, a reader takes it, or raises a declared error whose line is one, short, and text, within a second.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from msgspec import Struct
from starlette.datastructures import Headers

from clavilux.benchmarks.measurements.machine import resident_mb
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.benchmarks.studies import fuzz_inputs as inputs
from clavilux.benchmarks.studies.fuzz_inputs import Shaker
from clavilux.runtime.bundle.manifest_json import parse_manifest
from clavilux.runtime.commands.printable import one_line
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.control.routes import parse_route
from clavilux.runtime.errors import BundleError, DeviceError, ParameterError, ProtocolError
from clavilux.runtime.sound.samples import MAX_AMPLITUDE
from clavilux.server.commands.tokens_file import read_tokens
from clavilux.server.protocol.binary import parse_sound, unpack_frame, unpack_pulses
from clavilux.server.protocol.messages import ErrorEvent, SoundFormat
from clavilux.server.protocol.text import encode, error_event, message_id, parse_event, parse_text
from clavilux.server.protocol.words import ERROR_CHARACTERS, CloseCode, ErrorCode, SoundEncoding
from clavilux.server.settings import Settings
from clavilux.server.stage.connection import Connection
from clavilux.server.stage.interfaces import EngineLike
from clavilux.server.stage.outbox import Farewell
from clavilux.server.stage.stage import Stage
from clavilux.server.stage.visitor import Visitor
from clavilux.server.web.limits import Limits
from clavilux.server.web.security import bearer, host_name, is_local, refusal

Message = str | bytes
Case = Message | list[tuple[int, Message]]
"""Input of a decoder: one text or packet, or what several connections send in turn, each with its number."""

LIMITS = Limits()
TAKEN = "taken"
NO_JSON = "no JSON"
MAX_MS = 1000.0  # of processor time for one input
TOO_SLOW = "more than a second"
WARM = 1000  # inputs after which memory is first looked at
TOGETHER = 3  # connections of one session
SESSION_MESSAGES = 24  # of all of them: fewer than replies that may wait unread
SESSION_COST = 220  # of messages as `clavilux.server.stage.allowance` counts them, so that none waits
REMOTE = "0.0.0.0"  # noqa: S104  (the guards of a server that others reach; nothing listens)


@dataclass(frozen=True)
class Decoder:
    """A reader, and how its inputs are made."""

    name: str
    corpus: tuple[Case, ...]  # valid inputs
    make: Callable[[Shaker], Case]
    take: Callable[[Case], Sequence[str]]  # gives what the input led to, in words
    declared: tuple[type[Exception], ...] = ()


@dataclass
class Findings:
    """Findings of one part."""

    part: str
    messages: int = 0
    seconds: float = 0.0
    declared: Counter[str] = field(default_factory=Counter)  # what inputs led to
    undeclared: Counter[str] = field(default_factory=Counter)  # what they must not lead to
    slowest_ms: float | None = None  # processor time of the slowest input; None: nobody measures it
    slowest: Case = b""
    memory: tuple[float, float] = (0.0, 0.0)  # MB, before and after


def fault_of(error: Exception) -> str | None:
    """Return what is wrong with the line of a declared error as people meet it, None for nothing."""
    line = str(error)
    if isinstance(error, ProtocolError | ParameterError):  # the server cuts these
        code = getattr(error, "code", ErrorCode.BAD_PARAMETER)
        event = error_event(ProtocolError(code, line))
        encode(event)
        line = event.message
    if len(line) > ERROR_CHARACTERS:
        return f"{type(error).__name__} of more than {ERROR_CHARACTERS} characters"
    if not line.isascii() and line != line.encode("utf-8", "replace").decode():
        return f"{type(error).__name__} that is no text"
    return f"{type(error).__name__} that is not one line" if line != one_line(line) or not line else None


def tried(decoder: Decoder, count: int, random: Random, keep: Callable[[str, Case], None]) -> Findings:
    """Give at least `count` mutated inputs to a decoder; `keep` is given those that lead to what is undeclared."""
    found, shaker, began = Findings(decoder.name), Shaker(random), time.perf_counter()
    warm = 0.0
    while found.messages < count:
        case = decoder.make(shaker)
        try_one(decoder, case, found, keep)
        found.messages += len(case) if isinstance(case, list) else 1
        if not warm and found.messages >= min(count, WARM):
            warm = memory()
    found.memory, found.seconds = (warm, memory()), time.perf_counter() - began
    return found


def try_one(decoder: Decoder, case: Case, found: Findings, keep: Callable[[str, Case], None]) -> None:
    """Give one input to a decoder, and note what it led to."""
    began, wrong = time.thread_time(), None
    try:
        found.declared.update(decoder.take(case))
    except decoder.declared as error:
        found.declared[getattr(error, "code", type(error).__name__)] += 1
        wrong = fault_of(error)
    except Exception as error:
        wrong = type(error).__name__
    took = MS * (time.thread_time() - began)
    if took > (found.slowest_ms or 0.0):
        took = min(took, _again(decoder, case))  # the machine may have been about something else
    if took > (found.slowest_ms or 0.0):
        found.slowest_ms, found.slowest = took, case
        wrong = wrong or (TOO_SLOW if took > MAX_MS else None)
    if wrong:
        found.undeclared[wrong] += 1
        keep(f"{decoder.name}-{wrong}", case)


def _again(decoder: Decoder, case: Case) -> float:
    """Return how long an input takes another time, ms."""
    began = time.thread_time()
    with suppress(Exception):
        decoder.take(case)
    return MS * (time.thread_time() - began)


def memory() -> float:
    """Return the resident memory of this process, MB; 0 where the system does not tell it."""
    return resident_mb(os.getpid()) or 0.0


def decoders(folder: Path) -> tuple[Decoder, ...]:
    """Return those that read one input at a time; the tokens' file is written into `folder`."""
    return (
        _of_json("parse_text", inputs.CLIENT_MESSAGES, _parse_text, ProtocolError),
        _of_json("parse_event", inputs.SERVER_MESSAGES, parse_event, ProtocolError),
        *(
            _of_bytes(f"parse_sound {e}", inputs.packets(e), partial(_parse_sound, e), ProtocolError)
            for e in SoundEncoding
        ),
        _of_bytes("unpack_frame", inputs.frames(), unpack_frame, ProtocolError),
        _of_bytes("unpack_pulses", inputs.pulses(), unpack_pulses, ProtocolError),
        _of_json("manifest", inputs.manifests(), parse_manifest, BundleError),
        _of_text("route", inputs.ROUTES, parse_route, ValueError),
        _parameters(),
        _of_text(
            "tokens file",
            (inputs.TOKENS_FILE,),
            lambda text: read_tokens(inputs.tokens_file(folder, text)),
            DeviceError,
        ),
        _of_text("headers", tuple(map(_head, inputs.HEADERS)), _guards),
    )


def _of_text(name: str, corpus: tuple[str, ...], read: Callable[[str], object], *declared: type[Exception]) -> Decoder:
    def take(case: Case) -> Sequence[str]:
        read(_text(case))
        return (TAKEN,)

    return Decoder(name, corpus, lambda shaker: shaker.text(shaker.random.choice(corpus)), take, declared)


def _of_json(
    name: str, corpus: Sequence[dict[str, object]], read: Callable[[str], object], *declared: type[Exception]
) -> Decoder:
    def take(case: Case) -> Sequence[str]:
        read(_text(case))
        return (TAKEN,)

    return Decoder(name, tuple(map(json.dumps, corpus)), lambda shaker: shaker.json(corpus), take, declared)


def _of_bytes(
    name: str, corpus: tuple[bytes, ...], read: Callable[[bytes], object], *declared: type[Exception]
) -> Decoder:
    def take(case: Case) -> Sequence[str]:
        read(case if isinstance(case, bytes) else _text(case).encode("utf-8", "surrogatepass"))
        return (TAKEN,)

    return Decoder(name, corpus, lambda shaker: shaker.bytes(shaker.random.choice(corpus)), take, declared)


def _parameters() -> Decoder:
    corpus = inputs.parameter_values()

    def take(case: Case) -> Sequence[str]:
        try:
            values = json.loads(_text(case))
        except ValueError:  # the protocol refuses it before
            return (NO_JSON,)
        if isinstance(values, dict):
            Parameters().merge(values)
        return (TAKEN,)

    def make(shaker: Shaker) -> str:
        return shaker.json(corpus, broken=False)

    return Decoder("parameters", tuple(map(json.dumps, corpus)), make, take, (ParameterError,))


def _text(case: Case) -> str:
    """Return an input as text; bytes, which come from a fuzzer, as UTF-8 with lone surrogates for what is none."""
    return case if isinstance(case, str) else bytes(case).decode("utf-8", "surrogateescape")  # type: ignore[arg-type]


def _parse_text(text: str) -> None:
    name = message_id(text)
    if name is not None:
        encode(error_event(ProtocolError(ErrorCode.BAD_MESSAGE, "no"), reply_to=name))
    parse_text(text)


def _parse_sound(encoding: SoundEncoding, packet: bytes) -> None:
    samples = parse_sound(packet, SoundFormat(encoding, 16_000, 2, (2, 1))).samples
    if not (len(samples) and abs(samples).max() <= MAX_AMPLITUDE):  # NaN fails it too
        raise AssertionError(f"samples of {samples} were taken")


def _head(headers: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def _guards(text: str) -> None:
    """Ask all guards of the web application about a request with these headers."""
    lines = text[: LIMITS.head_bytes].split("\n")[: LIMITS.headers]  # no more of them come in
    pairs = [line.partition(": ")[::2] for line in lines]
    raw = [(name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in pairs]
    headers = Headers(raw=raw)
    for settings in (Settings(), Settings(host=REMOTE, names=("stage.example",), token=inputs.TOKEN)):
        answer = refusal(headers, headers.get("sec-websocket-protocol", "").split(", "), settings)
        if answer is not None:
            line = bytes(answer.body).decode().removesuffix("\n")
            if len(line) > ERROR_CHARACTERS or line != one_line(line):
                raise AssertionError(f"answered with {answer.status_code} and {line!r}")
        is_local(headers, "127.0.0.1", settings)
    (bearer(headers) or "").encode()
    host_name(headers.get("host", "")).encode()


@contextmanager
def connections(engine: EngineLike) -> Iterator[Decoder]:
    """Give the state machine of connections, several of them on a stage, with an engine that need not run."""
    loop = asyncio.new_event_loop()
    stages = [Stage(engine, settings) for settings in (Settings(), Settings(token=inputs.TOKEN))]
    turns = iter(range(2**63))

    def take(case: Case) -> Sequence[str]:
        turn = next(turns)
        return loop.run_until_complete(_session(stages[turn % 2], turn, case))

    corpus: list[Case] = [[(0, json.dumps(message)) for message in inputs.CLIENT_MESSAGES]]
    try:
        yield Decoder("connections", tuple(corpus), _conversation, take)
    finally:
        loop.close()


def _conversation(shaker: Shaker) -> Case:
    """Return what several connections send in turn: valid messages, mutated ones, and sound."""
    messages: list[tuple[int, Message]] = [(who, opening(shaker)) for who in range(TOGETHER)]
    cost = 0.0
    while len(messages) < SESSION_MESSAGES:
        message = said(shaker)
        cost += 4 * (1 + len(message) / 256)
        if cost > SESSION_COST:
            break
        messages.append((shaker.random.randrange(TOGETHER), message))
    return messages


def opening(shaker: Shaker) -> Message:
    """Return what a client sends first: three of four times what starts."""
    start = shaker.random.random() < 0.75
    return json.dumps(shaker.random.choice(inputs.STARTS)) if start else json.dumps({"type": "ping", "client_time": 1})


def said(shaker: Shaker, messages: Sequence[dict[str, object]] = inputs.CLIENT_MESSAGES) -> Message:
    """Return a message that a client sends: one of these, as it is or mutated, or sound."""
    chance = shaker.random.random()
    if chance < 0.3:
        return json.dumps(shaker.random.choice(messages))
    if chance < 0.7:
        return shaker.json(messages)
    packet = shaker.random.choice(inputs.packets())
    return packet if chance < 0.85 else shaker.bytes(packet)


async def _session(stage: Stage, turn: int, case: Case) -> Sequence[str]:
    """Let connections take what they are sent; return the codes of the errors that they were told."""
    visitor = Visitor(f"192.0.{turn // 250 % 250}.{turn % 250}")
    members = [Connection(stage, visitor) for _ in range(TOGETHER)]
    try:
        for member in members:
            await member.greet()
        for who, message in case if isinstance(case, list) else []:
            await members[who].take(message)
        return [word for member in members for word in await _told(member)]
    finally:
        for member in members:
            member.leave()


async def _told(member: Connection) -> list[str]:
    """Read everything that a connection was told, as it travels."""
    member.outbox.finish(Farewell(CloseCode.NORMAL_CLOSURE, ""))
    words = []
    while not isinstance(item := await member.outbox.next(), Farewell):
        words.append(_word(item))
    return [*words, *map(_word, item.messages)]


def _word(item: object) -> str:
    """Write what a connection is told, if it is a message; return the code of an error."""
    if isinstance(item, Struct):  # no frame comes from an engine that does not run
        encode(item)  # type: ignore[arg-type]
    return item.code if isinstance(item, ErrorEvent) else TAKEN
