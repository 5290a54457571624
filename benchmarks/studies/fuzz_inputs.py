"""Hostile inputs: valid messages, packets and files, and seeded mutations of them that know their shape.

    shaker = Shaker(Random(7))
    shaker.text(CLIENT_TEXTS)  # JSON of which a value, a key, a number, a bracket or a character is not what it was

Pure: the same seed gives the same inputs.
"""

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, AnyStr

import numpy as np

from clavilux.runtime.bundle.manifest_json import MANIFEST
from clavilux.runtime.control.parameters import RANGES, Parameters
from clavilux.runtime.control.routes import SOURCES
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.runtime.pulse import Pulse
from clavilux.server.protocol.binary import PackedFrame, PulseMessage, Sound, pack_frame, pack_pulses, pack_sound
from clavilux.server.protocol.words import PictureEncoding, SoundEncoding

TOKEN = "of-the-fuzz-study-0"  # noqa: S105  (which guards nothing)
SOUND = {"encoding": "pcm16", "rate": 16_000, "channels": 2, "use": [1, 2]}
CLIENT_MESSAGES: tuple[dict[str, Any], ...] = (
    {"type": "start", "role": "viewer", "picture": {"encoding": "webp", "quality": 50}, "pulse": False},
    {"type": "start", "role": "performer", "sound": SOUND, "token": TOKEN, "limits_flashes": True},
    {"type": "start", "role": "performer", "sound": SOUND | {"encoding": "float32"}, "session": "s", "take_over": True},
    {"type": "parameters", "values": {"glide": 0.5, "noise": "fixed", "mirror": 3, "gain_follows": True}},
    {"type": "parameters", "values": {"route_3": "onset > exposure 0.8, release 0.2"}, "id": "a name"},
    {"type": "marker", "id": "one"},
    {"type": "tap", "at": 0},
    {"type": "acknowledge", "sequence": 7, "shown_at": 1_000_000},
    {"type": "ping", "client_time": 12.5, "id": "another"},
    {"type": "bye", "reason": "enough"},
)
STARTS = CLIENT_MESSAGES[:3]
SERVER_MESSAGES: tuple[dict[str, Any], ...] = (
    {"type": "hello", "protocol": 1, "server": "clavilux/0.1.0", "server_time": 5, "bundle": "lumia",
     "picture": {"width": 256, "height": 256, "encodings": ["jpeg"]}, "sound": {"rate": [8000, 192000]},
     "limits": {"in_flight": 2}, "parameters": {"glide": {"kind": "float", "low": 0.0}}, "stages": ["queue"],
     "token_required": False},
    {"type": "started", "role": "viewer", "stage": "main", "parameters": {"glide": 0.3}, "session": "s"},
    {"type": "parameters", "values": {"glide": 0.3}},
    {"type": "status", "level": -20.5, "heard": {"name": "owl", "similarity": 0.7}, "frame_rate": 20.0, "viewers": 3,
     "dropped_seconds": 0.0, "latency": {"p50": 50.0, "p95": 60.0}, "known": 0.5, "warnings": ["faint"],
     "channels": [{"level": -3.0, "peak": -1.0, "clipped": False}], "taken": 1, "engine": "playing"},
    {"type": "marker", "id": "one", "sequence": 4, "heard_until": 9},
    {"type": "error", "code": "bad_sound", "message": "no", "fatal": False, "reply_to": 3, "retry_after": 1.5},
    {"type": "pong", "client_time": 12.5, "server_time": 9},
    {"type": "bye", "reason": "enough"},
)  # fmt: skip
ROUTES = ("onset > exposure 0.8, attack 0, release 0.2, curve 1", "beat > motion_zoom -.5e-1", " lfo_1>hue 90 ", "")
TOKENS_FILE = f"""\
[[token]]
token = "{TOKEN}"
role = "watch"
name = "door"
expires = 2026-12-01T00:00:00Z

[[token]]
token = 'another-that-is-long-enough'
role = "admin"
"""
HEADERS = (
    {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860", "authorization": f"Bearer {TOKEN}"},
    {"host": "[::1]:7860", "sec-websocket-protocol": "clavilux.v1", "x-forwarded-for": "192.0.2.1"},
    {"host": "stage.example", "origin": "https://stage.example"},
)
REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    b"GET /page/clavilux.js HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n",
    b"HEAD /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=0-5\r\nIf-None-Match: *\r\n\r\n",
    b"POST /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: clavilux.v1\r\n\r\n",
)

