"""The lines of a traceback, divided into those of the application and of libraries.

Reads tracebacks as Python, Ruby and Node print them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

_PYTHON = re.compile(r'(\s*)File "(.*)", line \d+')
# Ruby: /app/lib/mail.rb:12:in `perform'
_RUBY = re.compile(r"\s*(\S.*):\d+:in .*")
# The end of a line of Node: at Object.perform (/app/lib/mail.js:12:3)
_NODE = re.compile(r":\d{1,9}:\d{1,9}\)?$")
# Beginnings and parts of the paths of libraries and of the language itself.
_LIBRARY = re.compile(
    r"^<frozen |^<internal:|^node:|[/\\]site-packages[/\\]|[/\\]dist-packages[/\\]"
    r"|[/\\]lib(?:64)?[/\\]python\d|[/\\]gems[/\\]|[/\\]lib[/\\]ruby[/\\]"
    r"|[/\\]node_modules[/\\]|^internal[/\\]"
)


class TracebackRun(Struct, frozen=True):
    """Lines that follow one another and are all of libraries, or all are not.

    `frames` is the number of calls among them.
    """

    is_library: bool
    lines: Sequence[str]
    frames: int


def traceback_runs(lines: Iterable[str]) -> list[TracebackRun]:
    """Return the lines of a traceback in runs, in their order.

    Lines that belong to no call, such as the message, count as the application's.
    """
    runs: list[TracebackRun] = []
    run: list[str] = []
    for is_library, line, begins in _marked(lines):
        if not runs or runs[-1].is_library != is_library:
            run = []
            runs.append(TracebackRun(is_library, run, 0))
        run.append(line)
        runs[-1] = replace(runs[-1], frames=runs[-1].frames + begins)
    return runs


def _marked(lines: Iterable[str]) -> Iterable[tuple[bool, str, bool]]:
    """Yield for each line if it is of a library, the line, and if a call begins there.

    Python prints the source of a call in lines below, indented further.
    """
    is_library, indent = False, -1
    for line in lines:
        if found := _PYTHON.match(line):
            is_library, indent = bool(_LIBRARY.search(found[2])), len(found[1])
            yield is_library, line, True
        elif path := _path_of_others(line):
            is_library, indent = False, -1
            yield bool(_LIBRARY.search(path)), line, True
        else:
            if indent < 0 or len(line) - len(line.lstrip()) <= indent:
                is_library, indent = False, -1
            yield is_library, line, False


def _path_of_others(line: str) -> str:
    """Return the path in a line of Ruby or Node; "" if it names none."""
    if found := _RUBY.fullmatch(line):
        return found[1]
    text = line.strip()
    if text.startswith("at ") and _NODE.search(text[-24:]):
        return text.replace("(", " ").rpartition(" ")[2]
    return ""
