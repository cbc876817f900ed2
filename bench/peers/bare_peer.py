"""The bare loop (see bare_loop.py), with which all others are compared."""

from pathlib import Path

from peers.peer import ENQUEUE, JOBS, LATENCY, Launch, Peer

_PROGRAM = Path(__file__).parent.parent / "bare_loop.py"


def _command(launch: Launch) -> list[str]:
    burst = ["--burst"] if launch.burst else []
    program = [launch.python, str(_PROGRAM)]
    return [*program, "--redis", launch.url, "--app", launch.app, *burst]


BARE = Peer(
    key="bare",
    title="bare loop",
    command=_command,
    producer="bare_jobs",
    app="marks",
    isolation="a fork per job",
    bulk="`RPUSH` in pipelines",
    in_project=True,
    # It has only one worker, so there are no eight idle ones to measure.
    parts=(JOBS, ENQUEUE, LATENCY),
)
