"""Celery with its prefork pool, whose children run many jobs.

Messages between workers (gossip, mingle, heartbeats) are off, since no other library
here has them. Prefetching has its default.
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
