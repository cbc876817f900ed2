"""`resqued why`, each finding seen for real: a server, and a pool where one matters."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.support.cli import HOST, NS, Run, add_failure, add_worker, server_time
from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.wait import scaled, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The text of a configuration whose control sockets are this test's own."""
    return f'[control]\ndirectory = "{tmp_path / "control"}"\n'


@pytest.fixture
def file(tmp_path: Path, config: str) -> str:
    """A file with that configuration, which `pool` writes anew."""
    path = tmp_path / "resqued.toml"
    path.write_text(config)
    return str(path)


def ask(run: Run, *args: str) -> list[dict[str, Any]]:
    answers = json.loads(run("why", *args, "--json").stdout)
    for answer in answers:
        answer["kinds"] = [finding["kind"] for finding in answer["findings"]]
        answer["texts"] = {f["kind"]: f["text"] for f in answer["findings"]}
    return list(answers)


def ask_one(run: Run, *args: str) -> dict[str, Any]:
    (answer,) = ask(run, *args)
    return answer


def jobs(class_name: str, *args: object, times: int = 1) -> list[str]:
    return [json.dumps({"class": class_name, "args": args})] * times


def fill(redis: redis_py.Redis, queue: str, *payloads: str) -> None:
    redis.sadd(f"{NS}queues", queue)
    redis.rpush(f"{NS}queue:{queue}", *payloads)


def ready(daemon: Daemon) -> None:
    daemon.wait_for_event("master_ready")
    assert len(daemon.workers()) == 1


# With a pool


def test_a_pool_that_is_paused_by_the_key(
    run: Run, daemon: Daemon, redis: redis_py.Redis
) -> None:
    redis.set(f"{NS}pause-all-workers", "true")
    run("enqueue", "Noop", "-q", "default")
    answer = ask_one(run, "default", "-c", str(daemon.cwd / "resqued.toml"))
    assert answer["kinds"] == ["paused"]
    assert answer["findings"][0]["remedy"] == (
        "`redis-cli del resque:pause-all-workers`"
    )
    assert len(answer["serving"]) == 2


def test_a_pool_whose_master_is_paused(
    run: Run, daemon: Daemon, redis: redis_py.Redis, tmp_path: Path
) -> None:
    daemon.signal(signal.SIGUSR2)
    daemon.wait_for_event("signal_received")
    run("enqueue", "Noop", "-q", "default")
    file = str(daemon.cwd / "resqued.toml")
    answer = wait_until(
        lambda: (
            (a := ask_one(run, "default", "-c", file))["kinds"][:1] == ["master_paused"]
            and a
        ),
        what="the pause to be seen",
    )
    assert str(daemon.pid) in answer["texts"]["master_paused"]
    assert answer["findings"][0]["remedy"] == f"`kill -CONT {daemon.pid}`"
    # By the record in Redis, where the socket is not to be found.
    other = tmp_path / "other.toml"
    other.write_text(f'[control]\ndirectory = "{tmp_path / "elsewhere"}"\n')
    answer = ask_one(run, "default", "-c", str(other))
    assert answer["kinds"] == ["master_paused", "other_masters"]
    (other_master,) = answer["other_masters"]
    assert other_master.endswith(f":{daemon.pid}")
    assert other_master in answer["texts"]["master_paused"]
    assert "`resqued resume` on " in answer["findings"][0]["remedy"]
    # By the titles of the workers, where there is no record either.
    redis.delete(f"{NS}resqued:masters")
    answer = wait_until(
        lambda: (
            (a := ask_one(run, "default", "-c", str(other)))["kinds"]
            == ["worker_paused"]
            and a
        ),
        what="the titles to tell of the pause",
    )
    assert answer["texts"]["worker_paused"].startswith("2 of the 2 live workers")


def test_a_pool_that_is_busy_and_one_that_looks_at_another_queue_first(
    run: Run, redis: redis_py.Redis, redis_url: str, tmp_path: Path, config: str
) -> None:
    with pool(redis_url, tmp_path, queues="high,low", config=config) as daemon:
        ready(daemon)
        fill(redis, "high", *jobs("Nap", 600, times=3))
        redis.blpop("started", scaled(30))
        run("enqueue", "Noop", "-q", "low")
        file = str(tmp_path / "resqued.toml")
        answer = ask_one(run, "low", "-c", file)
        assert answer["kinds"] == ["all_busy", "starved"]
        (worker,) = answer["serving"]
        assert re.fullmatch(
            rf"{re.escape(worker)} with Nap of high for \S+s",
            *answer["findings"][0]["details"],
        )
        assert answer["texts"]["starved"] == (
            "1 of 1 worker that serves low takes from earlier queues first:"
            " high (2 jobs)"
        )
        # A queue that is worked at is told to be so, and what runs with it.
        answer = ask_one(run, "Nap", "-c", file, "--no-import")
        assert (answer["queue"], answer["ahead"]) == ("high", 0)
        assert answer["kinds"] == ["all_busy", "not_checked", "running"]
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


