"""Many hosts on one Redis: `python bench/fleet.py`.

What one job costs the server, and how long it waits, where many masters are idle: with
real masters of one worker each, and with simulated ones (fleet_simulation.py). With
`--upheaval` also what happens when all masters start, stop, are killed, or lose the
server and find it again, at once. Prints Markdown.
"""

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import redis
from fleet_simulation import simulated
from stats import percentile

from resqued.system.redis_program import bundled_binary

QUEUE = "fleet"
KEY = f"resque:queue:{QUEUE}"
PATIENCE = 120.0
# Seconds after the start of a fleet, until each master has counted the workers.
SETTLING = 12.0
APP = """
import os, time
from resqued import job

@job(queue="fleet", name="Mark")
def mark(pushed_at):
    now = time.monotonic()
    with open(os.environ["FLEET_MARKS"], "a") as marks:
        marks.write(f"{now - pushed_at}\\n")
"""


class Server:
    """The embedded server's program, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.client = redis.Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        options = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--dir": str(self._folder),
            "--maxclients": "18000",
            "--save": "",
            "--appendonly": "yes",
            "--appendfsync": "no",
        }
        command = [
            str(bundled_binary()),
            *(w for pair in options.items() for w in pair),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for("the server", self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def commands(self) -> int:
        return int(self.client.info("stats")["total_commands_processed"])

    def cpu(self) -> float:
        """Return the processor time of the main thread, in seconds."""
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text()
        return int(text.split()[0]) / 1e9

    def workers(self) -> int:
        return int(self.client.scard("resque:workers"))

    def push(self) -> None:
        entry = json.dumps({"class": "Mark", "args": [time.monotonic()]})
        self.client.rpush(KEY, entry)


def wait_for(what: str, is_so: Callable[[], bool]) -> float:
    """Wait until something is so; return how many seconds that took."""
    begin = time.monotonic()
    while not is_so():
        if time.monotonic() - begin > PATIENCE:
            raise SystemExit(f"fleet: waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.05)
    return time.monotonic() - begin


class Masters:
    """Real masters of one worker each."""

    def __init__(self, server: Server, folder: Path, count: int) -> None:
        self.server, self.folder, self.count = server, folder, count
        self.marks = folder / "marks"
        (folder / "fleet_app.py").write_text(APP)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        command = [sys.executable, "-m", "resqued", "work", QUEUE, "-n", "1"]
        command += ["-r", self.server.url, "-a", "fleet_app"]
        environment = {
            **os.environ,
            "FLEET_MARKS": str(self.marks),
            "XDG_RUNTIME_DIR": str(self.folder),
            "PYTHONPATH": f"{self.folder}:{Path(__file__).parents[1]}",
        }
        with (self.folder / "log").open("ab") as log:
            for _ in range(self.count):
                self.processes.append(
                    subprocess.Popen(
                        command,
                        cwd=self.folder,
                        env=environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )

    def signal(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)

    def reap(self) -> None:
        for process in self.processes:
            process.wait()
        self.processes.clear()


@contextmanager
def masters(server: Server, folder: Path, count: int) -> Iterator[Masters]:
    """Yield so many running masters, which have found their places."""
    made = Masters(server, folder, count)
    try:
        made.start()
        wait_for("the workers", lambda: server.workers() == count)
        yield made
    finally:
        made.signal(signal.SIGTERM)
        made.reap()


def row(
    name: str, rate: int, jobs: int, spent: tuple[float, float, float], waits: list
) -> str:
    """Return one row: commands and processor time per job, and both latencies."""
    commands, cpu, idle = spent
    median, late = (percentile(waits, share) * 1000 for share in (0.5, 0.99))
    missing = f" ({jobs - len(waits)} missing)" if len(waits) != jobs else ""
    return (
        f"| {name} | {rate} | {commands / jobs:.1f} | {cpu / jobs * 1000:.2f} ms "
        f"| {idle:.1f} | {median:.1f} ms | {late:.1f} ms{missing} |"
    )


def measure_real(server: Server, fleet: Masters, rate: int, jobs: int) -> str:
    """Push jobs at a rate; return the row of the table."""
    fleet.marks.write_text("")
    span = 5.0
    commands, cpu = server.commands(), server.cpu()
    time.sleep(span)
    idle, idle_cpu = server.commands() - commands, server.cpu() - cpu
    commands, cpu, begin = server.commands(), server.cpu(), time.monotonic()
    for number in range(jobs):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        server.push()
    time.sleep(0.5)
    spans = (time.monotonic() - begin) / span
    spent = server.commands() - commands - idle * spans
    spent_cpu = server.cpu() - cpu - idle_cpu * spans
    waits = [float(line) for line in fleet.marks.read_text().split()]
    name = f"{fleet.count} real"
    return row(name, rate, jobs, (spent, spent_cpu, idle / span), waits)


def measure_simulated(server: Server, fleet, rate: int, jobs: int) -> str:
    """Do the same with a simulated fleet."""
    span = 10.0
    commands, cpu, reads = server.commands(), server.cpu(), fleet.plain.count
    fleet.run(span)
    idle, idle_cpu = server.commands() - commands, server.cpu() - cpu
    # What each master reads once an interval is known exactly.
    cpu_per_read = idle_cpu / max(1, fleet.plain.count - reads)
    fleet.latencies.clear()
    commands, cpu, reads = server.commands(), server.cpu(), fleet.plain.count
    for number in range(jobs):
        fleet.after(number / rate, server.push)
    fleet.run(jobs / rate + 0.5)
    reads = fleet.plain.count - reads
    spent = server.commands() - commands - reads
    spent_cpu = server.cpu() - cpu - reads * cpu_per_read
    name = f"{len(fleet.watchers)} simulated"
    return row(name, rate, jobs, (spent, spent_cpu, idle / span), fleet.latencies)


class Meter(threading.Thread):
    """The commands of the server in each tenth of a second."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._client = redis.Redis.from_url(server.url)
        self._counts: list[int] = []
        self._is_on = True
        self.start()

    def run(self) -> None:
        while self._is_on:
            try:
                stats = self._client.info("stats")
                self._counts.append(int(stats["total_commands_processed"]))
            except redis.RedisError:
                self._counts.append(0)
            time.sleep(0.1)

    def peak(self) -> int:
        """Stop, and return the most commands in one second."""
        self._is_on = False
        self.join()
        pairs = zip(self._counts, self._counts[10:], strict=False)
        return max((after - before for before, after in pairs if before), default=0)


