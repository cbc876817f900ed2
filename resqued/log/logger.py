"""Structured logs: events as lines on standard error, or as records in the journal.

Used by master, zygote, workers and children. It must not change the root logger of
the logging module or structlog's configuration: those belong to the application, and
have no effect on these lines. Each line is one write(2), so that lines of several
processes never mix. A line that goes to the journal as text begins with its priority
(sd-daemon(3)).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from resqued.log import journal
from resqued.log.descriptors import (
    file_behind,
    has_room,
    is_file,
    without_waiting,
    write_now,
)
from resqued.log.journal_fields import PRIORITIES, escape, sentence, text_of

# structlog imports rich, if it is installed, for tracebacks that this log does not
# print. That takes 4.5 MB of memory and 0.04 s of processor time in each zygote.
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

# The type of logger that parts of the daemon take.
Logger = FilteringBoundLogger

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# The level of an event that is not logged at all.
OFF = "off"
FORMATS = ("auto", "console", "logfmt", "json", "journal")
_EVERYTHING = 0
_ERROR = 2


class _Writer:
    """Writes whole lines to a descriptor; never waits for its reader, never fails.

    A line for which a pipe or a socket has no room is dropped. The next line that can
    be written is preceded by the number of those that were dropped.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        # The end of a line whose beginning was written.
        self._rest = b""
        self._dropped = 0
        self._owner = os.getpid()

    def msg(self, message: str) -> None:
        data = (message + "\n").encode("utf-8", "backslashreplace")
        self._own()
        # The number of dropped lines is written only before a line that fits, too.
        is_dropped = (
            not has_room(self.fd, len(data))
            or not self._has_caught_up()
            or not self._write(data, begins=True)
        )
        if is_dropped:
            self._dropped += 1

    def tell_dropped(self) -> None:
        """Write what is owed, if there is room for it: how many lines were dropped."""
        self._own()
        self._has_caught_up()

    def _own(self) -> None:
        """Forget what a process owes from which this one was forked."""
        if self._owner != os.getpid():
            self._owner, self._rest, self._dropped = os.getpid(), b"", 0

    def _has_caught_up(self) -> bool:
        """Write the rest of a line, and the count of dropped ones; False if no room."""
        if not self._write(self._rest):
            return False
        if self._dropped:
            count, self._dropped = self._dropped, 0
            _logger_to(self).warning("log_lines_dropped", count=count)
            if self._dropped:
                self._dropped = count
        return not self._dropped and not self._rest

    def _write(self, data: bytes, *, begins: bool = False) -> bool:
        """Write what there is room for; return False if the line is to be dropped."""
        length = len(data)
        if begins and _config.has_half_line:
            data = b"\n" + data
        try:
            while data:
                data = data[write_now(self.fd, data) :]
            if begins:
                _config.has_half_line = False
        except OSError:
            # The reader stands still, a terminal is gone, a disk is full.
            if is_file(self.fd):
                # Half a line may be the last one, of this process or of another: the
                # rest would come after lines of others.
                _config.has_half_line = True
                self._rest = b""
                return False
            if begins and len(data) >= length:
                return False
        self._rest = data
        return begins or not data

    debug = info = warning = error = critical = log = msg


class _LogConfig:
    """The configuration of this process's log; set once, before anything is logged."""

    def __init__(self) -> None:
        self.style = "logfmt"
        self.level = LEVELS["info"]
        # The level of each event that has another one than the code gives it.
        self.events: Mapping[str, str] = {}
        # Whether a processor judges levels, and not the class of the loggers.
        self.has_filter = False
        self.processors: list[Callable[..., Any]] = []
        self.fd = 2
        # For all loggers of this process: what could not be written is noted in it.
        self.writer: journal.Writer | _Writer | None = None
        # The files of standard output and error, as device and inode.
        self.streams: dict[int, tuple[int, int] | None] = {}
        # A file that was full may end in a part of a line: the next one begins with
        # a newline.
        self.has_half_line = False


_config = _LogConfig()


def configure(
    *,
    level: str = "info",
    style: str = "auto",
    events: Mapping[str, str] | None = None,
    fd: int = 2,
    may_change: bool = False,
) -> None:
    """Set up the log of this process; processes that it forks inherit it.

    `level` is one of LEVELS, `style` one of FORMATS, and `fd` the descriptor for
    lines. `events` has the levels of single events, each one of LEVELS or OFF. With
    `may_change` set_levels has an effect. Raises ConfigError for style journal without
    a journal.
    """
    _config.style = _choose(fd) if style == "auto" else style
    set_levels(level, events or {})
    # Without it a level that is not logged costs one call that does nothing.
    _config.has_filter = may_change or bool(events)
    _config.fd = without_waiting(fd)
    if _config.style == "journal":
        journal.check()
    _config.processors = _processors(_config.style)


def write_to(fd: int) -> None:
    """Write lines to `fd` from now on, in place of standard error.

    That is a copy, if the application has another file under the number of it.
    """
    if _config.fd == _ERROR:
        _config.fd = fd


def descriptor() -> int:
    """Return the descriptor that lines are written to."""
    return _config.fd


def set_levels(level: str, events: Mapping[str, str]) -> None:
    """Change the level of the log and those of single events, as configure has them."""
    _config.level, _config.events = LEVELS[level], events


def _choose(fd: int) -> str:
    """Return the style for a descriptor: a terminal, the journal, or another."""
    if os.isatty(fd):
        return "console"
    if not journal.is_behind(fd, os.environ):
        return "json"
    return "journal" if journal.is_running() else "logfmt"