def test_a_pool_that_leaves_the_queue_out(
    run: Run, redis_url: str, tmp_path: Path, config: str
) -> None:
    with pool(redis_url, tmp_path, queues="*,!low", config=config) as daemon:
        ready(daemon)
        run("enqueue", "Noop", "-q", "low")
        # Its id does not say so; its master does.
        answer = ask_one(run, "low", "-c", str(tmp_path / "resqued.toml"))
        assert answer["kinds"] == ["no_worker"]
        assert answer["texts"]["no_worker"].endswith("(1 worker; their lists: *,!low)")
        # As on another host, by its record in Redis.
        other = tmp_path / "other.toml"
        other.write_text(f'[control]\ndirectory = "{tmp_path / "elsewhere"}"\n')
        assert ask_one(run, "low", "-c", str(other))["kinds"] == ["no_worker"]
        run("enqueue", "Until", str(tmp_path / "gate"), "-q", "high")
        answer = ask_one(run, "high", "-c", str(other))
        assert len(answer["other_masters"]) == 1
        (tmp_path / "gate").touch()


def test_jobs_that_a_limit_ended(
    run: Run, redis: redis_py.Redis, redis_url: str, tmp_path: Path, config: str
) -> None:
    config += '[limits.class.Nap]\nruntime = "0.1s"\n'
    with pool(redis_url, tmp_path, config=config) as daemon:
        ready(daemon)
        run("enqueue", "Nap", "600", "-q", "default")
        daemon.wait_for_event("job_failed")
        wait_until(lambda: redis.llen(f"{NS}failed"))
        file = str(tmp_path / "resqued.toml")
        answer = ask_one(run, "Nap", "-q", "default", "-c", file, "--no-import")
        assert answer["texts"]["limits"] == "a job of Nap is ended after 0.1s"
        assert answer["texts"]["ended_by_limit"] == (
            "of the newest failures these are of Nap: JobTimeout (1)"
        )


def test_a_worker_that_was_killed_with_its_master(
    run: Run, redis: redis_py.Redis, redis_url: str, tmp_path: Path, config: str
) -> None:
    with pool(redis_url, tmp_path, config=config) as daemon:
        ready(daemon)
        (worker_id,) = redis.smembers(f"{NS}workers")
        identity = redis.hget(f"{NS}resqued:workers", worker_id)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    add_worker(redis, worker_id.decode(), server_time(redis))
    redis.hset(f"{NS}resqued:workers", worker_id, identity)
    run("enqueue", "Noop", "-q", "default")
    answer = ask_one(run, "default", "-c", str(tmp_path / "resqued.toml"))
    assert answer["kinds"] == ["worker_dead"]


# Without one


@pytest.mark.parametrize(
    ("ago", "kind"), [(4000.0, "worker_silent"), (None, "worker_unknown")]
)
def test_workers_that_give_no_sign(
    run: Run, redis: redis_py.Redis, file: str, ago: float | None, kind: str
) -> None:
    fill(redis, "mail", *jobs("Mail"))
    beat = "" if ago is None else server_time(redis, ago)
    add_worker(redis, "other:7:mail", beat)
    answer = ask_one(run, "mail", "-c", file)
    assert answer["kinds"] == [kind]
    assert answer["texts"][kind].endswith("other:7:mail")


def test_a_queue_with_an_idle_worker_of_another_host_should_run(
    run: Run, redis: redis_py.Redis, file: str
) -> None:
    fill(redis, "mail", *jobs("A", times=4), *jobs("Mail"))
    add_worker(redis, "other:7:m*", server_time(redis))
    assert run("why", "Mail", "-c", file, "--no-import").stdout == (
        "queue mail: 5 jobs; Mail has 4 ahead; 1 worker serve it\n"
        "  should_run: it should run: 4 jobs ahead of it, 1 worker idle;"
        " the next look is within 5s; ask again in a moment\n"
        "  not_checked: the class was not looked for in the application: --no-import\n"
    ).replace("1 worker serve it", "1 worker serves it")


