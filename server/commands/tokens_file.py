"""Tokens of a server from a TOML file: who may watch, who may play, who may do everything, and until when.

[[token]]
token = "a long random text"
role = "watch"                    # or "play", or "admin"
name = "door"                     # what logs call it; left out, its place in the file
expires = 2026-12-01T00:00:00Z    # left out: never
"""

import logging
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from clavilux.runtime.bundle.bounds import show
from clavilux.runtime.errors import DeviceError
from clavilux.server.protocol.words import TOKEN_CHARACTERS
from clavilux.server.settings import Right, Token

MIN_CHARACTERS = 16  # of a token that nobody guesses
MAX_BYTES = 1 << 20  # of a file of tokens
FIELDS = ("token", "role", "name", "expires")
RIGHTS = {right.name.lower(): right for right in Right}
PLACE = re.compile(r"\(at ([^()]*)\)$")  # that tomllib's reasons end with; the rest may hold a piece of the file

_log = logging.getLogger(__name__)


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Return the tokens in a file; short ones, expired ones and a file that others may read are warned of in the log.

    Raises DeviceError for a file that cannot be read, holds no token, or one that cannot be.
    """
    tables = _tables(path)
    tokens = tuple(_token(table, f"{path}, token {number}") for number, table in enumerate(tables, 1))
    texts = [token.text for token in tokens]
    for number, text in enumerate(texts, 1):
        if text in texts[: number - 1]:
            raise DeviceError(f"{path}, token {number} stands there twice; expected each token once")
    _warn_of_expired(path, tokens)
    _warn_of_readers(path)
    return tokens


def check_token(text: str, place: str) -> None:
    """Look over a token that stands at `place`; a short one is warned of in the log.

    Raises DeviceError for one that nobody could show: headers have no line ends, and lose spaces at either end.
    """
    if not 1 <= len(text) <= TOKEN_CHARACTERS:
        raise DeviceError(f"{place} has {len(text)} characters; expected 1 to {TOKEN_CHARACTERS}")
    if not text.isprintable() or text != text.strip():
        raise DeviceError(
            f"{place} holds what no header carries, such as a line end or a space at one end; expected letters, digits "
            "and signs"
        )
    if len(text) < MIN_CHARACTERS:
        _log.warning(
            "%s has %d characters; at least %d, at random, cannot be guessed", place, len(text), MIN_CHARACTERS
        )


def _tables(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeviceError(f"tokens {path} cannot be read: {error.strerror}; expected a TOML file") from error
    if len(content) > MAX_BYTES:
        raise DeviceError(f"tokens {path} has more than {MAX_BYTES >> 20} MB; expected a TOML file of tokens")
    try:
        found = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DeviceError(f"tokens {path} is not UTF-8, in line {number}; expected a TOML file in UTF-8") from error
    except (ValueError, RecursionError) as error:  # of TOML, or of brackets without end
        where = PLACE.search(str(error))
        told = f", at {where[1]}" if where else ""
        raise DeviceError(
            f"tokens {path} is not TOML{told}; expected tables that begin with [[token]], texts in quotes"
        ) from error
    tables = found.get("token")
    if set(found) != {"token"} or not isinstance(tables, list) or not tables:
        raise DeviceError(f"tokens {path} has no [[token]], or more than those; expected one table for each token")
    return tables


def _token(table: Any, place: str) -> Token:
    if not isinstance(table, Mapping) or not set(table) <= set(FIELDS):
        raise DeviceError(f"{place} has fields of unknown names; expected {', '.join(FIELDS)}")
    text, role, name, expires = map(table.get, FIELDS)
    if not isinstance(text, str):
        raise DeviceError(f'{place} has no "token" that is a string; expected 1 to {TOKEN_CHARACTERS} characters')
    if not isinstance(role, str) or role not in RIGHTS:
        raise DeviceError(f"{place} has role {show(role)}; expected one of {', '.join(RIGHTS)}")
    if not isinstance(name, str | None):
        raise DeviceError(f"{place} has name {show(name)}; expected a string")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        told = expires.isoformat() if isinstance(expires, date | time) else show(expires)
        raise DeviceError(f"{place} expires {told}; expected a time with its zone, such as 2026-12-01T00:00:00Z")
    check_token(text, place)
    return Token(text, RIGHTS[role], name or place.rpartition(", ")[2], expires)


def _warn_of_expired(path: Path, tokens: Sequence[Token]) -> None:
    now = datetime.now(UTC)
    for number, token in enumerate(tokens, 1):
        if token.expires is not None and token.expires <= now:
            _log.warning("%s, token %d has expired at %s; nobody gets in by it", path, number, token.expires)


def _warn_of_readers(path: Path) -> None:
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("others on this machine may read the tokens in %s; take that from them: chmod 600", path)
