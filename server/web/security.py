"""The web application's guards: headers on every response, and who may open a websocket. Pure."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clavilux.server.protocol.words import SUBPROTOCOL
from clavilux.server.settings import Settings

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
        return PlainTextResponse(f"Origin is {origin}, this server is {host}; open the page from here\n", 403)
    if not settings.answers(host_name(host)):
        return PlainTextResponse(f"this server does not answer to the name {host!r}; start it with that name\n", 403)
    if SUBPROTOCOL not in protocols:
        return PlainTextResponse(f"found subprotocols {protocols}; expected {SUBPROTOCOL}\n", 400)
    return None


def host_name(host: str) -> str:
    """Return the name in a Host header without its port, lower case; "" if there is none to find."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