NASTY_JSON = (
    "null", "true", "{}", "[]", "-0", "1.0", "-1", "0.5", "1e999", "-1e999", "NaN", "Infinity", "1e-400", "1E400",
    str(2**31), str(2**32), str(2**53 + 1), str(2**63), str(2**64), f"-{2**63 + 1}", "1" * 400, "9" * 5000, '"\\ud800"',
    '"\\u0000"', '"\\u2028"', '"\\r\\n"', '"\\u0085"', '"' + "x" * 600 + '"', '"' + "é" * 5000 + '"',
    "[" * 40 + "]" * 40, "[" * 400, '{"a":' * 40 + "1" + "}" * 40, "[" + "0," * 400 + "0]", '"viewer"', '"performer"',
    '"float32"', "\ud800", "\x00", '""', '{"type":"bye"}',
)  # fmt: skip
"""Values that JSON has, nearly has, or has never had, as they are written."""

MARKS = (
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\u",
    "\\ud83d",
    "\ufeff",
    "\u2028",
    "e",
    "-",
    ".",
    "\n",
    "=",
    ">",
    "'",
)
NASTY_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32_767, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
NASTY_WORDS = tuple(struct.pack("<f", value) for value in (float("nan"), float("inf"), -float("inf"), 3e38, 1e-45, 1.5))
MAX_MUTATIONS = 4  # of one input
PART_CHARACTERS = 10  # of JSON that make one part of it, more or less
MAX_GROWTH = 300_000  # characters or bytes that an input is blown up to


def parameter_values() -> tuple[dict[str, Any], ...]:
    """Return sets of valid values of parameters: the ones to begin with, and one of each kind at its bounds."""
    ends = {name: spec.high for name, spec in RANGES.items() if spec.kind == "float"}
    return Parameters().values(), ends, {"route_1": ROUTES[0], "panic": True, "steps": 4, "seed": 2**32 - 1}


def manifests() -> tuple[dict[str, Any], ...]:
    """Return the default bundle's manifest, cut to what still fits together, and one of many sizes."""
    found: dict[str, Any] = json.loads((DEFAULT_BUNDLE / MANIFEST).read_text(encoding="utf-8"))
    found["schedule"] |= {"alphas_cumprod": [0.9, 0.5, 0.1], "timesteps": {"1": [2], "2": [2, 1]}}
    found |= {"concepts": found["concepts"][:2], "parity": found["parity"][:1], "steps": 1}
    side = found["picture"]["height"]
    return found, found | {"sizes": {"smallest": side, "largest": 2 * side, "multiple": side}}


def packets(encoding: SoundEncoding = SoundEncoding.PCM16) -> tuple[bytes, ...]:
    """Return packets of sound of two channels, one of them with a time."""
    samples = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 2)
    return tuple(pack_sound(Sound(3, when, samples), encoding) for when in (0, 2**40))


def frames() -> tuple[bytes, ...]:
    """Return frames as they travel."""
    frame = PackedFrame(3, PictureEncoding.RGB, (4, 6), 1, 2, 3, (4, 5, 6), bytes(72))
    return (pack_frame(frame),)


def pulses() -> tuple[bytes, ...]:
    """Return readings of the pulse as they travel."""
    return (pack_pulses(PulseMessage((Pulse(index=3), Pulse(index=4)), 9, 0.5)),)


