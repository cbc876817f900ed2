"""Dramatiq with one process, whose threads are the workers."""

from peers.peer import QUEUE, Launch, Peer


def _command(launch: Launch) -> list[str]:
    return [
        *(launch.python, "-m", "dramatiq", launch.app, "--queues", QUEUE),
        *("--processes", "1", "--threads", str(launch.workers), "--skip-logging"),
    ]


DRAMATIQ = Peer(
    key="dramatiq",
    title="Dramatiq",
    command=_command,
    producer="dramatiq_jobs",
    app="dramatiq_jobs",
    isolation="thread",
    bulk="`group`",
)
