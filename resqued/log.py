"""Structured logs: one event a line, to standard error.

Touches neither the logging module's root nor structlog's own configuration: what
an application sets up stays as it is, and does nothing to these lines. Each line is
one write(2), so that lines of several processes never mix. Under systemd a line
begins with its priority (sd-daemon(3)).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

# structlog would import rich, if it is installed, for tracebacks that we do not
# print; it is as large as all the rest, and every fork would copy it.
_has_rich = "rich" in sys.modules
if not _has_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]

import structlog  # noqa: E402

if not _has_rich:
    del sys.modules["rich"]

from structlog.typing import (  # noqa: E402
    EventDict,
    FilteringBoundLogger,
    WrappedLogger,
)

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FORMATS = ("auto", "console", "logfmt", "json")
# syslog(3)
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class _Writer:
    """Writes lines to a descriptor, each whole."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def msg(self, message: str) -> None:
        data = (message + "\n").encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            # A terminal that went away or a full disk must not stop the pool.
            return

    debug = info = warning = error = critical = log = msg


class _Form:
    """How this process's log looks; set once, before anything is logged."""

    def __init__(self) -> None:
        self.processors: list[Callable[..., Any]] = []
        self.wrapper: type = structlog.make_filtering_bound_logger(LEVELS["info"])
        self.fd = 2


_form = _Form()


def configure(*, level: str = "info", style: str = "auto", fd: int = 2) -> None:
    """Set up the log of this process; forked children inherit it."""
    if style == "auto":
        style = "console" if os.isatty(fd) else "logfmt"
    _form.processors = _processors(style)
    _form.wrapper = structlog.make_filtering_bound_logger(LEVELS[level])
    _form.fd = fd


def _processors(style: str) -> list[Callable[..., Any]]:
    common: list[Callable[..., Any]] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
    ]
    # journald has its own time stamps.
    has_journal = "JOURNAL_STREAM" in os.environ
    if not has_journal or style == "json":
        common.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    if style == "json":
        return [*common, structlog.processors.JSONRenderer()]
    if style == "console":
        colors = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        return [*common, structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=20)]
    render = structlog.processors.LogfmtRenderer(
        key_order=["timestamp", "level", "event"], drop_missing=True
    )
    return [*common, _flatten, _Priority(render) if has_journal else render]


def _flatten(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Keep a value on one line: logfmt cannot hold line breaks."""
    for key, value in event.items():
        if isinstance(value, (list, tuple, dict)):
            event[key] = str(value)
        if isinstance(event[key], str) and "\n" in event[key]:
            event[key] = event[key].replace("\n", "\\n")
    return event


class _Priority:
    """Puts the priority in front of a line, for journald."""

    def __init__(self, render: Callable[..., Any]) -> None:
        self._render = render

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        priority = _PRIORITIES.get(str(event.get("level")), 6)
        return f"<{priority}>{self._render(logger, name, event)}"


def get(**values: Any) -> FilteringBoundLogger:
    """Return a logger that puts these values on every line."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Writer(_form.fd),
        processors=_form.processors or _processors("logfmt"),
        wrapper_class=_form.wrapper,
        context_class=dict,
        cache_logger_on_first_use=True,
        **values,
    ).bind()
    return logger