def test_a_queue_of_another_namespace(
    run: Run, redis: redis_py.Redis, file: str
) -> None:
    redis.rpush("app:queue:mail", "a", "b")
    redis.rpush("queue:mail", "a")
    redis.set("hidden:queue:mail", "no list")
    redis.rpush("app:queue:mail2", "a")
    answer = ask_one(run, "mail", "-c", file)
    assert answer["kinds"][:2] == ["wrong_namespace", "no_such_queue"]
    told = answer["texts"]["wrong_namespace"].partition("namespace: ")[2]
    assert set(told.split(", ")) == {"app:queue:mail (2 jobs)", "queue:mail (1 job)"}


@pytest.mark.parametrize("name", ["a*b", "[x]", "b\\c", "q?", "x^-y"])
def test_names_that_are_patterns_are_looked_for_as_they_are(
    run: Run, redis: redis_py.Redis, file: str, name: str
) -> None:
    redis.rpush(f"app:queue:{name}", "a")
    redis.rpush("app:queue:aXb", "a")
    redis.rpush("app:queue:x", "a")
    answer = ask_one(run, name, "-c", file)
    told = answer["texts"]["wrong_namespace"].partition("namespace: ")[2]
    assert told == f"app:queue:{name} (1 job)"


def test_a_name_that_is_nearly_right(
    run: Run, redis: redis_py.Redis, file: str
) -> None:
    fill(redis, "critical", *jobs("A"))
    answer = ask_one(run, "critcal", "-c", file)
    assert answer["findings"][0]["remedy"] == "did you mean critical?"


def test_a_queue_that_is_not_in_the_set(
    run: Run, redis: redis_py.Redis, file: str
) -> None:
    redis.rpush(f"{NS}queue:mail", *jobs("A"))
    add_worker(redis, "other:7:*", server_time(redis))
    answer = ask_one(run, "mail", "-c", file)
    assert answer["kinds"] == ["not_in_set", "no_worker"]


def test_a_class_that_waits_in_several_queues(
    run: Run, redis: redis_py.Redis, file: str
) -> None:
    fill(redis, "a", *jobs("Other", times=2), *jobs("Mail"))
    fill(redis, "b", *jobs("Mail"), '{"class": "M\\u0061il"}')
    fill(redis, "c", *jobs("Mailer"), "no job", '{"class": "M\\u0061il"}')
    fill(redis, "d", *jobs("Other", "Mail"))
    answers = ask(run, "Mail", "-c", file)
    assert {a["queue"]: a["ahead"] for a in answers} == {"a": 2, "b": 0, "c": 2}
    answer = ask_one(run, "Mail", "-c", file, "--queue", "d")
    assert "not_seen" in answer["kinds"]


def test_a_class_that_only_failed(run: Run, redis: redis_py.Redis, file: str) -> None:
    fill(redis, "mail", *jobs("Other"))
    add_failure(redis, 1, class_name="Boom", queue="mail")
    answer = ask_one(run, "Boom", "-c", file)
    assert answer["queue"] == "mail"
    assert "not_seen" in answer["kinds"]
    assert answer["texts"]["failed"] == "of the newest failures 1 are of Boom"


def test_a_search_ends_at_its_depth_and_says_so(
    run: Run, redis: redis_py.Redis, file: str
) -> None:
    fill(redis, "mail", *jobs("Other", times=5000), *jobs("Mail"))
    answer = ask_one(run, "Mail", "-q", "mail", "-c", file, "--depth", "5000")
    assert answer["texts"]["not_seen"] == (
        "no job of Mail is among the first 5000 of 5001 in queue mail"
    )
    answer = ask_one(run, "Mail", "-c", file, "--depth", "5000")
    assert "no_such_queue" in answer["kinds"]
    assert answer["texts"]["not_checked"].endswith("queues only: 5000 of mail")
    answer = ask_one(run, "Mail", "-c", file, "--depth", "5001")
    assert (answer["queue"], answer["ahead"]) == ("mail", 5000)


def test_payloads_of_a_megabyte_are_read_one_by_one(
    run: Run, redis: redis_py.Redis, file: str
) -> None:
    large = json.dumps({"class": "Large", "args": ["x" * (1 << 20)]})
    fill(redis, "mail", *[large] * 60, *jobs("Mail"))
    assert ask_one(run, "Mail", "-c", file)["ahead"] == 60


def test_nothing_is_changed(run: Run, redis: redis_py.Redis, file: str) -> None:
    fill(redis, "mail", *jobs("Mail"))
    add_worker(redis, f"{HOST}:999999999:mail", server_time(redis, 9000))
    add_failure(redis)
    before = {key: redis.dump(key) for key in redis.keys("*")}
    for name in ("mail", "Mail", "nope"):
        run("why", name, "-c", file)
    assert {key: redis.dump(key) for key in redis.keys("*")} == before


