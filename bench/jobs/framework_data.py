"""Fills this process with as many modules as an application has that is written with a
large framework, such as Django with its usual packages: some 60 MB of modules, classes,
functions and texts. Each is unmarshalled and executed, as an import does, so that code
and objects lie in memory as they do there.
"""

import marshal
import os
import sys
import types
from pathlib import Path

import marks

MEGABYTE = 1 << 20

# The resident memory of the whole process to reach, in bytes.
TARGET = int(os.environ.get("BENCH_FRAMEWORK_MB", "60")) * MEGABYTE

PAGE = os.sysconf("SC_PAGE_SIZE")

CLASS = '''
class Model{n}(Base):
    """A record of kind {n}, with the fields and the methods that such a one has."""

    table = "app_model_{n}"
    fields = {{"id": int, "name_{n}": str, "created": float, "kind_{n}": "text {n}"}}

    def __init__(self, name_{n}="", kind=None):
        """Make a record with this name."""
        super().__init__(name_{n})
        self.kind_{n} = kind or self.fields["kind_{n}"]
        self._changed_{n} = False

    @property
    def label_{n}(self):
        """The name that people see."""
        return f"{{self.table}}: {{self.name}}, {{self.kind_{n}}}"

    def validate_{n}(self, values, *, is_strict=True):
        """Return the errors in these values, by field."""
        errors = {{}}
        for key, kind in self.fields.items():
            if key not in values and is_strict:
                errors[key] = f"{{key}} is missing in model {n}"
            elif isinstance(kind, type) and not isinstance(values.get(key), kind):
                errors[key] = "is of another type than " + kind.__name__
        return errors

    @classmethod
    def build_{n}(cls, rows, limit={n}):
        """Return a record for each of the rows, up to a limit."""
        return [cls(row["name_{n}"], row.get("kind")) for row in rows[:limit]]
'''

SOURCE = '''
"""A module of a large application."""

import json
import re
from datetime import datetime

PATTERN = "^[a-z]+_[0-9]+$"
SETTINGS = {f"setting_{n}": (n, str(n), f"value {n}") for n in range(20)}


class Base:
    def __init__(self, name):
        self.name = name


def parse(text, default=None):
    """Return what a text says, or the default."""
    try:
        return json.loads(text)
    except ValueError:
        return default


def stamp(now=None):
    """Return the present time as a text."""
    return (now or datetime.now()).isoformat()


def is_name(text):
    """Return True for the name of a model."""
    return re.match(PATTERN, text) is not None
''' + "".join(CLASS.format(n=n) for n in range(6))


def rss() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def fill(target: int) -> int:
    """Import modules until the process has `target` bytes; return their number."""
    code = marshal.dumps(compile(SOURCE, "framework.py", "exec"))
    count = 0
    while rss() < target:
        name = f"framework_{count}"
        sys.modules[name] = module = types.ModuleType(name)
        exec(marshal.loads(code), module.__dict__)
        count += 1
    return count


MODULES = fill(TARGET)

JOBS = marks.JOBS
