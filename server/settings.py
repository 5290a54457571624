"""Settings of a server, in one frozen value; the commands fill it, everything else reads it."""

import ipaddress
import socket
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from pathlib import Path

PAGE = Path(__file__).parent / "page"
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Right(IntEnum):
    """Rights that a token gives; each one holds those below it."""

    WATCH = 1
    PLAY = 2
    ADMIN = 3  # plays in anyone's place, and reads the metrics


@dataclass(frozen=True)
class Token:
    """A secret, and what it gives to whoever shows it."""

    text: str = field(repr=False)
    right: Right = Right.ADMIN
    name: str = "a token"  # what logs call it
    expires: datetime | None = None  # with its time zone; None: never


@dataclass(frozen=True)
class Settings:
    """Everything a server can be told. Times are seconds."""

    host: str = "127.0.0.1"  # address to listen on
    port: int = 7860  # 0 takes any free port
    token: str | None = field(default=None, repr=False)  # one that may do everything; None = see `tokens`
    tokens: tuple[Token, ...] = ()  # others; with any token at all everybody needs one
    open: bool = False  # whether a server that others can reach may be without a token
    names: tuple[str, ...] = ()  # Host names it answers to, beside those that `answers` tells
    origins: tuple[str, ...] = ()  # pages from elsewhere that may connect, such as "http://localhost:5173"
    proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For is believed
    certificate: Path | None = None  # PEM, with the chain; None: no TLS
    key: Path | None = None  # PEM, of the certificate; None: it stands in the certificate's file
    bundle: str = "lumia"  # its name, for hello
    own_sound: bool = False  # the sound comes from a sound card here: no client may bring its own
    max_viewers: int = 64  # performers come on top
    max_performers: int = 16  # the last place is for one who sounds
    max_waiting: int = 128  # connections that have not started; beyond, the oldest goes
    max_waiting_per_address: int = 80  # of those: a full house behind one router comes back at once after a restart
    page: Path = PAGE  # folder of the web instrument
    status_seconds: float = 0.5  # between two statuses
    start_seconds: float = 10.0  # from hello to start, then the connection ends
    send_seconds: float = 30.0  # for one message to leave; a peer that reads nothing for so long is gone

    @property
    def token_required(self) -> bool:
        """Whether clients must show a token."""
        return self.token is not None or bool(self.tokens)

    def answers(self, name: str) -> bool:
        """Whether a request that asked for host `name` is served.

        Loopback names and `names` are. A server that others can reach answers to addresses and its machine's name, too.
        To no other: otherwise any web page could reach it by pointing its own name here (DNS rebinding), and pass the
        Origin check.
        """
        wanted = plain(name)
        if is_loopback(wanted) or wanted in map(plain, self.names):
            return True
        here = plain(socket.gethostname())
        named = {plain(self.host), here, f"{here}.local", f"{here.partition('.')[0]}.local"}
        return not is_loopback(self.host) and (wanted in named or as_address(wanted) is not None)


def plain(name: str) -> str:
    """Return a host name in lower case, without the dot that may end it."""
    return name.lower().removesuffix(".")


def as_address(name: str) -> IPAddress | None:
    """Return the address that `name` is, an IPv4 one that was written as IPv6 as itself; None for another name."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(name: str) -> bool:
    """Whether a host name or address leads to its own machine, whatever anyone says."""
    address = as_address(plain(name))
    return plain(name) == "localhost" if address is None else address.is_loopback
