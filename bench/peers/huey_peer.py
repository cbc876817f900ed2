"""Huey with worker processes, which run many jobs."""

from peers.peer import Launch, Peer


def _command(launch: Launch) -> list[str]:
    return [
        *(launch.python, "-m", "huey.bin.huey_consumer", f"{launch.app}.huey"),
        *("--worker-type", "process", "--workers", str(launch.workers), "--quiet"),
    ]


HUEY = Peer(
    key="huey",
    title="Huey",
    command=_command,
    producer="huey_jobs",
    app="huey_jobs",
    isolation="long-lived process",
    bulk="`TaskWrapper.map`",
    scale=4,
)
