"""Pauses and resumes all workers of all hosts, as Ruby Resque does."""

from __future__ import annotations

from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.web import audit
from resqued.web.acting import done
from resqued.web.site import site


def pause() -> BaseResponse:
    """Have no worker of any host take a job; running jobs go on."""
    site().queues.pause_all()
    audit.record("pause", "all workers")
    return done(
        "All workers are paused: running jobs go on, and no other one begins.",
        url_for("overview.show"),
        "warn",
    )


def resume() -> BaseResponse:
    """Have the workers of all hosts take jobs again."""
    site().queues.resume_all()
    audit.record("resume", "all workers")
    return done("All workers take jobs again.", url_for("overview.show"))
