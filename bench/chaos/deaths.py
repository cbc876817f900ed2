"""Faults of processes: killed, stopped, signalled, replaced."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from bench.chaos.fault import NotTriedError
from bench.chaos.site import Site, kill, send
from bench.chaos.truth import NS
from tests.support.asking import ask, socket_of
from tests.support.daemon import clean_environment
from tests.support.pool import count
from tests.support.wait import scaled, wait_until

# With five heartbeats a second, other hosts take a worker for dead after one second.
SHORT_HEARTBEAT = "[worker]\nheartbeat = '200ms'\n"
STOPPED = 2.0

TO_MASTER = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGHUP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
TO_OTHERS = (*TO_MASTER, signal.SIGTERM, signal.SIGQUIT)
STORM = 40


def kill_child(site: Site) -> None:
    job, _ = site.pick()
    since = time.monotonic()
    kill(job.pid)
    site.recover([job.number], since=since)


def kill_worker(site: Site) -> None:
    job, worker = site.pick()
    since = time.monotonic()
    kill(worker)
    site.recover([job.number], since=since)


def kill_zygote(site: Site) -> None:
    """Kill the zygote and a worker, in any order: the next zygote must replace it."""
    job, worker = site.pick()
    zygotes = site.wait(site.master.zygotes, "a zygote")
    victims = [*zygotes, worker]
    site.random.shuffle(victims)
    since = time.monotonic()
    kill(*victims)
    site.recover([job.number], since=since)


def kill_master(site: Site) -> None:
    job, _ = site.pick()
    kill(site.master.pid)
    site.restart_master([job.number])


def kill_worker_and_master(site: Site) -> None:
    job, worker = site.pick()
    victims = [worker, site.master.pid]
    site.random.shuffle(victims)
    kill(*victims)
    site.restart_master([job.number])


def kill_everything(site: Site) -> None:
    job, _ = site.pick()
    victims = [process.pid for process in site.master.processes()]
    site.random.shuffle(victims)
    kill(*victims)
    site.restart_master([job.number])


def stop_worker(site: Site) -> None:
    job, worker = site.pick()
    send(worker, signal.SIGSTOP)
    look_on(site, STOPPED)
    since = time.monotonic()
    send(worker, signal.SIGCONT)
    site.recover([job.number], since=since)


def stop_master(site: Site) -> None:
    job, _ = site.pick()
    send(site.master.pid, signal.SIGSTOP)
    look_on(site, STOPPED)
    since = time.monotonic()
    send(site.master.pid, signal.SIGCONT)
    site.recover([job.number], since=since)


def look_on(site: Site, seconds: float) -> None:
    """Wait for some seconds, while the pool is kept busy."""
    until = time.monotonic() + seconds
    site.wait(lambda: time.monotonic() >= until, "time to pass")


def stop_beyond_the_threshold(site: Site) -> None:
    """Stop a worker until another host prunes it, and let it continue."""
    job, worker = site.pick()
    send(worker, signal.SIGSTOP)
    try:
        look_on(site, STOPPED)
        before = count(site.redis, "failed")
        # Instead of waiting until it expires after a minute.
        site.redis.delete(f"{NS}pruning_dead_workers_in_progress")
        with another_machine(site):
            site.wait(
                lambda: count(site.redis, "failed") > before, "the worker to be pruned"
            )
    finally:
        since = time.monotonic()
        send(worker, signal.SIGCONT)
    site.recover([job.number], since=since)


@contextmanager
def another_machine(site: Site) -> Iterator[None]:
    """Run a master in its own pid namespace, as in another container."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise NotTriedError("not tried: it needs root and unshare(1)")
    command = [
        *("unshare", "--pid", "--fork", "--mount-proc"),
        *(sys.executable, "-m", "resqued", "work", "elsewhere", "-n", "1"),
        *("-r", site.url, "-a", "bench.chaos.jobs", "--log-level", "error"),
    ]
    outer = subprocess.Popen(command, cwd=site.folder, env=clean_environment())
    try:
        yield
        for master in psutil.Process(outer.pid).children():
            master.send_signal(signal.SIGQUIT)
        outer.wait(scaled(30))
    finally:
        with suppress(psutil.Error):
            for process in psutil.Process(outer.pid).children(recursive=True):
                process.kill()
        outer.kill()
        outer.wait()


def storm_of_signals(site: Site) -> None:
    """Send signals to random processes; restart the master if one of them ended it."""
    is_leaving = False
    for _ in range(STORM):
        victims = [p.pid for p in family_of(site.master.pid)]
        target = site.random.choice(victims)
        signum = site.random.choice(TO_OTHERS)
        if target == site.master.pid:
            is_leaving = is_leaving or site.random.random() < 0.05
            if is_leaving:
                signum = site.random.choice((signal.SIGQUIT, signal.SIGTERM))
            elif signum not in TO_MASTER:
                continue
        send(target, signum)
        time.sleep(site.random.uniform(0, 0.02))
    calm(site)
    if is_leaving:
        status = site.master.wait()
        if status != 0:
            raise AssertionError(f"the master ended with status {status}, not 0")
        site.restart_master()
    else:
        since = time.monotonic()
        # Among signals that are read together HUP is handled first, and workers that
        # TTIN adds after a reload has begun stay. The second reply comes from a turn
        # of the loop after all earlier signals were handled.
        for _ in range(2):
            ask(site.master, do="status")
        site.master.signal(signal.SIGHUP)
        site.recover(since=since)


def calm(site: Site) -> None:
    """Continue all processes, so that none stays paused."""
    for process in family_of(site.master.pid):
        send(process.pid, signal.SIGCONT)


def family_of(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants; none if it is gone."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def replace_master(site: Site) -> None:
    job, _ = site.pick()
    since = time.monotonic()
    answer = ask(site.master, do="reload", master=True)
    if not answer["ok"]:
        raise AssertionError(f"the master was not replaced: {answer['error']}")
    site.recover([job.number], since=since)


def replace_and_kill_master(site: Site) -> None:
    """Kill the master before, during or after its replacement."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(socket_of(site.master)))
        sock.sendall(json.dumps({"do": "reload", "master": True}).encode() + b"\n")
        if site.random.random() < 0.5:
            wait_until(
                lambda: site.master.events("master_replaced"), what="the replacement"
            )
            time.sleep(site.random.uniform(0, 0.5))
        else:
            time.sleep(site.random.uniform(0, 1.0))
        job, _ = site.pick()
        kill(site.master.pid)
    site.restart_master([job.number])
