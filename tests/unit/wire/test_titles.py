"""What the titles of workers and children need, so that Ruby leaves workers alone."""

from __future__ import annotations

import re

import pytest

from resqued.core.version import VERSION
from resqued.wire import titles

# A Ruby worker keeps the workers whose line in `ps` matches this.
RUBY = re.compile(r"resque-[0-9]")


@pytest.mark.parametrize(
    ("title", "text"),
    [
        (titles.starting(), "Starting"),
        (titles.waiting(("high", "low")), "Waiting for high,low"),
        (titles.paused(), "Paused"),
        (titles.forked(7, 12.9), "Forked 7 at 12"),
        (titles.quitting(7, 2), "Quitting after 7 [gen 2]"),
        (titles.hook("before_fork"), "Hook before_fork"),
        (titles.processing("high", "Mail", 12.9), "Processing high since 12 [Mail]"),
        (titles.STANDBY, "Standby"),
    ],
)
def test_a_title_begins_with_what_ruby_looks_for(title: str, text: str) -> None:
    assert RUBY.match(title)
    assert title == f"resque-{VERSION}: {text}"
    named = titles.in_namespace(title, "mail")
    assert RUBY.match(named)
    assert named == f"resque-{VERSION}[mail]: {text}"