def note_streams() -> None:
    """Note where standard output and error lead, which is where the log is."""
    _config.streams = {fd: file_behind(fd) for fd in (1, 2)}


def is_redirected(fd: int) -> bool:
    """Return True if the text for an output stream must go to its descriptor.

    That leads elsewhere since `note_streams`, or the log would: a job has redirected
    it, or has closed it, and its number is that of another file.
    """
    known, now = _config.streams, file_behind(fd)
    if now is None or now != known.get(fd, now):
        return now is not None
    log = _config.fd
    return log in known and file_behind(log) != known[log]


def tell_dropped() -> None:
    """Log how many lines of this process were dropped, if there is room again."""
    if _config.writer is not None:
        _config.writer.tell_dropped()


def is_for_programs() -> bool:
    """Return True unless the style is console, which is for a terminal."""
    return _config.style != "console"


def is_logged(event: str, level: str) -> bool:
    """Return True if an event that the code gives this level is logged."""
    level = _config.events.get(event, level)
    return level != OFF and LEVELS[level] >= _config.level


def _processors(style: str) -> list[Callable[..., Any]]:
    chain = _chain(style)

    def render(logger: WrappedLogger, name: str, event: EventDict) -> Any:
        values = dict(event)
        try:
            for processor in chain:
                event = processor(logger, name, event)
        except Exception as error:
            return _unrendered(values, name, error, style)
        return event

    return [render]


def _unrendered(values: EventDict, level: str, error: Exception, style: str) -> Any:
    """Return an event that could not be rendered; `error` says why.

    The application may have replaced what renders, such as json.JSONEncoder.
    """
    told = {"level": level, **values, "log_error": _named(error)}
    if told.pop("exc_info", None) and error.__context__ is not None:
        told["exception"] = _named(error.__context__)
    if style == "journal":
        return (told,), {}
    return f"level={told['level']} {sentence(told)}"


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {text_of(error)}"


def _chain(style: str) -> list[Callable[..., Any]]:
    common: list[Callable[..., Any]] = [
        _add_level,
        structlog.processors.format_exc_info,
    ]
    if style == "journal":
        return [*common, _place, _as_record]
    # The journal adds its own time stamps.
    has_journal = journal.is_behind(_config.fd, os.environ)
    if not has_journal or style == "json":
        common.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    if style == "json":
        # Not structlog's own choice: see standard_library.keep_own_copies.
        return [*common, structlog.processors.JSONRenderer(serializer=json.dumps)]
    if style == "console":
        colors = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        return [*common, structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=20)]
    render = structlog.processors.LogfmtRenderer(
        key_order=["timestamp", "level", "event"], drop_missing=True
    )
    return [*common, _flatten, _Priority(render) if has_journal else render]


def _judge(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
    """Give an event the level that is configured for it; drop it if that is too low."""
    if not is_logged(event["event"], level):
        raise structlog.DropEvent
    event["level"] = _config.events.get(event["event"], level)
    return event


def _add_level(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
    event.setdefault("level", level)
    return event


_place = structlog.processors.CallsiteParameterAdder(
    [
        structlog.processors.CallsiteParameter.PATHNAME,
        structlog.processors.CallsiteParameter.LINENO,
        structlog.processors.CallsiteParameter.FUNC_NAME,
    ],
    additional_ignores=[__name__],
)


def _as_record(
    _logger: WrappedLogger, _name: str, event: EventDict
) -> tuple[tuple[EventDict], dict[str, Any]]:
    """Pass the event itself to the journal's writer."""
    return (event,), {}


def _flatten(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Escape in values what is not printable: newlines, which logfmt cannot hold, and
    controls, which act on the terminal of who reads the log.
    """
    for key, value in event.items():
        if value is None or isinstance(value, (bool, int, float)):
            continue
        text = str(value)
        event[key] = text if text.isprintable() else escape(text)
    return event


class _Priority:
    """Renders a line with its priority in front, for journald (sd-daemon(3))."""

    def __init__(self, render: Callable[..., Any]) -> None:
        self._render = render

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        priority = PRIORITIES.get(str(event.get("level")), 6)
        return f"<{priority}>{self._render(logger, name, event)}"


def get(**values: Any) -> FilteringBoundLogger:
    """Return a logger that adds these values to each event."""
    return _logger_to(_writer(), **values)


def log_unconditionally(level: str, event: str, **values: Any) -> None:
    """Log an event at any level of the log; for lines that a job printed."""
    level = _config.events.get(event, level)
    if level != OFF:
        processors = _config.processors or _processors("logfmt")
        getattr(_make(_writer(), _EVERYTHING, processors, values), level)(event)


def _writer() -> journal.Writer | _Writer:
    writer = _config.writer
    if _config.style == "journal":
        if not isinstance(writer, journal.Writer):
            writer = journal.Writer()
    elif not isinstance(writer, _Writer) or writer.fd != _config.fd:
        writer = _Writer(_config.fd)
    _config.writer = writer
    return writer


def _logger_to(writer: journal.Writer | _Writer, **values: Any) -> FilteringBoundLogger:
    """Return a logger that writes with this writer what is to be logged."""
    processors = _config.processors or _processors("logfmt")
    if _config.has_filter:
        return _make(writer, _EVERYTHING, [_judge, *processors], values)
    return _make(writer, _config.level, processors, values)


def _make(
    writer: journal.Writer | _Writer,
    level: int,
    processors: list[Callable[..., Any]],
    values: dict[str, Any],
) -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.wrap_logger(
        writer,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=True,
        **values,
    ).bind()
    return logger
