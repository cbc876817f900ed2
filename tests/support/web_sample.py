"""Sample data for the pages of the web front end: tests in browsers, and pictures.

It stands in Redis as workers of three kinds, masters, retries and users of the pages
leave it. `fill` writes all of it, for an empty namespace `resque`.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import redis as redis_py
from msgspec.structs import asdict

from resqued.core.histogram import BUCKETS
from resqued.core.history_layout import GAUGES, HISTOGRAM, VALUES, day_of, packed
from resqued.core.task_state import DONE, RUNNING, TaskRecord
from resqued.store.job_identity import identity_of
from resqued.store.seen_bound import digest_of
from resqued.wire import delayed_item, master_record, payload, timestamps
from resqued.wire.keys import Keys
from resqued.wire.payload import FailureInfo
from resqued.wire.worker_entry import Identity

KEYS = Keys()
# The name of each queue, and how many jobs wait in it.
QUEUES = {
    "critical": 3,
    "default": 1_284,
    "mail": 96,
    "images": 412,
    "search/index": 0,
    "reports": 18,
    "imports": 7,
    "webhooks:out": 0,
}
PAUSED = "reports"
# A queue with a long name, which no worker serves.
UNSERVED = "customer-4711:export-of-all-invoices-and-their-attachments"
FAILURES = 60
# Of the pages that show it.
CONFIG = """
[web]
title = "production"
color = "red"
"""

_CLASSES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "shop.mail.SendReceipt": ("mail", ("order", "address", "token")),
    "shop.images.Resize": ("images", ("path", "width", "height")),
    "shop.search.Index": ("search/index", ("document", "fields")),
    "shop.reports.Monthly": ("reports", ("month", "options")),
    "shop.imports.Customers": ("imports", ("file", "line")),
    "WebhookDelivery": ("webhooks:out", ()),
}
_NAMES = tuple(_CLASSES)

_TRACE = """\
  File "/srv/shop/app/shop/mail/receipts.py", line 48, in perform
    self.deliver(order, to=address)
  File "/srv/shop/app/shop/mail/delivery.py", line 112, in deliver
    with smtplib.SMTP(self.host, timeout=10) as server:
  File "/usr/lib/python3.11/smtplib.py", line 255, in __init__
    (code, msg) = self.connect(host, port)
  File "/usr/lib/python3.11/socket.py", line 851, in create_connection
    raise exceptions[0]""".splitlines()
_RUBY_TRACE = (
    "/srv/shop/current/app/jobs/webhook_delivery.rb:27:in `perform'",
    "/srv/shop/shared/gems/resque-2.6.0/lib/resque/job.rb:177:in `perform'",
    "/srv/shop/shared/gems/resque-2.6.0/lib/resque/worker.rb:303:in `perform'",
)
# Exception, message with a number in it, the class of the job, its traceback.
_ERRORS = (
    ("ConnectionRefusedError", "[Errno 111] Connection refused: 10.0.0.25:{}", 0),
    ("TimeoutError", "no answer from the mail server after {} s", 0),
    ("ValueError", "width must be positive, and is -{}", 1),
    ("resqued.errors.JobTimeout", "ran for {} s; its limit is 300 s", 3),
    ("UnicodeDecodeError", "'utf-8' codec can't decode byte 0xfc in position {}", 4),
    ("resqued.errors.DirtyExit", "the process was killed by SIGKILL ({})", 1),
    ("KeyError", "'customer-{}'", 4),
)
_HOSTS = ("web1", "web2", "batch1.example.org")


def fill(redis: redis_py.Redis) -> None:
    """Write the sample into an empty namespace."""
    now = redis.time()[0]
    chance = random.Random(7)
    _queues(redis, chance)
    _workers(redis, now)
    _failures(redis, now, chance)
    _delayed(redis, now)
    _retries(redis, now)
    _schedules(redis, now)
    _quarantine(redis, now)
    _masters(redis, now)
    _history(redis, now, chance)
    _audit(redis)
    _tasks(redis, now)


def _job(number: int, name: str = "") -> str:
    name = name or _NAMES[number % len(_NAMES)]
    values: tuple[Any, ...] = (
        (f"order-{number}", "anna@example.org", "secret-word"),
        (f"/srv/shop/media/{number:06}.jpeg", 1280, 720),
        (f"document {number}", ["title", "text", "größe"]),
        ("2026-10", {"currency": "EUR", "deep": {"password": "x", "pages": 12}}),
        ("s3://imports/customers-2026-11-27T02-00-00.csv", number),
        ({"url": "https://partner.example.com/hook", "attempt": number % 4},),
    )[_NAMES.index(name)]
    return payload.encode_job(name, list(values))


def _queues(redis: redis_py.Redis, chance: random.Random) -> None:
    for name, length in {**QUEUES, UNSERVED: 5}.items():
        redis.sadd(KEYS.queues, name)
        jobs = [_job(chance.randrange(100_000)) for _ in range(length)]
        if jobs:
            redis.rpush(KEYS.queue(name), *jobs)
    # Entries that are no jobs, as other programs leave them.
    redis.lset(KEYS.queue("imports"), 1, b"\xff\x00 not a job")
    redis.lset(
        KEYS.queue("imports"), 2, json.dumps({"class": "Wide", "args": ["x" * 3_000]})
    )
    redis.sadd(KEYS.paused_queues, PAUSED)
    declared = {
        name: json.dumps(
            {
                "parameters": parameters,
                "queue": queue,
                "limits": {"timeout": 300.0, "memory": 512 << 20},
            }
        )
        for name, (queue, parameters) in _CLASSES.items()
        if parameters
    }
    redis.hset(KEYS.declared_jobs, mapping=declared)


def _workers(redis: redis_py.Redis, now: int) -> None:
    served = ("mail,critical,default", "images,imports", "search/index,reports")
    for number in range(9):
        host, pid = _HOSTS[number % 3], 4_000 + 7 * number
        worker = f"{host}:{pid}:{served[number % 3]}"
        identity = Identity(
            "boot", "4026531836", pid, 1_000 + number, 60.0, f"{number}"
        )
        redis.hset(KEYS.identities, worker, identity.encode())
        _register(redis, worker, now, beat=now - 5 * number)
        if number < 5:
            _give(redis, worker, now - 7 * 4**number, (0, 1, 2, 0, 4)[number])
    ruby = "rails3:21907:imports,webhooks:out"
    _register(redis, ruby, now, beat=now - 31)
    _give(redis, ruby, now - 42, 5)
    # A worker of Ruby that has been silent for an hour, and one of node-resque.
    _register(redis, "rails4:998:imports", now, beat=now - 3_600)
    node = "node7:311:webhooks:out"
    _register(redis, node, now, beat=None)
    ping = json.dumps({"time": now, "name": "node7:311", "queues": "webhooks:out"})
    redis.set(KEYS.ping("node7:311"), ping)


def _register(redis: redis_py.Redis, worker: str, now: int, beat: int | None) -> None:
    redis.sadd(KEYS.workers, worker)
    redis.set(KEYS.started(worker), timestamps.heartbeat(now - 90_000))
    redis.set(KEYS.stat("processed", worker), 1_200 + len(worker))
    redis.set(KEYS.stat("failed", worker), len(worker) % 7)
    if beat is not None:
        redis.hset(KEYS.heartbeats, worker, timestamps.heartbeat(beat))


def _give(redis: redis_py.Redis, worker: str, since: int, number: int) -> None:
    name = _NAMES[number % len(_NAMES)]
    run_at = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
    head = json.dumps(
        {"queue": _CLASSES[name][0], "run_at": run_at}, separators=(",", ":")
    )
    redis.set(KEYS.worker(worker), f'{head[:-1]},"payload":{_job(number, name)}}}')


def _failure(number: int, now: int, chance: random.Random) -> str:
    if number % 9 == 8:
        # As Ruby writes it.
        entry = {
            "failed_at": f"{datetime.fromtimestamp(now, UTC):%Y/%m/%d %H:%M:%S UTC}",
            "payload": json.loads(_job(number, "WebhookDelivery")),
            "exception": "Net::ReadTimeout",
            "error": "Net::ReadTimeout with #<TCPSocket:(closed)>",
            "backtrace": list(_RUBY_TRACE),
            "worker": "rails3:21907:imports,webhooks:out",
            "queue": "webhooks:out",
        }
        return json.dumps(entry)
    exception, message, which = _ERRORS[number % len(_ERRORS)]
    name = _NAMES[which]
    entry = payload.failure(
        FailureInfo(
            exception, message.format(chance.randrange(400, 900)), tuple(_TRACE)
        ),
        payload=_job(number, name).encode(),
        worker=f"{_HOSTS[number % 3]}:{4_000 + number}:mail",
        queue=_CLASSES[name][0],
        now=now,
    )
    text = entry.decode() if isinstance(entry, bytes) else entry
    if number % 11 == 5:
        retried = f"{datetime.fromtimestamp(now + 400, UTC):%Y/%m/%d %H:%M:%S}"
        text = f'{text[:-1]},"retried_at":"{retried}"}}'
    return text


def _failures(redis: redis_py.Redis, now: int, chance: random.Random) -> None:
    ages = sorted(
        (int(3.5 ** chance.uniform(1, 9)) for _ in range(FAILURES)), reverse=True
    )
    for number, age in enumerate(ages):
        redis.rpush(KEYS.failed, _failure(number, now - age, chance))
    redis.linsert(KEYS.failed, "BEFORE", redis.lindex(KEYS.failed, 30), "no failure")
    redis.sadd(KEYS.failed_queues, "mail_failed")
    for number in range(3):
        redis.rpush(KEYS.failed_of("mail"), _failure(7 * number, now - 60, chance))
    redis.set(KEYS.stat("processed"), 48_213_907)
    redis.set(KEYS.stat("failed"), 5_822)


def _wait(redis: redis_py.Redis, at: int, queue: str, job: str) -> None:
    item = delayed_item.encode(job, queue)
    time = str(at)
    redis.rpush(KEYS.delayed(time), item)
    redis.sadd(KEYS.timestamps(item), f"delayed:{time}")
    redis.zadd(KEYS.delayed_schedule, {time: at})


def _delayed(redis: redis_py.Redis, now: int) -> None:
    for number in range(30):
        _wait(
            redis, now + 40 + 900 * number**2, "mail", _job(number, _NAMES[number % 5])
        )


def _retries(redis: redis_py.Redis, now: int) -> None:
    chance = random.Random(11)
    for number in range(4):
        job = _job(900 + number, _NAMES[0])
        _wait(redis, now + 30 * 2**number, "mail", job)
        name = identity_of(job.encode())
        redis.set(KEYS.attempts(name), number)
        redis.set(KEYS.attempt_failure(name), _failure(0, now - 15 * number, chance))


def _schedules(redis: redis_py.Redis, now: int) -> None:
    definitions = {
        "monthly report": {
            "cron": "0 4 1 * *",
            "zone": "Europe/Berlin",
            "class_name": _NAMES[3],
        },
        "clean up": {"every": 300.0, "class_name": "shop.clean.Up", "missed": "skip"},
        "import customers": {
            "cron": "*/30 * * * *",
            "class_name": _NAMES[4],
            "jitter": 60.0,
        },
        "retired": {"cron": "15 3 * * 1", "class_name": "shop.old.Sync"},
    }
    for name, fields in definitions.items():
        full = {"name": name, "queue": "default", **fields}
        redis.hset(KEYS.schedules, name, json.dumps(full))
        redis.hset(KEYS.last_ticks, name, now - now % 300)
        redis.hset(KEYS.last_enqueued_at, name, timestamps.heartbeat(now - now % 300))
    redis.sadd(KEYS.disabled_schedules, "retired")
    ruby = {"cron": "0 6 * * *", "class": "NightlyDigest", "queue": "mail", "args": []}
    redis.hset(KEYS.persistent_schedules, "nightly digest", json.dumps(ruby))


def _quarantine(redis: redis_py.Redis, now: int) -> None:
    chance = random.Random(13)
    for number in range(3):
        deaths = [
            {
                "died_at": timestamps.run_at(now - 900 + 200 * death),
                "worker": f"web1:{4_000 + death}:images",
                "exception": "resqued.errors.DirtyExit",
                "error": "the process was killed by SIGSEGV",
            }
            for death in range(3)
        ]
        entry = {
            "quarantined_at": now - 500 + number,
            "failure": json.loads(_failure(5 + 7 * number, now - 500, chance)),
            "deaths": deaths,
        }
        redis.rpush(KEYS.quarantine, json.dumps(entry))


def _masters(redis: redis_py.Redis, now: int) -> None:
    for number, host in enumerate(_HOSTS):
        pools = tuple(
            master_record.RecordedPool(
                name=",".join(queues),
                queues=queues,
                exclusions=("low",) if number == 2 else (),
                wanted=3,
                live=3 - number // 2,
                limits=master_record.RecordedLimits(runtime=300.0, memory=512 << 20),
            )
            for queues in (("critical", "default"), ("mail",))
        )
        failed = master_record.RecordedReload(
            at=now - 700, outcome="failed", error="ImportError: no module shop.taxes"
        )
        record = master_record.MasterRecord(
            id=master_record.master_id(host, 3_990 + number),
            host=host,
            pid=3_990 + number,
            version="0.1.0",
            since=now - 200_000,
            at=now - 20 * number,
            state="running",
            is_paused=number == 1,
            generation=4,
            last_reload=failed if number == 2 else None,
            pools=pools,
            hidden_user="resqued",
        )
        redis.sadd(KEYS.masters, record.id)
        redis.set(KEYS.master(record.id), master_record.encode(record), ex=3_600)


def _history(redis: redis_py.Redis, now: int, chance: random.Random) -> None:
    """Write minutes of today and yesterday, of all, of each class and of each queue."""
    names = [f"c:{name}" for name in _NAMES] + [f"q:{name}" for name in QUEUES]
    for start in (now - 86_400, now):
        day = day_of(start)
        minutes = min(1_440, (now - day.start) // 60 + 1)
        for scope in ("t", *names):
            for value in VALUES[scope[0]]:
                count = minutes if value != HISTOGRAM else minutes // 60 * BUCKETS
                usual = QUEUES.get(scope[2:], 1_400)
                numbers = [_number(value, at, chance, usual) for at in range(count)]
                redis.set(KEYS.history(day.name, f"{scope}:{value}"), packed(numbers))
        redis.sadd(KEYS.history_names(day.name), *names)


def _number(value: str, at: int, chance: random.Random, waiting: int) -> int:
    wave = 1 + abs(at % 240 - 120) / 120
    sizes = {"failed": 2, "ms": 42_000, "wait": waiting, "workers": 0, "redis": 9_000}
    sizes["busy"] = -4
    number = int(sizes.get(value, 60) * wave * chance.uniform(0.6, 1.0))
    return number + (13 if value in GAUGES else 0)


def _audit(redis: redis_py.Redis) -> None:
    digest = hashlib.sha256(b"a failure").hexdigest()[:12]
    for action, target in (
        ("login", "anna"),
        ("pause", f"queue {PAUSED}"),
        ("retry_remove", f"failure {digest}"),
        ("remove", f"worker {_HOSTS[2]}:4098:mail"),
    ):
        fields = {
            "user": "anna",
            "role": "operator",
            "address": "10.0.0.7",
            "action": action,
            "target": target,
            "count": 1,
            "result": "done",
            "request_id": digest,
        }
        redis.xadd(KEYS.audit, {"action": json.dumps(fields)})


def _tasks(redis: redis_py.Redis, now: int) -> None:
    """Write the tasks of a bulk action whose process is dead, and of a search."""
    hits = [
        f"{position} {digest_of(entry)} failed"
        for position, entry in enumerate(redis.lrange(KEYS.failed, 0, -1))
        if b"width must be" in entry
    ]
    redis.rpush(KEYS.web_hits("b2c3d4e5f6a1"), *reversed(hits))
    records = (
        TaskRecord(
            id="a1b2c3d4e5f6",
            kind="retry_remove",
            choice={"class": _NAMES[0]},
            words=f"class {_NAMES[0]}",
            user="anna",
            state=RUNNING,
            done=12_400,
            judged=31_000,
            total=61_000,
            expected=24_000,
            speed=480.0,
            began=now - 90.0,
            beat=now - 30.0,
        ),
        TaskRecord(
            id="b2c3d4e5f6a1",
            kind="search",
            choice={"text": "width must be"},
            words="with the text width must be",
            user="anna",
            state=DONE,
            done=len(hits),
            judged=FAILURES,
            total=FAILURES,
            began=now - 300.0,
            beat=now - 298.0,
            ended=now - 298.0,
        ),
    )
    for record in records:
        fields = {**asdict(record), "choice": json.dumps(record.choice)}
        del fields["id"]
        redis.hset(KEYS.web_task(record.id), mapping=fields)
        redis.zadd(KEYS.web_tasks, {record.id: record.began})
