"""Why the jobs of a queue or of a class do not run: findings, and what helps.

The application is never imported here, and its configuration is not known.
"""

from __future__ import annotations

from flask import Response, abort
from msgspec.structs import replace

from resqued.config.loader import Config, build
from resqued.diagnostics.explain import explain
from resqued.diagnostics.facts import Observation
from resqued.diagnostics.queue_facts import FactGatherer, KnownState, Query
from resqued.errors import ResquedError, StoreError
from resqued.web.formats import queue_of_request
from resqued.web.render import page, snapshot
from resqued.web.site import site

# How far a class is searched for in a request; `resqued why` looks further.
_DEPTH, _LEAST, _QUEUES, _ROOM = 5_000, 50, 100, 64 << 20
# Texts of remedies that are about the command line alone.
_OF_COMMANDS = {
    "look further with --depth": "`resqued why --depth` looks further",
    "look further with --depth, or in one with --queue": (
        "`resqued why` looks further, with --depth, or in one queue with --queue"
    ),
}


def show(name: str) -> Response:
    """Show why the jobs of a queue or class do not run."""
    wanted = queue_of_request(name)
    question = Query(wanted, None, _DEPTH, _LEAST, _QUEUES, _ROOM)
    try:
        gatherer = FactGatherer(
            site().client,
            _config(),
            is_import_allowed=False,
            known=KnownState(snapshot().queues, snapshot().workers),
        )
        answers = [
            (facts, [_shown(each) for each in explain(facts) if each.text])
            for facts in gatherer.answers(question)
        ]
    except StoreError:
        raise
    except ResquedError as error:
        abort(404, str(error).replace("name a queue with --queue", "or is it a queue?"))
    return page("why.html", name=wanted, answers=answers)


def _shown(finding: Observation) -> Observation:
    """Return a finding with the remedy in words that hold on a page."""
    return replace(finding, remedy=_OF_COMMANDS.get(finding.remedy, finding.remedy))


def _config() -> Config:
    """Return a configuration without pools and modules; masters have others."""
    settings = site().settings
    server = {"url": settings.url, "namespace": settings.namespace}
    found = build({"redis": server})
    return replace(found, pools=(), control=settings.control)
