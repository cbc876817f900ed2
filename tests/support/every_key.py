"""One value in every key that resqued has, with a text in each name and value of it.

For tests of programs that show what stands in Redis. A text may be any bytes: names of
queues and arguments of jobs are what other programs have written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import redis as redis_py

from resqued.store.job_identity import identity_of
from resqued.wire.keys import Keys, prefix_of

NAMESPACE = "resque"
_ROOT = prefix_of(Keys(NAMESPACE)).encode()
# U+D800, of which half a character is missing, in the bytes that UTF-8 would give it.
LONE_SURROGATE = b"\xed\xa0\x80"
# Fills some keys with a text; others may be added by tests of further pages.
Filler = Callable[[redis_py.Redis, bytes], None]


def as_json(value: Any) -> bytes:
    """Return JSON in which texts of bytes stand as they are, also if not UTF-8.

    Only a lone surrogate is escaped, as JSON alone can hold it.
    """
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return text.replace(LONE_SURROGATE, b"\\ud800")


def as_text(text: bytes) -> str:
    """Return bytes as the str that `as_json` writes as those bytes."""
    return text.decode("utf-8", "surrogateescape")


def key(name: bytes | str) -> bytes:
    """Return the key of a name below the namespace."""
    return _ROOT + (name.encode() if isinstance(name, str) else name)


def now_text() -> str:
    """Return the present time as heartbeats have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def job(text: bytes) -> dict[str, Any]:
    """Return a job with the text as class, as argument, and as key of one."""
    word = as_text(text)
    return {"class": word, "args": [word, {word: [word, {word: word}]}, [word]]}


def failure(text: bytes) -> bytes:
    """Return a failure entry with the text in each field."""
    word = as_text(text)
    fields = {
        "failed_at": datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S UTC"),
        "payload": job(text),
        "exception": word,
        "error": word,
        "backtrace": [word, f'  File "{word}", line 1, in {word}', word],
        "worker": word,
        "queue": word,
    }
    return as_json(fields)


def fill(redis: redis_py.Redis, text: bytes, more: tuple[Filler, ...] = ()) -> None:
    """Write the text into every name and value of every key."""
    for filler in (*_FILLERS, *more):
        filler(redis, text)


def _queues(redis: redis_py.Redis, text: bytes) -> None:
    redis.sadd(key("queues"), text)
    payload = as_json(job(text))
    odd = [text, b"[]", as_json(as_text(text)), payload[:-1], as_json({"class": {}})]
    redis.rpush(key(b"queue:" + text), payload, *odd)
    redis.sadd(key("resqued:paused"), text)
    redis.set(key(b"pause:queue:" + text), text)
    redis.set(key("pause-all-workers"), text)
    redis.set(key("stat:processed"), text)
    redis.set(key("stat:failed"), "3")


def _values(redis: redis_py.Redis, text: bytes) -> None:
    """Write the text as a value of JSON, where it is one: a number, or deep lists."""
    if text[:1] in b"[0123456789-N":
        fill_values(redis, text)


def fill_values(redis: redis_py.Redis, *texts: bytes) -> None:
    """Write each text as a value of JSON, each into keys of its own."""
    for number, text in enumerate(texts):
        _fill_value(redis, text, b"odd%d" % number)


def _fill_value(redis: redis_py.Redis, text: bytes, name: bytes) -> None:
    job = b'{"class":"Odd","args":[%s,{"a":%s}]}' % (text, text)
    entry = (
        b'{"failed_at":%s,"payload":%s,"exception":%s,"error":%s,"backtrace":%s,'
        b'"worker":%s,"queue":"odd","attempt":%s,"retried_at":%s,"own":%s}'
    ) % (text, job, *([text] * 7))
    worker = b"web1:4:" + name
    redis.rpush(key("failed"), entry)
    redis.rpush(key(b"queue:" + name), job)
    redis.sadd(key("queues"), name)
    redis.sadd(key("workers"), worker)
    record = b'{"queue":%s,"run_at":%s,"payload":%s}' % (text, text, job)
    redis.set(key(b"worker:" + worker), record)
    identity = b'{"boot":%s,"pids":%s,"pid":%s,"start":%s,"heartbeat":%s,"nonce":%s}'
    redis.hset(key("resqued:workers"), worker, identity % ((text,) * 6))
    redis.set(key(b"worker:ping:" + worker), b'{"time":%s}' % text)
    quarantined = b'{"quarantined_at":%s,"deaths":[%s],"failure":%s}'
    redis.rpush(key("resqued:quarantine"), quarantined % (text, text, entry))
    redis.zadd(key("delayed_queue_schedule"), {"9": 9})
    redis.rpush(key("delayed:9"), job[:-1] + b',"queue":"odd"}')
    rule = b'{"name":"odd","class_name":"Odd","queue":"odd","args":[%s],"every":%s}'
    redis.hset(key("resqued:schedules"), name, rule % (text, text))
    action = b'{"user":%s,"count":%s,"ids":%s}' % (text, text, text)
    redis.xadd(key("resqued:audit"), {b"action": action})


def _failures(redis: redis_py.Redis, text: bytes) -> None:
    entries = [failure(text), text, as_json([as_text(text)])]
    retried = json.loads(failure(b"x"))
    retried |= {"retried_at": as_text(text), "failed_at": as_text(text)}
    entries.append(as_json(retried))
    redis.rpush(key("failed"), *entries)
    redis.rpush(key("resqued:failed"), *entries)
    redis.sadd(key("failed_queues"), text + b"_failed")
    redis.rpush(key(text + b"_failed"), *entries)
    redis.hset(key("resqued:bulk"), text, text)
    redis.rpush(key(b"resqued:bulk:staged:" + text), text)
    redis.rpush(key(b"resqued:outbox:" + text), text)
    redis.hset(key("resqued:outbox:dropped"), text, text)


