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
_PREFIX, _CLIENT = "HTTP_X_FORWARDED_PREFIX", "HTTP_X_FORWARDED_FOR"

Application = Callable[..., Iterable[bytes]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxied:
    """A WSGI application below the prefix of the settings, behind trusted proxies."""

    def __init__(self, inner: Application, settings: WebSettings) -> None:
        self._settings = settings
        self._direct = inner
        self._behind: Application = ProxyFix(inner, x_host=1, x_prefix=1)

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer a request; X-Forwarded headers count from a trusted peer alone."""
        peer, proxies = environ.get("REMOTE_ADDR") or "", self._settings.trusted_proxies
        environ[TRUSTED] = is_trusted(peer, proxies)
        _strip_prefix(environ, self._settings.prefix)
        if environ[TRUSTED]:
            _drop_foreign_prefix(environ)
            if chain := environ.get(_CLIENT):
                environ[_CLIENT] = client_of(chain, proxies)
            return self._behind(environ, start)
        for name in _FORWARDED:
            environ.pop(f"HTTP_X_FORWARDED_{name}", None)
        return self._direct(environ, start)


def is_trusted(peer: str, proxies: Collection[str]) -> bool:
    """Return True if the peer is one of the proxies, addresses or networks.

    A peer without an IP address has come through a Unix socket, and is trusted.
    """
    address = address_in(peer)
    return address is None or _is_proxy(address, proxies)


def client_of(chain: str, proxies: Collection[str]) -> str:
    """Return the address of the client in X-Forwarded-For, without a port.

    Each proxy adds its peer at the end, so the last one that is no proxy is meant: what
    stands before it may be invented.
    """
    hops = [_without_port(hop.strip()) for hop in chain.split(",")]
    while len(hops) > 1:
        address = address_in(hops[-1])
        if address is None or not _is_proxy(address, proxies):
            break
        hops.pop()
    return hops[-1]


def _without_port(hop: str) -> str:
    """Return the address of a hop: some proxies write 192.0.2.1:4711 or [2001::1]:1."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def address_in(text: str) -> Address | None:
    """Return the IP address that a text is; None if it is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # What a socket for both families says of a peer with an address of IPv4.
    return getattr(found, "ipv4_mapped", None) or found


def _is_proxy(address: Address, proxies: Collection[str]) -> bool:
    return any(address in ipaddress.ip_network(each, strict=False) for each in proxies)


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
