"""The example of a configuration file, which `resqued config example` prints."""

from __future__ import annotations

from resqued.config.field import Field
from resqued.config.schema import FIELDS


def example() -> str:
    """Return the text of a TOML file with every key, its default and its meaning."""
    lines = ["# resqued configuration; every value here is the default.", ""]
    section = ""
    for field in FIELDS:
        if field.section != section:
            lines += [""] if section else []
            section = field.section
            lines.append(f"[{section}]")
        lines.append(_line(_assignment(field), field.meaning))
    lines += [
        "",
        "# Limits of one queue, or of one class; a class overrides a queue.",
        "# [limits.queue.archive]",
        _line('# runtime = "2h"', "0: unlimited"),
        "# [limits.class.Thumbnail]",
        _line('# memory = "1G"', "K, M, G, T: powers of 1,024"),
        "",
        "# A recurring job: `cron`, or `every`.",
        "# [schedule.nightly]",
        _line('# class = "myapp.jobs.archive"', "the job"),
        _line('# queue = "low"', "its queue"),
        _line('# cron = "0 3 * * *"', "five fields, or six with the seconds first"),
        _line(
            '# zone = "Europe/Vienna"', "time zone of the expression; UTC if not set"
        ),
        "",
        "# One or more pools; without any, give a queue list on the command line.",
        "[[pool]]",
        _line(
            'queues = "critical,high"',
            "first one first; *, ?, [a-z] match, !name excludes",
        ),
        _line("workers = 4", "number of workers"),
        _line('# namespace = "{mail}"', "of these queues; that of [redis] if none"),
        _line('# runtime = "5m"', "limits of this pool: runtime, memory"),
    ]
    return "\n".join(lines) + "\n"


def _assignment(field: Field) -> str:
    """Return the line `key = default`; if the default is empty, a sample instead."""
    is_text = isinstance(field.default, str)
    shown = field.example or (f'"{field.default}"' if is_text else str(field.default))
    is_sample = not field.default and (is_text or field.example not in ("", "false"))
    return f"{'# ' if is_sample else ''}{field.key} = {shown}"


def _line(assignment: str, meaning: str) -> str:
    return f"{assignment:<40} # {meaning}"
