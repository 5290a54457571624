"""Limits of what peers may cost a server, and the uvicorn configuration that carries them to its connections.

docs/protocol.md tells clients of them. Times are seconds.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn

from clavilux.runtime.token_bucket import TokenBucket
from clavilux.server.stage.peer_log import PeerLog
from clavilux.server.web.listener import SLACK
from clavilux.server.web.pace import FairPace

try:
    import resource
except ImportError:  # Windows, where files have no such bound
    resource = None  # type: ignore[assignment]

RESERVED_DESCRIPTORS = 32  # for the engine, the sound card and what a library opens
FEWEST_CONNECTIONS = 8
DESCRIPTORS = (Path("/proc/self/fd"), Path("/dev/fd"))  # folders that list what this process has open


@dataclass(frozen=True)
class Limits:
    """Everything that bounds a peer before the protocol does."""

    connections: int = 1024  # open at once, whatever they say
    arrivals: float = 50.0  # accepted per second and address, in the long run
    arrival_burst: int = 512  # and at once: a full house behind one router that opens the page
    answers: int = 64  # HTTP responses being made at once; each has a file open
    requests: float = 300.0  # HTTP requests answered per second, in the long run
    request_burst: int = 2000  # and at once: a page is some thirty files, and a house full of people opens it
    head_bytes: int = 16_384  # of a request line and its headers
    headers: int = 100  # of one request
    head_seconds: float = 10.0  # for a request to be complete, from the opening or the answer before it
    idle_seconds: int = 5  # between two requests
    answer_seconds: float = 10.0  # that a request waits for its turn, then 503
    unread_seconds: float = 30.0  # that a peer may read next to nothing of what waits for it
    closing_seconds: float = 5.0  # for a peer to take the rest once the connection is closed
    handshake_seconds: float = 3.0  # for a peer to answer the close frame
    fragments: int = 1024  # of one websocket message
    pongs: int = 64  # that may wait for a peer that does not read
    frames: float = 500.0  # websocket frames read per second and connection, in the long run, and at once
    frame_share: float = 100.0  # of each connection, where all connections together are over `all_frames`
    all_frames: float = 5000.0  # per second; a full stage that acknowledges thirty pictures a second is at half of it


class GuardedConfig(uvicorn.Config):
    """uvicorn's configuration, which it hands to every connection, with the limits and the log of peers."""

    def __init__(self, app: Any, limits: Limits, peers: PeerLog, **settings: Any) -> None:
        """`settings` are `uvicorn.Config`'s."""
        self.limits = limits
        self.peers = peers
        self._together = TokenBucket(limits.all_frames, limits.all_frames)
        super().__init__(app, **settings)

    def pace(self) -> FairPace:
        """Return the pace of one more websocket."""
        limits = self.limits
        most, share = TokenBucket(limits.frames, limits.frames), TokenBucket(limits.frames, limits.frame_share)
        return FairPace(most, share, self._together)


def free_descriptors() -> int | None:
    """Return how many more files and sockets this process may open, None where nobody says."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = next((len(os.listdir(folder)) for folder in DESCRIPTORS if folder.is_dir()), 0)  # noqa: PTH208
    return None if soft == resource.RLIM_INFINITY else max(0, soft - opened)


def affordable(limits: Limits, free: int | None) -> Limits:
    """Return `limits` with no more connections and answers than `free` descriptors carry; None: any number."""
    if free is None:
        return limits
    room = free - RESERVED_DESCRIPTORS
    answers = min(limits.answers, max(1, room // 4))
    connections = max(FEWEST_CONNECTIONS, room - answers - SLACK)
    return replace(limits, answers=answers, connections=min(limits.connections, connections))