# The application

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask_about(
    run: Run, redis: redis_py.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Ask about a class, of which a job waits, with an application of this source."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def ask(source: str, name: str, *args: str) -> dict[str, Any]:
        (tmp_path / "app.py").write_text(source)
        fill(redis, "mail", *jobs(name))
        return ask_one(run, name, "-a", "app", *args)

    return ask


def test_a_class_that_is_declared_and_one_that_is_not(
    run: Run, redis: redis_py.Redis, file: str, redis_url: str
) -> None:
    fill(redis, "mail", *jobs("Nope"), *jobs("Archive"))
    modules = ("-a", "tests.support.jobs", "-c", file)
    answer = ask_one(run, "Nope", *modules)
    assert answer["texts"]["not_declared"].startswith(
        "Nope is not a job of this application (its modules: tests.support.jobs)"
    )
    assert "not_declared" not in ask_one(run, "Run", "-q", "mail", *modules)["kinds"]


def test_the_application_is_imported_in_another_process(
    ask_about: Ask, tmp_path: Path, file: str
) -> None:
    source = (
        "import os, pathlib, resqued\n"
        "print('noise'); pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "@resqued.job(name='Limited', timeout='15m')\n"
        "def limited(): pass\n"
    )
    answer = ask_about(source, "Limited", "-c", file)
    assert (tmp_path / "pid").read_text() != str(os.getpid())
    assert answer["texts"]["limits"] == "a job of Limited is ended after 15m00s"


def test_an_application_that_hangs_is_given_up_and_leaves_no_process(
    ask_about: Ask, tmp_path: Path, config: str
) -> None:
    # Longer than any test, and not for ever, if it should be left behind after all.
    source = (
        "import os, pathlib, time\n"
        "pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)\n"
    )
    file = tmp_path / "hangs.toml"
    file.write_text(f'{config}[reload]\nstart_timeout = "2s"\n')
    answer = ask_about(source, "Mail", "-c", str(file))
    assert answer["texts"]["not_importable"] == (
        "the application (app) fails to load: it is not done after 2 s"
    )
    pid = tmp_path / "pid"
    assert not (pid.exists() and Path(f"/proc/{pid.read_text()}").exists())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os; os._exit(7)\n", "the process ended with status 7"),
        ("import os; os.kill(os.getpid(), 9)\n", "the process ended with signal 9"),
        ("1 / 0\n", "cannot import app: ZeroDivisionError at"),
    ],
)
def test_an_application_that_breaks(
    ask_about: Ask, file: str, source: str, said: str
) -> None:
    answer = ask_about(source, "Mail", "-c", file)
    assert said in answer["texts"]["not_importable"]


# Restricted users


@pytest.mark.server_semantics
def test_a_user_that_only_enqueues_is_not_told_that_it_has_failed(
    run: Run, redis: redis_py.Redis, redis_url: str
) -> None:
    redis.execute_command(
        *("ACL", "SETUSER", "narrow", "reset", "on", ">p", "+ping", "+sadd", "+rpush"),
        *("~resque:queues", "~resque:queue:*"),
    )
    try:
        url = redis_url.replace("redis://", "redis://narrow:p@")
        done = run("enqueue", "Mail", "1", "-q", "mail", "-r", url, "-N", "resque")
        assert (done.exit_code, done.stdout) == (0, "enqueued Mail(1) on mail\n")
        assert redis.llen("resque:queue:mail") == 1
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")


@pytest.mark.parametrize("refused", ["", "+scan"])
@pytest.mark.server_semantics
def test_a_user_that_may_do_no_more_than_the_documentation_says(
    run: Run, redis: redis_py.Redis, redis_url: str, file: str, refused: str
) -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rule = text.partition("ACL SETUSER")[2].partition("```")[0]
    rules = [word for word in re.findall(r"\+[a-z|]+", rule) if word != refused]
    redis.execute_command(
        "ACL", "SETUSER", "narrow", "reset", "on", ">p", "~resque:*", *rules
    )
    try:
        redis.rpush("app:queue:mail", "a")
        url = redis_url.replace("redis://", "redis://narrow:p@")
        answer = ask_one(run, "mail", "-c", file, "-r", url)
        assert answer["kinds"] == ["no_such_queue", "no_worker", "not_checked"]
        assert "permission" in answer["texts"]["not_checked"].lower()
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")
