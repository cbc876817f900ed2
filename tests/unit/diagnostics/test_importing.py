"""What a message tells of an import of the application."""

from __future__ import annotations

import json

from msgspec import to_builtins

from resqued.core.limits import UNSET, Limits
from resqued.diagnostics.import_result import Import

FOUND = Import(
    ("app.jobs",),
    seconds=0.5,
    threads=("collector",),
    sockets=("10.0.0.1:5432",),
    declared=("A", "B"),
    limits=Limits(60.0, 1 << 20),
)


def test_an_import_survives_the_way_through_a_message():
    values = json.loads(json.dumps(to_builtins(FOUND)))
    del values["modules"]
    assert Import.from_dict(("app.jobs",), values) == FOUND


def test_what_a_message_does_not_tell_is_nothing():
    found = Import.from_dict(("app.jobs",), {"error": "SyntaxError"})
    assert found == Import(("app.jobs",), error="SyntaxError")
    assert found.limits == UNSET
