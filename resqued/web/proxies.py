"""Requests behind proxies: which peers are trusted, and the path below a prefix."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from resqued.config.web_settings import WebSettings
from resqued.web.own_path import is_own_path

# In the WSGI environment: True if the peer is a trusted proxy.
TRUSTED = "resqued.is_trusted"
# With these a proxy says who has sent the request; others must not send them.
_FORWARDED = ("FOR", "PROTO", "HOST", "PORT", "PREFIX")
_PREFIX = "HTTP_X_FORWARDED_PREFIX"

Application = Callable[..., Iterable[bytes]]


class Proxied:
    """A WSGI application below the prefix of the settings, behind trusted proxies."""

    def __init__(self, inner: Application, settings: WebSettings) -> None:
        self._settings = settings
        self._direct = inner
        self._behind: Application = ProxyFix(inner, x_host=1, x_prefix=1)

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer a request; X-Forwarded headers count from a trusted peer alone."""
        peer = environ.get("REMOTE_ADDR") or ""
        environ[TRUSTED] = is_trusted(peer, self._settings.trusted_proxies)
        _strip_prefix(environ, self._settings.prefix)
        if environ[TRUSTED]:
            _drop_foreign_prefix(environ)
            return self._behind(environ, start)
        for name in _FORWARDED:
            environ.pop(f"HTTP_X_FORWARDED_{name}", None)
        return self._direct(environ, start)


def is_trusted(peer: str, proxies: Collection[str]) -> bool:
    """Return True if the peer is one of the proxies, addresses or networks.

    A peer without an IP address has come through a Unix socket, and is trusted.
    """
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return True
    # What a socket for both families says of a peer with an address of IPv4.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(_is_in(address, proxy) for proxy in proxies)


def _is_in(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str
) -> bool:
    return address in ipaddress.ip_network(network, strict=False)


def _drop_foreign_prefix(environ: dict[str, Any]) -> None:
    """Ignore a prefix that is no path here: a proxy may pass on what a client sent."""
    prefix = environ.get(_PREFIX, "").rpartition(",")[2].strip()
    if prefix and not is_own_path(prefix):
        del environ[_PREFIX]


def _strip_prefix(environ: dict[str, Any], prefix: str) -> None:
    path = environ.get("PATH_INFO", "")
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
        environ["PATH_INFO"] = path.removeprefix(prefix) or "/"
