"""RQ: its Worker, which forks for each job, and its SimpleWorker, which does not."""

from peers.peer import JOBS, LATENCY, QUEUE, Launch, Peer


def _command(launch: Launch, worker_class: str) -> list[str]:
    program = [launch.python, "-m", "rq.cli"]
    common = ["--quiet", "--url", launch.url, "--worker-class", worker_class]
    burst = ["--burst"] if launch.burst else []
    if launch.workers == 1:
        return [*program, "worker", *common, *burst, QUEUE]
    number = ["--num-workers", str(launch.workers)]
    return [*program, "worker-pool", *common, *burst, *number, QUEUE]


def _worker(launch: Launch) -> list[str]:
    return _command(launch, "rq.worker.Worker")


def _simple_worker(launch: Launch) -> list[str]:
    return _command(launch, "rq.worker.SimpleWorker")


RQ = Peer(
    key="rq",
    title="RQ Worker",
    command=_worker,
    producer="rq_jobs",
    app="marks",
    isolation="a fork per job",
    bulk="`Queue.enqueue_many`",
)

RQ_SIMPLE = Peer(
    key="rq-simple",
    title="RQ SimpleWorker",
    command=_simple_worker,
    producer="rq_jobs",
    app="marks",
    isolation="none",
    # Pushing is the same as for Worker, and there is no pool of SimpleWorkers.
    parts=(JOBS, LATENCY),
)
