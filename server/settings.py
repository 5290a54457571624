"""Settings of a server, in one frozen value; the commands fill it, everything else reads it."""

from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})
PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class Settings:
    """Everything a server can be told. Times are seconds."""

    host: str = "127.0.0.1"  # address to listen on
    port: int = 7860  # 0 takes any free port
    token: str | None = field(default=None, repr=False)  # what clients must show in "start"; None = nothing
    names: tuple[str, ...] = ()  # Host names it answers websockets to; empty = this machine's, or any if bound wider
    origins: tuple[str, ...] = ()  # pages from elsewhere that may connect, such as "http://localhost:5173"
    bundle: str = "lumia"  # its name, for hello
    own_sound: bool = False  # the sound comes from a sound card here: no client may bring its own
    max_viewers: int = 64  # performers come on top
    page: Path = PAGE  # folder of the web instrument
    status_seconds: float = 0.5  # between two statuses
    start_seconds: float = 30.0  # from hello to start, then the connection ends
    send_seconds: float = 30.0  # for one message to leave; a peer that reads nothing for so long is gone

    def answers(self, name: str) -> bool:
        """Whether a websocket that asked for host `name` is served.

        A server on a loopback address answers to loopback names only: otherwise any web page could reach it by
        pointing its own name at 127.0.0.1 (DNS rebinding), and pass the Origin check.
        """
        if self.names:
            return name in self.names
        return self.host not in LOOPBACK_NAMES or name in LOOPBACK_NAMES
