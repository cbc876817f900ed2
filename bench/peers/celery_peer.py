"""Celery with its prefork pool: children that live on from job to job.

What workers tell each other (gossip, mingle, heartbeats) is off, since no other
library here has it. Prefetching is left as it is by default.
"""

from peers.peer import QUEUE, Launch, Peer


def _command(launch: Launch) -> list[str]:
    return [
        *(launch.python, "-m", "celery", "--app", launch.app, "worker"),
        *("--pool", "prefork", "--concurrency", str(launch.workers)),
        *("--queues", QUEUE, "--loglevel", "WARNING"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


CELERY = Peer(
    key="celery",
    title="Celery prefork",
    command=_command,
    producer="celery_jobs",
    app="celery_jobs",
    isolation="long-lived child",
    bulk="`group`",
    scale=4,
)
