"""Raw clients: sockets that speak as much HTTP and websocket as a test wants them to, right or wrong."""

import http.client
import re
import socket
import struct
from contextlib import suppress

from clavilux.server.web.run import Listening
from tests.server.fakes import DEADLINE

HANDSHAKE = """\
GET /ws HTTP/1.1\r
Host: {host}:{port}\r
Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r
Sec-WebSocket-Protocol: clavilux.v1\r
{more}\r
"""
CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A websocket frame, masked with zeros, as a client must."""
    head = bytes([opcode | (0x80 if fin else 0)])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(data))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(data))
    return head + bytes(4) + data


def plain(here: Listening) -> socket.socket:
    """A connection that has said nothing yet."""
    return socket.create_connection((here.host, here.port), timeout=DEADLINE)


def upgrading(here: Listening, more: str = "") -> socket.socket:
    """A connection that has asked for a websocket, with more header lines; the answer is still to be read."""
    client = plain(here)
    client.sendall(HANDSHAKE.format(host=here.host, port=here.port, more=more).encode())
    return client


def opened(here: Listening) -> socket.socket:
    """A websocket on which hello has begun to come."""
    client = upgrading(here)
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 101")
    return client


def rest(client: socket.socket) -> bytes:
    """Everything that still comes until the other side ends the connection."""
    data = bytearray()
    with suppress(ConnectionResetError):
        while piece := client.recv(1 << 16):
            data += piece
    return bytes(data)


def close_frame(client: socket.socket) -> tuple[int, str]:
    """Read on to the end; return the code and reason of the close frame, which is the last thing that came."""
    found = re.search(rb"\x88([\x02-\x7d])(..)([^\x88]*)$", rest(client), re.DOTALL)
    assert found is not None
    assert found[1][0] == 2 + len(found[3])
    return struct.unpack("!H", found[2])[0], found[3].decode()


def get(here: Listening, path: str) -> tuple[int, bytes]:
    """Status and body of an answer."""
    connection = http.client.HTTPConnection(here.host, here.port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def refused(here: Listening, reason: str) -> int:
    """How often the server refused something for this reason, as it says itself."""
    found = re.search(rf'^clavilux_refused_total{{reason="{reason}"}} (\d+)', get(here, "/metrics")[1].decode(), re.M)
    return int(found[1]) if found else 0
