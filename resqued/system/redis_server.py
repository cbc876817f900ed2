"""The embedded server: a private Valkey or Redis for the demo, tests and trials.

The server listens on loopback only, asks for a password, and keeps its files in a
directory of its own. It ends with the process that started it, however that process
dies, unless it was detached; a detached server is found again by its directory. This
module knows nothing of the keys in the server. It is not meant for production.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import redis
from msgspec import Struct
from msgspec.structs import asdict
from redis.backoff import NoBackoff
from redis.retry import Retry

from resqued.errors import EmbeddedServerError
from resqued.system import ownership, process, redis_directory, redis_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})

# In seconds: the server loads its append-only file before it answers.
_START_DEADLINE = 30.0

# In seconds: on SIGTERM the server first writes data that is not synced yet.
_STOP_GRACE = 10.0

_TICK = 0.01

# Another process may take a free port before the server does; after this many times in
# a row the cause is another fault.
_PORT_ATTEMPTS = 10

# The guard is the server's parent, so the pid that it signals is never that of another
# process. Its standard input is a pipe from this process: when this process dies, even
# by SIGKILL, the pipe closes and the guard ends the server. PR_SET_PDEATHSIG would need
# code between fork and exec, and takes effect when the *thread* that forked ends.
_GUARD = """
umask 077
log=$1; shift
"$@" </dev/null >>"$log" 2>&1 &
echo $!
read -r order
[ "$order" = detach ] && exit 0
kill -TERM $!
wait $!
"""

# Each line of the server's log begins with pid:role date time level.
_LOG_PREFIX = re.compile(r"^\d+:\w+ \d+ \w+ \d{4} [\d:.]+ \S ")


class _Identity(Struct, frozen=True):
    """The properties that distinguish a server from other processes with its pid."""

    pid: int
    started: int | None
    boot_id: str
    pid_namespace: str
    port: int
    url: str

    @classmethod
    def of(cls, pid: int, port: int, url: str) -> _Identity:
        started, boot_id = process.start_time(pid), process.boot_id()
        return cls(pid, started, boot_id, process.namespaces(), port, url)

    def is_running(self) -> bool:
        return (
            self.started is not None
            and self.boot_id == process.boot_id()
            and self.pid_namespace == process.namespaces()
            and self.started == process.start_time(self.pid)
            # Checked before a signal is sent: the server runs as this user.
            and ownership.process_user(self.pid) == os.geteuid()
        )


class EmbeddedServer:
    """A running server, from `start` or `find`; a context manager stops it."""

    def __init__(
        self, identity: _Identity, guard: subprocess.Popen[bytes] | None
    ) -> None:
        self._identity = identity
        self._guard = guard

    @classmethod
    def start(  # noqa: PLR0913 - each is a setting of the server
        cls,
        directory: Path,
        *,
        port: int | None = None,
        unix_socket: Path | None = None,
        append_only: bool = False,
        binary: Path | None = None,
        options: Mapping[str, str] = _NO_OPTIONS,
        detach: bool = False,
    ) -> Self:
        """Start a server in *directory*; raise EmbeddedServerError if that fails.

        Without a port the server takes a free one, or none if it has a Unix socket. The
        random password is kept in the directory. `options` override the settings of the
        server: an empty requirepass means no password. Unless detached, the server ends
        with this process and all its forked children that have not called exec.
        """
        program = redis_program.executable(binary or redis_program.bundled_binary())
        directory = directory.absolute()
        with redis_directory.locked(directory) as record:
            cls._refuse_if_running(directory)
            password = options.get("requirepass", redis_directory.password(directory))
            settings = redis_program.configuration(
                directory,
                append_only=append_only,
                unix_socket=unix_socket,
                options={**options, "requirepass": password},
            )
            server = cls._start_on_some_port(
                directory / redis_program.LOG,
                [str(program), redis_directory.configure(directory, settings)],
                port,
                redis_program.url_maker(unix_socket, password),
                tcp=not unix_socket,
            )
            server._write_record(record)
            if detach:
                server._detach()
        return server

    def _write_record(self, record: Path) -> None:
        """Write the server's identity to the record, for `find`; on failure stop it."""
        try:
            redis_directory.write(record, json.dumps(asdict(self._identity)))
        except EmbeddedServerError:
            self.stop()
            raise

    @classmethod
    def _refuse_if_running(cls, directory: Path) -> None:
        if running := cls.find(directory):
            raise EmbeddedServerError(
                f"an embedded server runs in {directory} already "
                f"(pid {running.pid}): stop it, or take another directory"
            )

    @classmethod
    def _start_on_some_port(
        cls,
        log: Path,
        command: list[str],
        port: int | None,
        make_url: Callable[[int], str],
        *,
        tcp: bool,
    ) -> Self:
        attempts = _PORT_ATTEMPTS if port is None and tcp else 1
        while True:
            attempts -= 1
            chosen = port if port is not None else _free_port() if tcp else 0
            try:
                return cls._start_on(log, command, chosen, make_url(chosen))
            except EmbeddedServerError as error:
                # Checked after the failure, because an earlier result could be
                # outdated.
                if not chosen or not _is_taken(chosen):
                    raise
                if not attempts:
                    raise EmbeddedServerError(
                        f"port {chosen} of {redis_program.HOST} is in use: "
                        "stop the process that listens there, or take another port"
                    ) from error

    @classmethod
    def _start_on(cls, log: Path, command: list[str], port: int, url: str) -> Self:
        seen = log.stat().st_size if log.exists() else 0
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", log, *command, "--port", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C at a terminal is for this process, which then stops the server.
            start_new_session=True,
        )
        assert guard.stdout
        with guard.stdout:
            pid = int(guard.stdout.readline())
        server = cls(_Identity.of(pid, port, url), guard)
        try:
            is_ready = server._wait_until_ready()
        except BaseException:
            server.stop()
            raise
        if not is_ready:
            why = f"no answer in {_START_DEADLINE:.0f} s"
            if not server.is_running():
                why = f"exit status {server._dismiss_guard()}"
            server.stop()
            raise EmbeddedServerError(
                f"the embedded server did not start ({why}): {_last_lines(log, seen)}"
            )
        return server

    @classmethod
    def find(cls, directory: Path) -> Self | None:
        """Return the server that runs in *directory*, or None.

        Raises EmbeddedServerError if the directory cannot be read, or if others can
        write to it.
        """
        try:
            redis_directory.check(directory)
            text = redis_directory.read(directory / redis_directory.RECORD)
            identity = _Identity(**json.loads(text))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            # No record, an empty one, or one of another version.
            return None
        except OSError as error:
            raise redis_directory.unusable(directory, error) from error
        return cls(identity, None) if identity.is_running() else None

    @property
    def url(self) -> str:
        """The URL to connect to, with the password if the server has one."""
        return self._identity.url

    @property
    def port(self) -> int:
        """The TCP port; 0 for a server with only a Unix socket."""
        return self._identity.port

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._identity.pid

    def is_running(self) -> bool:
        """Return True if the server's process is alive."""
        return self._identity.is_running()

    def stop(self) -> None:
        """End the server: SIGTERM, then SIGKILL after 10 s; wait for its exit."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if not self.is_running():
                break
            process.send(self.pid, signum)
            _wait(lambda: not self.is_running(), _STOP_GRACE)
        self._dismiss_guard()

    def __enter__(self) -> Self:
        """Return the server, which runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()

    def _wait_until_ready(self) -> bool:
        """Return True when the server answers, False if it ends or is too slow."""
        client = redis.Redis.from_url(
            self.url,
            protocol=2,
            # Another program may hold the port and never answer.
            socket_timeout=0.5,
            socket_connect_timeout=0.5,
            retry=Retry(NoBackoff(), 0),
        )

        def answers() -> bool:
            with suppress(redis.RedisError):
                client.ping()
                # The program that holds the port may be another Redis.
                return bool(client.info("server")["process_id"] == self.pid)
            return False

        with client:
            answered = _wait(
                lambda: answers() or not self.is_running(), _START_DEADLINE
            )
        return answered and self.is_running()

    def _detach(self) -> None:
        if self._guard and self._guard.stdin:
            self._guard.stdin.write(b"detach\n")
            self._dismiss_guard()

    def _dismiss_guard(self) -> int | None:
        """Close the guard's pipe and return the server's exit status, if known."""
        if self._guard is None:
            return None
        if self._guard.stdin:
            with suppress(BrokenPipeError):
                self._guard.stdin.close()
        status = self._guard.wait()
        self._guard = None
        return status


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((redis_program.HOST, 0))
        return int(probe.getsockname()[1])


def _is_taken(port: int) -> bool:
    # The server's log has the error too, but its text depends on the C library.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((redis_program.HOST, port))
        except PermissionError:
            return False
        except OSError:
            return True
        return False


def _last_lines(log: Path, start: int) -> str:
    """Return the last three lines of the log from byte *start* on, in one line."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"no log: {error.strerror}"
    texts = [_LOG_PREFIX.sub("", line).strip() for line in lines]
    return " | ".join([text for text in texts if text][-3:]) or f"nothing in {log}"


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_TICK)
    return True
