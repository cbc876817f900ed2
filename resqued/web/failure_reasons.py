"""What exceptions that resqued and Resque themselves record mean, in words."""

from __future__ import annotations

from collections.abc import Mapping

from resqued.wire import payload

REASONS: Mapping[str, str] = {
    payload.JOB_TIMEOUT: "The job was ended because it ran longer than its limit of run"
    " time. The message says the limit, how long the job ran, and what it used.",
    payload.MEMORY_LIMIT: "The job was ended because it used more memory than its"
    " limit. The message says the limit and what the job used.",
    payload.OUT_OF_MEMORY: "The kernel killed the job because the machine, or its"
    " control group, was out of memory.",
    payload.DIRTY_EXIT: "The process of the job ended before the job did: it was killed"
    " or it crashed, or its worker died. The job may have done a part of its work.",
    payload.PRUNE_DIRTY_EXIT: "The worker sent no heartbeat for so long that another"
    " one removed it. Nobody knows how far the job came.",
    payload.TERM_EXCEPTION: "The worker was asked to stop, and the job was ended with"
    " SIGTERM. The job may have done a part of its work.",
    payload.PAYLOAD_ERROR: "What the worker took from the queue is no job that it can"
    " read. It was not run.",
}
