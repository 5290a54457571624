"""The web application's guards: headers on every response, who may open a websocket, and who asks. Pure."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clavilux.runtime.commands.printable import one_line
from clavilux.runtime.refused_json import shortened
from clavilux.server.protocol.words import SUBPROTOCOL
from clavilux.server.settings import Settings, is_loopback
from clavilux.server.stage.refusals import RefusedError

SECURITY_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "; ".join(
        (
            "default-src 'self'",
            "connect-src 'self'",
            "img-src 'self' blob: data:",
            "worker-src 'self' blob:",
            "media-src 'self' blob:",
            "style-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'self'",
        )
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
"""Headers that a proxy adds: a request that has one comes from elsewhere, whatever its address."""
SCHEME = "bearer "
SAID_CHARACTERS = 200  # of what a peer has written that an answer repeats: twice in a line, and it is not too long


class HardenedResponses:
    """ASGI middleware that puts SECURITY_HEADERS on every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the wrapped app, adding the headers as its response starts."""

        async def harden(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, harden if scope["type"] == "http" else send)


def refusal(headers: Headers, protocols: list[str], settings: Settings) -> PlainTextResponse | None:
    """Return the HTTP answer to a websocket request that must not be accepted, None for one that may."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if not (origin is None or origin in settings.origins or origin.partition("://")[2].lower() == host.lower()):
        line = f"Origin is {_said(origin)}, this server is {_said(host)}; open the page from here\n"
        return PlainTextResponse(line, 403)
    if not settings.answers(host_name(host)):
        name = _said(host_name(host))
        line = f"this server does not answer to the name '{name}'; start it with --name {name or 'NAME'}\n"
        return PlainTextResponse(line, 403)
    if SUBPROTOCOL not in protocols:
        found = f"subprotocols {_said(', '.join(protocols))}" if protocols else "no subprotocol"
        return PlainTextResponse(f"found {found}; expected {SUBPROTOCOL}\n", 400)
    return None


def _said(text: str) -> str:
    """Return what a peer has written as part of a line: all of it that can be printed, and not too much."""
    return shortened(one_line(text), SAID_CHARACTERS)


def host_name(host: str) -> str:
    """Return the name in a Host header without its port, lower case; "" if there is none to find."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def bearer(headers: Headers) -> str | None:
    """Return the token that `Authorization: Bearer` shows, None for none or another scheme."""
    shown = headers.get("authorization", "")
    if not shown.lower().startswith(SCHEME):
        return None
    return shown[len(SCHEME) :].strip().encode("latin-1", "replace").decode("utf-8", "replace")


def is_local(headers: Headers, address: str, settings: Settings) -> bool:
    """Whether a request was made on this machine, by a name of this server's, and through no proxy."""
    forwarded = any(name in headers for name in FORWARDED)
    return is_loopback(address) and not forwarded and settings.answers(host_name(headers.get("host", "")))


def denial(refused: RefusedError) -> PlainTextResponse:
    """Return the HTTP answer to a request whose token was refused: 401, or 429 with the time to wait."""
    if refused.retry_after is None:
        return PlainTextResponse(f"{refused}\n", 401, {"WWW-Authenticate": "Bearer"})
    return PlainTextResponse(f"{refused}\n", 429, {"Retry-After": f"{refused.retry_after:.0f}"})