class Shaker:
    """Mutates valid inputs; all chance comes from `random`."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def json(self, corpus: Sequence[dict[str, Any]], *, broken: bool = True) -> str:
        """Return JSON in which something is not as it was; `broken` allows what is no JSON any more."""
        text = self._structure(self.random.choice(corpus))
        return self.text(text) if broken and self.random.random() < 0.5 else text

    def text(self, text: str) -> str:
        """Return a text of which characters are gone, new, doubled or moved."""
        for _ in range(self.random.randint(1, MAX_MUTATIONS)):
            text = self.random.choice(_TEXT_MUTATIONS)(self, text)
        return text

    def bytes(self, data: bytes) -> bytes:
        """Return bytes of which some are gone, new, doubled, moved, or a number that means much to a machine."""
        for _ in range(self.random.randint(1, MAX_MUTATIONS)):
            data = self.random.choice(_BYTE_MUTATIONS)(self, data)
        return data

    def _structure(self, value: Any) -> str:
        """Write a value as JSON with one of its parts exchanged, left out, doubled or renamed."""
        rate = min(0.5, self.random.choice((1, 2, 5)) * PART_CHARACTERS / len(json.dumps(value)))

        def written(part: Any) -> str:
            if self.random.random() < rate:
                return self._foreign(value)
            if isinstance(part, dict):
                return "{" + ",".join(entry for pair in part.items() for entry in entries(*pair)) + "}"
            if isinstance(part, list):
                return "[" + ",".join(map(written, part)) + "]"
            return json.dumps(part)

        def entries(key: str, part: Any) -> list[str]:
            chance = self.random.random()
            if chance < rate / 4:
                return []
            if chance < rate / 2:
                return [f"{json.dumps(key)}:{written(part)}", f"{json.dumps(key)}:{self._foreign(value)}"]
            return [f"{json.dumps(self.text(key) if chance < rate else key)}:{written(part)}"]

        return written(value)

    def _foreign(self, value: Any) -> str:
        """Write a value that should not stand where it will: a nasty one, or another part of the same."""
        if self.random.random() < 0.8 or not isinstance(value, dict):
            return self.random.choice(NASTY_JSON)
        return json.dumps(self.random.choice(list(value.values())))

    def cut(self, size: int) -> tuple[int, int]:
        """Return two places in something of that size, in their order."""
        first, last = sorted((self.random.randint(0, size), self.random.randint(0, size)))
        return first, min(last, first + self.random.choice((1, 4, 16, size)))


def _removed(shaker: Shaker, given: AnyStr) -> AnyStr:
    first, last = shaker.cut(len(given))
    return given[:first] + given[last:]


def _repeated(shaker: Shaker, given: AnyStr) -> AnyStr:
    first, last = shaker.cut(len(given))
    times = shaker.random.choice((2, 3, 50, 2000))
    return given[:first] + given[first:last] * min(times, MAX_GROWTH // max(1, last - first)) + given[last:]


def _inserted(shaker: Shaker, text: str) -> str:
    place, _ = shaker.cut(len(text))
    choice = shaker.random.choice((MARKS, NASTY_JSON, SOURCES, (chr(shaker.random.randrange(0x110000)),)))
    return text[:place] + shaker.random.choice(choice) + text[place:]


def _exchanged(shaker: Shaker, text: str) -> str:
    first, last = shaker.cut(len(text))
    return text[:first] + shaker.random.choice(NASTY_JSON) + text[last:]


def _flipped(shaker: Shaker, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    changed[shaker.random.randrange(len(changed))] ^= 1 << shaker.random.randrange(8)
    return bytes(changed)


def _overwritten(shaker: Shaker, data: bytes) -> bytes:
    size = shaker.random.choice((1, 2, 4, 8))
    number = shaker.random.choice(NASTY_NUMBERS) % 256**size
    words = (number.to_bytes(size, "little"), number.to_bytes(size, "big"), *NASTY_WORDS)
    word: bytes = shaker.random.choice(words)
    place = shaker.random.randint(0, max(0, len(data) - len(word)))
    return data[:place] + word + data[place + len(word) :]


def _scrambled(shaker: Shaker, data: bytes) -> bytes:
    first, last = shaker.cut(len(data))
    return data[:first] + shaker.random.randbytes(last - first) + data[last:]


_TEXT_MUTATIONS: tuple[Callable[[Shaker, str], str], ...] = (_removed, _repeated, _inserted, _inserted, _exchanged)
_BYTE_MUTATIONS: tuple[Callable[[Shaker, bytes], bytes], ...] = (
    _flipped, _overwritten, _overwritten, _removed, _repeated, _scrambled,
)  # fmt: skip


def tokens_file(folder: Path, text: str) -> Path:
    """Return a file in `folder` that holds a text, lone surrogates as the bytes that are no UTF-8."""
    path = folder / "tokens.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    path.chmod(0o600)
    return path
