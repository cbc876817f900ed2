"""The log: what each line says of its job, and what it never says."""

from __future__ import annotations

import json
from pathlib import Path

import redis as redis_py

import resqued
from tests.support.pool import count, pool
from tests.support.site import Site
from tests.support.wait import wait_until

# An application that prints and logs in every way.
TALKING = """
import logging, subprocess, threading
logging.basicConfig(level="DEBUG", format="<4>%(levelname)s %(message)s")
print("imported")
print("no end of line", end="")

@resqued.job(queue="default", name="Talk")
def talk(user, password, options):
    print("printed", user)
    print("to error", file=sys.stderr)
    print("<3>with a priority")
    logging.warning("logged")
    sys.stdout.buffer.write(b"bytes \\xff\\n")
    subprocess.run(["echo", "from a program"], check=True)
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()
    print("no end", end="")
"""


def talk(site: Site, client: redis_py.Redis) -> None:
    arguments = [7, "hunter2", {"token": "t0ken", "to": [{"pin": "0000"}], "n": 1}]
    site.client.enqueue_to("default", "Talk", *arguments)
    wait_until(lambda: count(client, "processed") == 1, what="the job to be counted")


def test_what_a_job_prints_carries_its_fields(
    site: Site, redis: redis_py.Redis
) -> None:
    site.release("one", TALKING)
    with site.running() as running:
        talk(site, redis)
        said = {event["message"]: event for event in running.events("output")}
        assert "from a program\n" in running.log()
        (worker,) = {event["worker"] for m, event in said.items() if m == "printed 7"}
    imported = {"imported", "no end of line"}
    job = {
        "printed 7": ("stdout", "info"),
        "to error": ("stderr", "info"),
        "with a priority": ("stdout", "error"),
        "WARNING logged": ("stderr", "warning"),
        r"bytes \xff": ("stdout", "info"),
        "from a thread": ("stdout", "info"),
        "no end": ("stdout", "info"),
    }
    assert said.keys() == imported | job.keys()
    for message, (stream, level) in job.items():
        event = said[message]
        assert (event["stream"], event["level"]) == (stream, level)
        assert (event["queue"], event["job_class"]) == ("default", "Talk")
        assert (event["role"], event["worker"]) == ("child", worker)
        assert event["generation"] == 1
        assert event["pid"] != int(worker.split(":")[1])
    assert {said[message]["role"] for message in imported} == {"zygote"}


def test_arguments_stand_in_the_log_at_debug_alone_and_secrets_never(
    site: Site, redis: redis_py.Redis
) -> None:
    site.release("one", TALKING)
    site.configure('[log]\nredact = ["password", "token", "PIN"]')
    with site.running("--log-level", "debug") as running:
        talk(site, redis)
        (begun,) = running.events("job_begins")
        log = running.log()
    assert begun["args"] == {
        "user": "7",
        "password": "[redacted]",
        "options": repr({"token": "[redacted]", "to": [{"pin": "[redacted]"}], "n": 1}),
    }
    assert (begun["queue"], begun["job_class"]) == ("default", "Talk")
    assert not [secret for secret in ("hunter2", "t0ken", "0000") if secret in log]


def test_a_reload_changes_the_levels_of_single_events_in_all_processes(
    site: Site, redis: redis_py.Redis
) -> None:
    off = 'events = { job_performed = "off", job_begins = "warning" }'
    site.configure(f"[log]\n{off}")
    with site.running("--log-level", "info") as running:
        site.enqueue(1)
        wait_until(lambda: count(redis, "processed") == 1, what="the first job")
        assert not running.events("job_performed")
        (begun,) = running.events("job_begins")
        assert (begun["level"], begun["role"]) == ("warning", "child")
        site.configure(
            '[log]\nevents = { reload_done = "off", job_performed = "error" }'
        )
        assert site.reload()["ok"]
        site.enqueue(2)
        (performed,) = running.wait_for_event("job_performed")
        assert performed["level"] == "error"
        assert len(running.events("job_begins")) == 1
        assert running.events("generation_ready")
        assert not running.events("reload_done")


def test_no_payload_stands_in_the_log_of_a_job_that_fails_or_dies(
    site: Site, redis: redis_py.Redis
) -> None:
    with site.running("--log-level", "info") as running:
        redis.rpush("resque:queue:default", json.dumps({"class": "No", "args": ["s3"]}))
        redis.rpush("resque:queue:default", '{"class":"Tell","args":["s3"')
        redis.rpush("resque:queue:default", b'\xff{"s3"')
        redis.sadd("resque:queues", "default")
        wait_until(lambda: count(redis, "failed") == 3, what="three failures")
        events = running.wait_for_event("job_failed", count=3)
        assert "s3" not in running.log()
    assert {event["queue"] for event in events} == {"default"}
    for event in events:
        assert {"worker", "generation", "pid", "duration", "exception"} <= event.keys()


def test_without_a_terminal_lines_are_for_programs(
    site: Site, redis: redis_py.Redis
) -> None:
    site.release("one", TALKING)
    # The last one counts.
    with site.running("--log-format", "auto") as running:
        talk(site, redis)
        wait_until(lambda: "printed 7" in running.log(), what="the line")
        (line,) = (li for li in running.log().splitlines() if "printed 7" in li)
    assert json.loads(line)["job_class"] == "Talk"


def test_a_job_is_heard_whatever_the_least_level_is(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, "--log-level", "error") as running:
        resqued.Client(redis_url).enqueue_to("default", "Buffered")
        wait_until(lambda: count(redis, "processed") == 1, what="the job")
        (event,) = running.events()
    assert event["message"] == "printed and not flushed"
