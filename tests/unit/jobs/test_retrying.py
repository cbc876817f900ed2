"""What follows a failure in the child, when the job asks for another attempt itself."""

from __future__ import annotations

from typing import Any

import pytest

import resqued
from resqued.core.retry import LONGEST_DELAY
from resqued.hooks.failed_job import HookedFailure
from resqued.hooks.job_info import running_inline
from resqued.jobs.retrying import with_retry
from resqued.retries.policy import RetryRules
from resqued.wire.payload import FailureInfo


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (resqued.RetryLater("5s"), 5),
        # Redis refuses such a time half-way through the script that settles the run.
        (resqued.RetryLater(1e30), LONGEST_DELAY),
        (ExceptionGroup("g", [resqued.RetryLater("5s"), ValueError()]), 5),
        (ExceptionGroup("g", [ExceptionGroup("h", [resqued.RetryLater()])]), 10),
        (ValueError(), None),
        (ExceptionGroup("g", [ValueError()]), None),
    ],
)
def test_a_job_without_a_retry_may_ask_for_one(error: Any, delay: float | None) -> None:
    failed = HookedFailure(FailureInfo("RetryLater", ""))
    with running_inline(resqued.JobInfo("low", "Nowhere")):
        assert with_retry(failed, error, (), RetryRules()).retry == delay
