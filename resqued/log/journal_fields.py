"""An event of the log as a record of systemd's journal (systemd.journal-fields(7)).

Fields of resqued begin with RESQUED_: `journalctl RESQUED_CLASS=Archive` finds the
events of one class of jobs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PREFIX = "RESQUED_"
# syslog(3)
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
# Keys of an event for which the journal has a standard field.
_STANDARD = {"pathname": "CODE_FILE", "lineno": "CODE_LINE", "func_name": "CODE_FUNC"}
_NAMES = {"job_class": "CLASS"}
# Keys that other fields of a record already hold.
_OMITTED = {"level", "timestamp", "event", *_STANDARD}
_FOREIGN = re.compile("[^A-Z0-9_]")
# The prefix of a line with a priority (sd-daemon(3)).
_PRIORITY = re.compile("<([0-7])>")
_LEVELS = ("error", "error", "error", "error", "warning", "info", "info", "debug")


def record(event: Mapping[str, object]) -> dict[str, str]:
    """Return the journal's fields of an event.

    MESSAGE is the event's `message` if it has one, else the event as a sentence.
    """
    fields = {
        "MESSAGE": text_of(event["message"] if "message" in event else sentence(event)),
        "PRIORITY": str(PRIORITIES.get(str(event.get("level")), 6)),
        "SYSLOG_IDENTIFIER": "resqued",
        f"{PREFIX}EVENT": str(event.get("event", "")),
    }
    for key, value in event.items():
        if key in _STANDARD:
            fields[_STANDARD[key]] = text_of(value)
        elif key not in _OMITTED and key != "message" and value is not None:
            name = _FOREIGN.sub("_", _NAMES.get(key, key.upper()))
            fields[PREFIX + name] = text_of(value)
    return fields


def encode(fields: Mapping[str, str]) -> bytes:
    """Return a record in the native protocol of the journal.

    Source: systemd's JOURNAL_NATIVE_PROTOCOL, "Data format". The length before a value
    of several lines has 64 bits, little endian.
    """
    parts = []
    for name, text in fields.items():
        value = text.encode()
        if "\n" in text:
            length = len(value).to_bytes(8, "little")
            parts.append(b"%s\n%s%s\n" % (name.encode(), length, value))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), value))
    return b"".join(parts)


def text_of(value: object) -> str:
    r"""Return a value as text that UTF-8 can hold: a lone surrogate becomes \udcff.

    Never fails: the value may be of a class of the application.
    """
    try:
        text = str(value)
    except Exception:
        text = f"({type(value).__name__} without a text)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def escape(text: str) -> str:
    r"""Return a text in which what is not printable is escaped: \n, \x1b, \u202e."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def sentence(event: Mapping[str, object]) -> str:
    """Return an event as one line: its name, then key=value for each field."""
    words = [
        f"{key}={_quoted(text_of(value))}"
        for key, value in event.items()
        if key not in _OMITTED and value is not None
    ]
    return " ".join([str(event.get("event", "")), *words])


def _quoted(text: str) -> str:
    line = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return line if line and not re.search(r'[\s"=]', text) else f'"{line}"'


def read_line(line: str) -> tuple[str, str]:
    """Return the level of a line that a job printed, and the line without its prefix.

    A prefix such as `<3>` is a priority (sd-daemon(3)); without one the level is info.
    """
    match = _PRIORITY.match(line)
    return (_LEVELS[int(match[1])], line[3:]) if match else ("info", line)