def _workers(redis: redis_py.Redis, text: bytes) -> None:
    word, at = as_text(text), now_text()
    record = {"queue": word, "run_at": word, "payload": job(text)}
    written = as_json({"queue": word, "run_at": at, "payload": job(text)})
    records = {
        b"web1:1:" + text: written.replace(b'": ', b'":').replace(b', "', b',"'),
        text + b":2:" + text: as_json(record),
        text: text,
        b"web1:3:" + text: as_json(word),
    }
    for worker, value in records.items():
        redis.sadd(key("workers"), worker)
        redis.set(key(b"worker:" + worker), value)
        redis.set(key(b"worker:" + worker + b":started"), text)
        redis.hset(key("workers:heartbeat"), worker, at if worker != text else text)
        redis.hset(key("resqued:workers"), worker, text)
        redis.set(key(b"stat:processed:" + worker), text)
        redis.set(key(b"worker:ping:" + worker), text)


def _masters(redis: redis_py.Redis, text: bytes) -> None:
    word, now = as_text(text), time.time()
    pool = {"name": word, "queues": [word], "exclusions": [word], "wanted": 1}
    record = {
        "id": word,
        "host": word,
        "pid": 1,
        "version": word,
        "since": now - 60,
        "at": now,
        "state": word,
        "paused": True,
        "generation": 1,
        "last_reload": {"at": now, "outcome": word, "error": word},
        "pools": [{**pool, "live": 1, "limits": {"runtime": 1.0, "memory": 1}}],
        "hidden_user": word,
        "instance": word,
    }
    redis.sadd(key("resqued:masters"), text, b"odd" + text)
    redis.set(key(b"resqued:master:" + text), as_json(record))
    redis.set(key(b"resqued:master:odd" + text), text)
    for number, name in ((float("nan"), b"nan"), (float("inf"), b"inf")):
        timeless = {**record, "id": name.decode(), "since": number, "at": number}
        redis.sadd(key("resqued:masters"), name)
        redis.set(key(b"resqued:master:" + name), as_json(timeless))
    redis.set(key(b"resqued:detail:" + text), as_json({"workers": [word], word: word}))
    declared = {"parameters": [word, word], "queue": word, "limits": {word: word}}
    redis.hset(key("resqued:jobs"), text, as_json(declared))
    redis.hset(key("resqued:jobs"), b"odd" + text, text)


def _waiting(redis: redis_py.Redis, text: bytes) -> None:
    word, due = as_text(text), str(int(time.time()) + 3_600)
    item = as_json({**job(text), "queue": word})
    for moment in (due.encode(), text):
        redis.zadd(key("delayed_queue_schedule"), {moment: int(due)})
        redis.rpush(key(b"delayed:" + moment), item, text)
    redis.sadd(key(b"timestamps:" + item), b"delayed:" + due.encode())
    attempts = key("resque-retry:") + _identity(job(text))
    redis.set(attempts, "2")
    redis.set(key("failure-resque-retry:") + _identity(job(text)), failure(text))


def _identity(value: dict[str, Any]) -> bytes:
    return identity_of(as_json(value)).encode("utf-8", "surrogatepass")


def _schedules(redis: redis_py.Redis, text: bytes) -> None:
    word = as_text(text)
    rule = {"name": word, "class_name": word, "queue": word, "args": [word]}
    redis.hset(key("resqued:schedules"), text, as_json({**rule, "every": 60.0}))
    hostile = {**rule, "cron": word, "zone": word, "missed": word, "description": word}
    redis.hset(key("resqued:schedules"), b"cron" + text, as_json(hostile))
    redis.hset(key("resqued:schedules"), b"odd" + text, text)
    redis.hset(key("resqued:schedules:last"), text, text)
    redis.sadd(key("resqued:schedules:disabled"), text)
    redis.hset(key("delayed:last_enqueued_at"), text, text)
    redis.hset(key("persistent_schedules"), text, as_json({word: word, "cron": word}))
    redis.set(key("resqued:scheduler"), text)


def _quarantine(redis: redis_py.Redis, text: bytes) -> None:
    word = as_text(text)
    death = {"died_at": word, "worker": word, "exception": word, "error": word}
    entry = b'{"quarantined_at":%d,"deaths":[%s],"failure":%s}' % (
        int(time.time()),
        as_json(death),
        failure(text),
    )
    redis.rpush(key("resqued:quarantine"), entry, text)


def _audit(redis: redis_py.Redis, text: bytes) -> None:
    word = as_text(text)
    names = ("user", "role", "address", "action", "target", "result", "request_id")
    fields: dict[str, Any] = {
        **dict.fromkeys(names, word),
        "count": word,
        "ids": [word],
    }
    for value in (as_json(fields), as_json({**fields, "count": 1}), text):
        redis.xadd(key("resqued:audit"), {b"action": value})
    redis.xadd(key("resqued:audit"), {text or b"-": text})


def _history(redis: redis_py.Redis, text: bytes) -> None:
    today = datetime.now(UTC)
    for period in (f"{today:%Y%m%d}", f"h:{today:%Y%m}"):
        scopes = [kind + text[:200] for kind in (b"c:", b"q:")]
        names = key(f"resqued:hist:{period}:names")
        redis.sadd(names, *scopes, text or b"-")
        for scope in (*scopes, b"t"):
            for value in (b"done", b"failed", b"ms", b"wait", b"h"):
                name = key(f"resqued:hist:{period}:") + scope + b":" + value
                redis.set(name, text[:3_000])


_FILLERS: tuple[Filler, ...] = (
    _queues,
    _values,
    _failures,
    _workers,
    _masters,
    _waiting,
    _schedules,
    _quarantine,
    _audit,
    _history,
)