class Truth(threading.Thread):
    """How long the registry says something else than the processes of this host.

    A worker that is not registered yet is wrong from the start of its process; an entry
    of one that is dead, from when a worker lives that could have removed it.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._client = redis.Redis.from_url(server.url)
        self._known: set[int] = set()
        self._ghosts: dict[int, float] = {}
        self._lag, self._began = 0.0, time.time()
        self._is_on = True
        self.start()

    def run(self) -> None:
        while self._is_on:
            self._look()
            time.sleep(0.05)

    def _look(self) -> None:
        with suppress(redis.RedisError):
            entries = self._client.smembers("resque:workers")
            self._compare({int(entry.split(b":")[1]) for entry in entries})

    def _compare(self, pids: set[int]) -> None:
        now, alive = time.time(), set()
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    alive.add(pid)
                    began = process.create_time()
                    if pid not in self._known and began >= self._began:
                        self._note(now - began)
        self._known |= alive
        if alive:
            for pid in pids - alive:
                self._note(now - self._ghosts.setdefault(pid, now))

    def _note(self, lag: float) -> None:
        self._lag = max(self._lag, lag)

    def longest(self) -> float:
        """Stop, and return the longest time, in seconds."""
        self._is_on = False
        self.join()
        # Workers may have registered since the last look.
        self._look()
        return self._lag


def upheaval(server: Server, folder: Path, count: int, away: float) -> Iterator[str]:
    """Yield the rows: all masters start, work, lose the server, die, and stop."""

    def is_full() -> bool:
        return server.workers() == count

    fleet = Masters(server, folder, count)
    try:
        meter, truth = Meter(server), Truth(server)
        fleet.start()
        took = wait_for("the workers", is_full)
        yield f"| all start | {meter.peak()} | {took:.1f} s | {truth.longest():.1f} s |"
        meter = Meter(server)
        fleet.marks.write_text("")
        for _ in range(60 * count):
            server.push()
        wait_for("the jobs", lambda: not server.client.llen(KEY))
        yield f"| all work | {meter.peak()} | | |"
        server.stop()
        time.sleep(away)
        server.start()
        meter = Meter(server)
        took = wait_for("the workers", lambda: server.client.exists(KEY) or is_full())
        time.sleep(5.0)
        what = f"the server is back after {away:.0f} s"
        yield f"| {what} | {meter.peak()} | {took:.1f} s | |"
        meter = Meter(server)
        fleet.signal(signal.SIGKILL)
        fleet.reap()
        truth = Truth(server)
        fleet.start()
        took = wait_for("the workers", is_full)
        lag = truth.longest()
        what = "all are killed and start again"
        yield f"| {what} | {meter.peak()} | {took:.1f} s | {lag:.1f} s |"
        time.sleep(3.0)
        meter, truth = Meter(server), Truth(server)
        fleet.signal(signal.SIGTERM)
        took = wait_for("the end", lambda: server.workers() == 0)
        yield f"| all stop | {meter.peak()} | {took:.1f} s | {truth.longest():.1f} s |"
    finally:
        fleet.signal(signal.SIGTERM)
        fleet.reap()


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=numbers, default=[1, 4, 16, 40])
    parser.add_argument("--simulated", type=numbers, default=[1, 1000, 5000])
    parser.add_argument("--rates", type=numbers, default=[1, 10, 100])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate")
    parser.add_argument("--upheaval", type=int, default=0, help="masters")
    parser.add_argument(
        "--away", type=float, default=10.0, help="seconds without server"
    )
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("| masters | pushes/s | commands per job | server CPU per job", end=" ")
    print("| idle commands/s | median to start | p99 |\n|--:|--:|--:|--:|--:|--:|--:|")
    for kind, counts in (("real", options.real), ("simulated", options.simulated)):
        for count in counts:
            measure(kind, count, options.rates, options.seconds)
    if options.upheaval:
        print("\n| what happens | most commands in 1 s", end=" | over after ")
        print("| registry wrong for at most |\n|---|--:|--:|--:|")
        with tempfile.TemporaryDirectory() as folder, serving(folder) as server:
            for line in upheaval(server, Path(folder), options.upheaval, options.away):
                print(line, flush=True)


def measure(kind: str, count: int, rates: list[int], seconds: float) -> None:
    """Print the rows of one fleet."""
    with tempfile.TemporaryDirectory() as folder, serving(folder) as server:
        server.client.sadd("resque:queues", QUEUE)
        if kind == "real":
            with masters(server, Path(folder), count) as fleet:
                time.sleep(SETTLING)
                for rate in rates:
                    jobs = max(10, int(rate * seconds))
                    print(measure_real(server, fleet, rate, jobs), flush=True)
            return
        with simulated(server.url, QUEUE, count) as fleet:
            fleet.run(SETTLING)
            for rate in rates:
                jobs = max(10, int(rate * seconds))
                print(measure_simulated(server, fleet, rate, jobs), flush=True)


@contextmanager
def serving(folder: str) -> Iterator[Server]:
    """Yield a server with an empty database."""
    server = Server(Path(folder))
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    main()
