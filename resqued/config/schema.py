"""The keys of the configuration: the reader, the default and the meaning of each.

`resqued config example` is made from FIELDS, and tests compare resqued.toml(5) with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued.config import readers
from resqued.core.limits import Limits
from resqued.core.retry import MOST_TIMES
from resqued.log import logger
from resqued.store.server_url import DEFAULT_URL
from resqued.wire.payload import MAX_PAYLOAD


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the file.

    `read` checks and converts a value, or raises ValueError; see readers. `meaning` is
    the comment in `resqued config example`. `example` is the value shown there, as
    TOML; if it is empty, the default is shown.
    """

    section: str
    key: str
    read: Callable[[Any], Any]
    default: Any
    meaning: str
    example: str = ""


FIELDS = (
    Field(
        "redis",
        "url",
        readers.url,
        DEFAULT_URL,
        "URL of the server: redis://, rediss:// (TLS) or unix://; with +sentinel or"
        " +cluster, of several",
    ),
    Field(
        "redis",
        "namespace",
        readers.namespace,
        "resque",
        "prefix of every key in Redis",
    ),
    Field(
        "redis",
        "timeout",
        readers.positive,
        3.0,
        "time-out of a connection or a command",
        '"3s"',
    ),
    Field(
        "redis",
        "min_replicas",
        readers.whole(0, 100),
        0,
        "replicas that must have a job's record before it begins; 0: none",
    ),
    Field(
        "app",
        "import",
        readers.modules,
        (),
        "modules that declare jobs, imported once",
        '["myapp.jobs"]',
    ),
    Field(
        "app",
        "directory",
        readers.text,
        "",
        "directory of the application, entered at each reload",
        '"/srv/myapp/current"',
    ),
    Field(
        "app",
        "environment",
        readers.text,
        "",
        "file of NAME=value lines, read again at each reload",
        '"/etc/myapp/environment"',
    ),
    Field(
        "worker",
        "interval",
        readers.duration,
        5.0,
        "time between polls; 0: exit when the queues are empty",
        '"5s"',
    ),
    Field(
        "worker",
        "heartbeat",
        readers.positive,
        60.0,
        "time between two heartbeats of a worker",
        '"60s"',
    ),
    Field(
        "worker",
        "exit_grace",
        readers.positive,
        5.0,
        "time that a child may take to exit after its job",
        '"5s"',
    ),
    Field(
        "worker",
        "orphan_grace",
        readers.duration,
        3.0,
        "time that a job may run after its master has died",
        '"3s"',
    ),
    Field(
        "worker",
        "settle_grace",
        readers.duration,
        5.0,
        "time that a terminating worker waits for Redis to return",
        '"5s"',
    ),
    Field(
        "worker",
        "stop_timeout",
        readers.long_duration,
        0.0,
        "time after which QUIT acts like TERM; 0: jobs take as long as they take",
        '"10m"',
    ),
    Field(
        "worker",
        "graceful_term",
        readers.flag,
        False,
        "SIGTERM acts like SIGQUIT: running jobs finish",
        "false",
    ),
    Field(
        "worker",
        "hostname",
        readers.text,
        "",
        "host name in worker ids; empty: the name of the machine",
    ),
    Field(
        "worker",
        "jobs_per_child",
        readers.whole(1, 10**9),
        1,
        "replace a child after this many jobs",
    ),
    Field(
        "worker",
        "max_jobs",
        readers.whole(0, 10**12),
        0,
        "replace a worker after this many jobs; 0: never",
    ),
    Field(
        "worker",
        "max_age",
        readers.long_duration,
        0.0,
        "replace a worker after this time; 0: never",
        '"12h"',
    ),
    Field(
        "worker",
        "max_payload",
        readers.payload_size,
        MAX_PAYLOAD,
        "maximum size of a payload; a longer one is refused, or fails",
        '"16M"',
    ),
    Field(
        "worker",
        "leftovers",
        readers.choice(("kill", "leave")),
        "kill",
        "processes that a job leaves behind: kill or leave",
    ),
    Field(
        "worker",
        "nice",
        readers.whole(0, 19),
        5,
        "added to the nice value for children and their jobs, 0 to 19",
    ),
    Field(
        "worker",
        "open_files",
        readers.whole(-1, 2**31),
        -1,
        "maximum number of open files per child; -1: unchanged",
    ),
    Field(
        "worker",
        "core_size",
        readers.core_size,
        -1,
        "maximum size of a core file in bytes; -1: unchanged",
    ),
    Field(
        "limits",
        "runtime",
        readers.long_duration,
        0.0,
        "maximum run time of a job; 0: unlimited",
        '"15m"',
    ),
    Field(
        "limits",
        "memory",
        readers.size,
        0,
        "maximum private memory of a job; 0: unlimited",
        '"512M"',
    ),
    Field(
        "limits",
        "max_runtime",
        readers.long_duration,
        0.0,
        "maximum run time that a payload may ask for; 0: any",
        '"4h"',
    ),
    Field(
        "limits",
        "max_memory",
        readers.size,
        0,
        "maximum memory that a payload may ask for; 0: any",
        '"4G"',
    ),
    Field(
        "limits",
        "grace",
        readers.duration,
        4.0,
        "time between SIGTERM and SIGKILL for a job",
        '"4s"',
    ),
    Field(
        "retry",
        "times",
        readers.whole(0, MOST_TIMES),
        0,
        "how often a failed job is tried again that declares no retry; 0: never",
    ),
    Field(
        "retry",
        "delay",
        readers.long_duration,
        10.0,
        "time between the first attempt of a job and the second; 0: at once",
        '"10s"',
    ),
    Field(
        "retry",
        "factor",
        readers.number(0.001, 1000),
        2.0,
        "by what each further delay is longer than the one before",
        "2.0",
    ),
    Field(
        "retry",
        "jitter",
        readers.number(0, 1),
        0.1,
        "share of a delay by which it is longer or shorter by chance, 0 to 1",
        "0.1",
    ),
    Field(
        "retry",
        "max_delay",
        readers.long_duration,
        86_400.0,
        "longest delay between two attempts",
        '"1d"',
    ),
    Field(
        "retry",
        "on",
        readers.exceptions,
        ("Exception",),
        "exceptions after which a job is tried again, with those derived from them",
        '["Exception"]',
    ),
    Field(
        "retry",
        "unless",
        readers.exceptions,
        (),
        "exceptions after which it is not, although `on` has them",
        '["ValueError"]',
    ),
    Field(
        "retry",
        "within",
        readers.long_duration,
        0.0,
        "time from the first attempt in which the next must be due; 0: any",
        '"1h"',
    ),
    Field(
        "retry",
        "record",
        readers.choice(("last", "all")),
        "last",
        "attempts that go to the failed list: last or all",
    ),
    Field(
        "reload",
        "start_timeout",
        readers.positive,
        60.0,
        "maximum time for importing the application",
        '"60s"',
    ),
    Field(
        "reload",
        "canary_jobs",
        readers.whole(0, 10**9),
        0,
        "jobs that one worker runs first after a reload; 0: none",
    ),
    Field(
        "scheduler",
        "dynamic",
        readers.flag,
        False,
        "enqueue the recurring jobs that resque-scheduler keeps in Redis too",
        "false",
    ),
    Field(
        "control",
        "directory",
        readers.text,
        "",
        "directory of the control socket",
        '"/run/resqued"',
    ),
    Field(
        "daemon",
        "pid_file",
        readers.text,
        "",
        "file that the master locks",
        '"/run/mine.pid"',
    ),
    Field(
        "daemon",
        "user",
        readers.text,
        "",
        "user to run as, if started as root",
        '"resqued"',
    ),
    Field(
        "daemon",
        "group",
        readers.text,
        "",
        "group to run as; empty: the group of the user",
        '"resqued"',
    ),
    Field(
        "daemon",
        "umask",
        readers.mask,
        "022",
        "permissions that new files do not get, in octal",
        '"022"',
    ),
    Field(
        "log",
        "level",
        readers.choice(tuple(logger.LEVELS)),
        "info",
        f"lowest level that is logged: {', '.join(logger.LEVELS)}",
    ),
    Field(
        "log",
        "format",
        readers.choice(logger.FORMATS),
        "auto",
        f"format of the log: {', '.join(logger.FORMATS)}",
    ),
    Field(
        "log",
        "events",
        readers.event_levels,
        {},
        "level of single events, or off",
        '{ job_performed = "off" }',
    ),
    Field(
        "log",
        "file",
        readers.text,
        "",
        "log file, instead of standard error",
        '"/var/log/mine.log"',
    ),
    Field(
        "log",
        "redact",
        readers.names,
        ("password", "passwd", "secret", "token", "api_key", "authorization"),
        "names of arguments that no log shows",
        '["password", "passwd", "secret", "token", "api_key", "authorization"]',
    ),
)
BY_NAME = {(field.section, field.key): field for field in FIELDS}
# The keys that may also be set for a class of jobs and for a queue.
RETRIES = {
    key: field
    for (section, key), field in BY_NAME.items()
    if section == "retry" and key != "record"
}
# These for a pool too.
LIMITS = {key: BY_NAME["limits", key] for key in Limits._fields}
SECTIONS = tuple(dict.fromkeys(field.section for field in FIELDS))
