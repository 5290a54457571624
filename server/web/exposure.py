"""Exposure of a server: settings that would leave it open to strangers, or useless, are refused before it listens.

Each is one line that says what was found, what was expected and what to do.
"""

import ipaddress
import logging
import re
import ssl
from urllib.parse import urlsplit

from clavilux.runtime.errors import DeviceError
from clavilux.server.settings import Settings, as_address, is_loopback, plain

LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"  # of a name, as RFC 1123 has them, and as networks do
HOST_NAME = re.compile(rf"{LABEL}(\.{LABEL})*")
PORTS_LEFT_OUT = {"http": 80, "https": 443}  # by browsers, in an Origin

_log = logging.getLogger(__name__)


def check(settings: Settings, address: str) -> None:
    """Look over `settings` of a server that will listen on `address`.

    Raises DeviceError for an address that others can reach without a token, for a name or an origin that no browser
    would send, and for a proxy that is no address.
    """
    if not (settings.token_required or settings.open or is_loopback(address)):
        raise DeviceError(
            f"{address} can be reached by others, and there is no token; set CLAVILUX_TOKEN, name a file by --tokens, "
            "or say --open to let everyone play"
        )
    for name in settings.names:
        _check_name(name)
    for origin in settings.origins:
        _check_origin(origin)
    for proxy in settings.proxies:
        _check_proxy(proxy)


def warn(settings: Settings) -> None:
    """Say in the log which proxies of checked `settings` are everyone."""
    for proxy in settings.proxies:
        if ipaddress.ip_network(proxy).prefixlen == 0:
            _log.warning(
                "proxy %s is everyone: whoever connects may say to come from anywhere, and no address is bounded; "
                "name the proxy's own address",
                proxy,
            )


def tls(settings: Settings) -> ssl.SSLContext | None:
    """Return what the certificate and key of `settings` make, None where there are none.

    Raises DeviceError for files that cannot be read, that are not PEM, or do not belong together.
    """
    if settings.certificate is None:
        if settings.key is not None:
            raise DeviceError(f"there is a key, {settings.key}, but no certificate; name it by --certificate")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    wanted = "expected PEM files of one pair, the key without a password"
    pair = f"certificate {settings.certificate} and key {settings.key}"
    if settings.key is None:
        pair = f"certificate {settings.certificate} with a key in the same file"
        wanted = "name the file of the key by --key"
    try:
        # A password that is asked for would be asked of a terminal where nobody may sit.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: b"")
    except ssl.SSLError as error:
        told = {"KEY_VALUES_MISMATCH": "do not belong together"}.get(error.reason, "cannot be read as PEM")
        raise DeviceError(f"{pair} {told}; {wanted}") from error
    except OSError as error:
        raise DeviceError(f"{pair} cannot be read: {error.strerror}; expected PEM files") from error
    return context


def _check_name(name: str) -> None:
    if as_address(plain(name)) is None and not HOST_NAME.fullmatch(plain(name)):
        raise DeviceError(
            f"name {name!r} is no host name; expected one such as stage.example, without a scheme, a port or a path, "
            "and letters beyond a to z as xn--…"
        )


def _check_origin(origin: str) -> None:
    parts = urlsplit(origin)
    try:
        port = parts.port
    except ValueError:
        port = -1
    usual = f"{parts.scheme}://{parts.netloc}".lower()
    left_out = port is not None and port in (-1, PORTS_LEFT_OUT.get(parts.scheme))
    if not parts.scheme or not parts.hostname or usual != origin or left_out or "@" in origin:
        raise DeviceError(
            f"origin {origin!r} is none that a browser sends; expected scheme://host or scheme://host:port in lower "
            "case, without a path or the scheme's own port, such as https://stage.example"
        )


def _check_proxy(proxy: str) -> None:
    try:
        network = ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        raise DeviceError(f"proxy {proxy!r} is no address; expected one such as 127.0.0.1 or 10.0.0.0/8") from None
    if "/" in proxy and proxy.partition("/")[0] != str(network.network_address):
        raise DeviceError(
            f"proxy {proxy!r} is an address in a network; name it, {proxy.partition('/')[0]}, or the network, {network}"
        )
