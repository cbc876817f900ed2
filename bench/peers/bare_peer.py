"""The bare loop, see bare_loop.py: what all others are compared with."""

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
    # It has one worker, so eight idle ones are not a thing to compare with.
    parts=(JOBS, ENQUEUE, LATENCY),
)
