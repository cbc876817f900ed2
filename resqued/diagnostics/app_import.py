"""The import of the application in a separate process, and its result.

The process imports as a zygote does: a new interpreter, the same directory and
environment. The caller runs none of the application's code, and waits for a limited
time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from resqued import client, zygote
from resqued.config.settings import AppSettings
from resqued.diagnostics.import_result import Import
from resqued.errors import JobClassError
from resqued.jobs.declare import declared
from resqued.jobs.lookup import declared_queue, resolve
from resqued.system import process
from resqued.system.lines import LineReader


def attempt(
    settings: AppSettings,
    *,
    environment: Mapping[str, str],
    class_name: str = "",
    timeout: float,
) -> Import:
    """Import the application's modules in a separate process; return the result.

    With `class_name` the result also shows whether that class is one of its jobs. The
    process, and those that it has started, are killed when it has answered, or after
    `timeout` seconds.
    """
    question = {"settings": settings.as_dict(), "class": class_name}
    line, status = _asked(json.dumps(question).encode(), environment, timeout)
    if status is None:
        error = f"it is not done after {timeout:g} s"
        return Import(settings.modules, error=error, seconds=timeout)
    if line is None:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return Import(settings.modules, error=f"the process ended with {how}")
    return Import.from_dict(settings.modules, json.loads(line))


def _asked(
    question: bytes, environment: Mapping[str, str], timeout: float
) -> tuple[bytes | None, int | None]:
    """Return the answer of a new process and its exit status.

    The answer is None if the process gave none, the status if it took too long.
    """
    line, is_late = None, False
    by = time.monotonic() + timeout
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "resqued.diagnostics.app_import", str(write)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(write,),
        start_new_session=True,
        env=dict(environment),
    ) as tried:
        os.close(write)
        try:
            assert tried.stdin is not None, "a pipe was asked for"
            with suppress(BrokenPipeError):
                tried.stdin.write(question)
                tried.stdin.close()
            try:
                line = LineReader(read).read(by)
            except TimeoutError:
                is_late = True
            if not is_late and line is None:
                # At end of file the process is about to exit by itself.
                with suppress(subprocess.TimeoutExpired):
                    tried.wait(max(0.0, by - time.monotonic()))
        finally:
            os.close(read)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(tried.pid, signal.SIGKILL)
            status = tried.wait()
    return line, None if is_late else status


# In that process


def main(fd: int) -> int:
    """Import the application and write one line to the descriptor; return 0.

    The caller runs this module with `python -m` and the number of the descriptor.
    """
    asked = json.load(sys.stdin)
    # A process that the application forks must not hold the pipe of the answer.
    os.set_inheritable(fd, False)
    answer = _try(AppSettings.from_dict(asked["settings"]), asked["class"])
    text = json.dumps(answer).encode() + b"\n"
    while text:
        text = text[os.write(fd, text) :]
    return 0


def _try(settings: AppSettings, class_name: str) -> dict[str, Any]:
    client.configure(settings.url, namespace=settings.namespace)
    began = time.monotonic()
    try:
        zygote.enter(settings.directory)
        zygote.load(settings.modules, directory=settings.directory)
    except zygote.ApplicationError as error:
        return {"error": str(error), "seconds": time.monotonic() - began}
    found: dict[str, Any] = {
        "seconds": time.monotonic() - began,
        "threads": process.threads(),
        "sockets": list(_sockets()),
        "declared": declared(),
    }
    if class_name:
        try:
            _, found["limits"], _ = resolve(class_name, settings.modules)
        except JobClassError as error:
            found["class_error"] = str(error)
        else:
            found["queue"] = declared_queue(class_name, settings.modules)
    return found


def _sockets() -> Iterator[str]:
    """Yield the addresses of this process's sockets, which a fork would inherit."""
    for name in sorted(os.listdir("/proc/self/fd"), key=int):  # noqa: PTH208
        # The descriptor that listdir used for the directory is closed again.
        with suppress(OSError):
            if not Path(f"/proc/self/fd/{name}").is_socket():
                continue
            with socket.socket(fileno=os.dup(int(name))) as found:
                place = _place(found)
            if place:
                yield place


def _place(found: socket.socket) -> str:
    kinds = {socket.AF_UNIX: "unix", socket.AF_INET: "", socket.AF_INET6: ""}
    kind = kinds.get(found.family, found.family.name)
    try:
        peer, way = found.getpeername(), "to"
    except OSError:
        peer, way = found.getsockname(), "at"
    if found.family == socket.AF_UNIX:
        text = peer.decode("utf-8", "replace") if isinstance(peer, bytes) else peer
        # One end of a pair within the process has no name.
        return f"{kind} {way} {text}" if text else ""
    protocol = "tcp" if found.type == socket.SOCK_STREAM else "udp"
    return f"{kind or protocol} {way} {_address(peer)}"


def _address(place: Any) -> str:
    if not isinstance(place, tuple) or len(place) < 2:
        return str(place)
    host, port = place[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
