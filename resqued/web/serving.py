"""Serves the pages: an address, a Unix socket, or a socket that systemd has opened."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import waitress
from flask import Flask

from resqued.config.web_settings import WebSettings
from resqued.errors import ConfigError, ExitCode, ResquedError, StoreError
from resqued.web.app import create_app
from resqued.web.site import site

UNIX, INHERITED = "unix:", "fd:"
# The first descriptor that systemd passes (sd_listen_fds(3)).
_FIRST_INHERITED = 3
_THREADS, _CONNECTIONS = 8, 500
# Above the limit of web/app.py, which refuses with an answer of its own.
_MAX_BODY = 2 << 20
_BACKLOG = 128
# Connections that send nothing are closed after so many seconds, or a few hundred of
# them would keep everybody else out for minutes. Parts of pages ask every two seconds.
_SILENCE, _SILENCE_CHECK = 20, 5

# How long the first visitor's needs are prepared before anybody is served, in seconds.
_PATIENCE = 2.0


class ListenError(ResquedError):
    """The address cannot be listened on."""

    exit_code = ExitCode.UNAVAILABLE


def check(settings: WebSettings) -> None:
    """Raise ConfigError if the pages would be open to others without a login."""
    if settings.auth == "none" and not is_private(settings.listen):
        raise ConfigError(
            f"[web] listen: {settings.listen} can be reached from other hosts, and"
            " [web] auth is none: set auth to password or proxy, or listen on 127.0.0.1"
        )
    if settings.auth == "password" and not settings.users:
        raise ConfigError(
            "[web] users: auth = password needs a file of users;"
            " `resqued web user add NAME --role admin` makes it"
        )


def is_private(listen: str) -> bool:
    """Return True for a Unix socket, a socket of systemd and a loopback address."""
    if listen.startswith((UNIX, INHERITED)):
        return True
    host, _ = address_of(listen)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port; raise ConfigError if they are not valid."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ConfigError(
            f"[web] listen: {listen!r} must be host:port, unix:PATH or fd:"
        )
    return host, int(port)


def open_socket(settings: WebSettings) -> socket.socket:
    """Return the listening socket; raise ListenError or ConfigError."""
    listen = settings.listen
    if listen.startswith(INHERITED):
        return _inherited()
    try:
        if listen.startswith(UNIX):
            return _unix(Path(listen.removeprefix(UNIX)))
        host, port = address_of(listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {listen}: {error.strerror or error}; [web] listen or"
            " --listen names another address"
        ) from None


def _inherited() -> socket.socket:
    passed = os.environ.get("LISTEN_FDS", "")
    is_ours = os.environ.get("LISTEN_PID") == str(os.getpid())
    if is_ours and passed not in ("", "0", "1"):
        raise ListenError(
            f"systemd has passed {passed} sockets, and the pages take one: leave one"
            " ListenStream= in resqued-web.socket"
        )
    if not is_ours or passed != "1":
        raise ListenError(
            "[web] listen is fd:, but systemd has passed no socket: start"
            " resqued-web.socket, or name an address"
        )
    return socket.socket(fileno=_FIRST_INHERITED)


def _unix(path: Path) -> socket.socket:
    """Return a socket at a path; one that nobody listens on is replaced."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
            raise ListenError(f"cannot listen on {path}: another process does")
        except ConnectionRefusedError:
            # So is the answer for any file that is no socket.
            if not path.is_socket():
                raise ListenError(
                    f"cannot listen on {path}: it is a file, and no socket"
                ) from None
            path.unlink()
        except FileNotFoundError:
            pass
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(path))
    path.chmod(0o660)
    found.listen(_BACKLOG)
    return found


def _leave(*_: object) -> None:
    raise SystemExit(0)


def warm(app: Flask) -> None:
    """Compile the templates, and read what every page shows, if Redis answers."""
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
    with app.app_context(), suppress(StoreError):
        now = site().keeper.get()
        _ = now.services, now.newest_failures


def serve(settings: WebSettings, opened: socket.socket) -> None:
    """Serve the pages until SIGTERM or SIGINT; requests that run are answered."""
    signal.signal(signal.SIGTERM, _leave)
    # That a request waits a moment for a thread is nothing to tell an administrator.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    app = create_app(settings)
    # The first visitor is not to wait for what all need. A server that does not answer
    # must not keep the pages from saying so.
    warming = threading.Thread(target=warm, args=(app,), daemon=True)
    warming.start()
    warming.join(_PATIENCE)
    try:
        waitress.serve(
            app,
            sockets=[opened],
            threads=_THREADS,
            connection_limit=_CONNECTIONS,
            channel_timeout=_SILENCE,
            cleanup_interval=_SILENCE_CHECK,
            max_request_body_size=_MAX_BODY,
            asyncore_use_poll=True,
            ident=None,
            clear_untrusted_proxy_headers=False,
            _quiet=True,
        )
    finally:
        if settings.listen.startswith(UNIX):
            Path(settings.listen.removeprefix(UNIX)).unlink(missing_ok=True)
