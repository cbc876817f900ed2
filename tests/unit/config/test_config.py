"""The configuration: layers made one, and everything wrong told at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from resqued.config import loader
from resqued.config.environment import read_environment
from resqued.config.schema import FIELDS
from resqued.config.settings import AppSettings
from resqued.core.limits import Limits, Rules
from resqued.errors import ConfigError


def problems(tables: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loader.build(tables)
    return caught.value.problems


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "resqued.toml"
    path.write_text(text, "utf-8")
    return path


def test_nothing_given_means_the_defaults():
    built = loader.build({})
    assert built.pools == ()
    assert built.workers == 0
    assert built.interval == 5.0
    assert (built.log_level, built.log_format) == ("info", "auto")
    secret = ("password", "passwd", "secret", "token", "api_key", "authorization")
    assert built.app == AppSettings(url="redis://localhost:6379/0", redact=secret)


def test_every_value_arrives_where_it_is_used():
    built = loader.build(
        {
            "redis": {"url": "unix:///run/x", "namespace": "a:b", "timeout": "250ms"},
            "app": {
                "import": ["myapp.jobs", "other"],
                "directory": "/srv/current",
                "environment": "/etc/env",
            },
            "worker": {
                "jobs_per_child": 7,
                "max_jobs": 1000,
                "max_age": "12h",
                "max_payload": "4M",
                "leftovers": "leave",
                "nice": 5,
                "open_files": 256,
                "core_size": "1M",
                "interval": "2m",
                "heartbeat": 30,
                "exit_grace": 1.5,
                "orphan_grace": 0,
                "settle_grace": "0s",
                "graceful_term": True,
                "hostname": "web1",
            },
            "limits": {
                "grace": "1h",
                "runtime": "15m",
                "memory": "512M",
                "max_runtime": "4h",
                "max_memory": "4G",
                "queue": {"archive": {"runtime": "2h"}},
                "class": {"Thumbnail": {"memory": 0}},
            },
            "reload": {"start_timeout": "5m", "canary_jobs": 20},
            "control": {"directory": "/run/here"},
            "log": {
                "level": "debug",
                "format": "json",
                "events": {"job_performed": "off"},
                "redact": ["pin"],
            },
            "pool": [
                {"queues": "critical,high", "workers": 4, "memory": "1G"},
                {"queues": "*,!slow", "namespace": "{mail}"},
            ],
        },
        burst=True,
    )
    assert built == loader.Config(
        pools=(
            loader.PoolConfig("critical,high", 4, Limits(None, 1 << 30), "a:b"),
            loader.PoolConfig("*,!slow", 1, namespace="{mail}"),
        ),
        app=AppSettings(
            url="unix:///run/x",
            namespace="a:b",
            modules=("myapp.jobs", "other"),
            redact=("pin",),
            names_namespace=True,
            directory="/srv/current",
            jobs_per_child=7,
            max_jobs=1000,
            max_age=43_200.0,
            max_payload=4 << 20,
            leftovers="leave",
            nice=5,
            open_files=256,
            core_size=1 << 20,
            rules=Rules(
                Limits(900.0, 512 << 20),
                {"archive": Limits(7200.0, None)},
                {"Thumbnail": Limits(None, 0)},
                Limits(14_400.0, 4 << 30),
            ),
            burst=True,
            graceful_term=True,
            heartbeat=30.0,
            grace=3600.0,
            exit_grace=1.5,
            orphan_grace=0.0,
            settle_grace=0.0,
            redis_timeout=0.25,
            hostname="web1",
        ),
        interval=120.0,
        log_level="debug",
        log_format="json",
        log_events={"job_performed": "off"},
        start_timeout=300.0,
        canary_jobs=20,
        environment="/etc/env",
        control="/run/here",
    )
    assert built.workers == 5


@pytest.mark.parametrize("interval", [0, 0.0, "0", "0s", "0ms"])
def test_an_interval_of_nothing_is_burst_mode(interval):
    built = loader.build({"worker": {"interval": interval}})
    assert built.app.burst
    assert built.interval == 5.0


@pytest.mark.parametrize(
    ("section", "key", "value", "problem"),
    [
        ("redis", "url", 5, "5 must be a string, in quotes"),
        (
            "redis",
            "url",
            "redis://[::1",
            (
                "redis url 'redis://***' cannot be read: in a password write / as %2F,"
                " # as %23, ? as %3F, @ as %40, : as %3A, [ as %5B; a port is a number"
            ),
        ),
        (
            "redis",
            "url",
            "http://:secret@h",
            (
                "redis url 'http://:***@h' must begin with redis://, rediss://, unix://,"
                " redis+sentinel:// or redis+cluster://"
            ),
        ),
        (
            "redis",
            "url",
            "redis://h:port",
            (
                "redis url 'redis://h:***' cannot be read: in a password write / as"
                " %2F, # as %23, ? as %3F, @ as %40, : as %3A, [ as %5B; a port is a"
                " number"
            ),
        ),
        ("redis", "namespace", "", "must not be empty; the default is 'resque'"),
        ("redis", "timeout", 0, "0 must be more than 0"),
        ("redis", "timeout", "5x", "'5x' is not a duration such as 90, 4s, 15m or 2h"),
        ("redis", "timeout", True, "True is not a duration such as 90, 4s, 15m or 2h"),
        ("worker", "interval", -1, "-1 is negative"),
        (
            "worker",
            "heartbeat",
            float("nan"),
            "nan is not a duration such as 90, 4s, 15m or 2h",
        ),
        (
            "worker",
            "heartbeat",
            float("inf"),
            "inf is not a duration such as 90, 4s, 15m or 2h",
        ),
        ("worker", "heartbeat", "8d", "'8d' must be at most 7d"),
        ("app", "import", 1, "1 must be a list of names, as in ['myapp.jobs']"),
        (
            "app",
            "import",
            ["a", "b-c"],
            "'b-c' is not the name of a module, such as myapp.jobs",
        ),
        (
            "app",
            "import",
            "photos.py",
            "'photos.py' is a file: name its module, photos",
        ),
        ("app", "import", ["./a/b.py"], "'./a/b.py' is a file: name its module, a.b"),
        ("worker", "graceful_term", "yes", "'yes' must be true or false"),
        (
            "log",
            "level",
            "loud",
            "'loud' must be one of debug, info, warning, error",
        ),
        (
            "log",
            "level",
            ["info"],
            "['info'] must be one of debug, info, warning, error",
        ),
    ],
)
def test_a_problem_names_the_key_and_the_value(section, key, value, problem):
    assert problems({section: {key: value}}) == (f"[{section}] {key}: {problem}",)


def test_a_number_too_large_for_a_float_is_too_long():
    (problem,) = problems({"worker": {"heartbeat": 10**400}})
    assert problem.endswith("is not a duration such as 90, 4s, 15m or 2h")


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"reds": {}}, "unknown section [reds] (did you mean 'redis'?)"),
        ({"pools": [{}]}, "unknown section [pools] (did you mean 'pool'?)"),
        ({"zzz": {}}, "unknown section [zzz]"),
        ({"redis": {"ulr": ""}}, "[redis]: unknown key 'ulr' (did you mean 'url'?)"),
        ({"redis": {"zzz": ""}}, "[redis]: unknown key 'zzz'"),
        (
            {"log": {"events": {"job_preformed": "off"}}},
            (
                "[log] events: there is no event 'job_preformed'"
                " (did you mean 'job_performed'?)"
            ),
        ),
        (
            {"log": {"events": {"job_failed": "loud"}}},
            (
                "[log] events: job_failed = 'loud' must be one of"
                " debug, info, warning, error, off"
            ),
        ),
        (
            {"log": {"events": {"job_failed": ["off"], "no": 1}}},
            (
                "[log] events: there is no event 'no';"
                " job_failed = ['off'] must be one of debug, info, warning, error, off;"
                " no = 1 must be one of debug, info, warning, error, off"
            ),
        ),
        (
            {"log": {"events": "job_performed"}},
            (
                "[log] events: 'job_performed' must be a table of events,"
                ' as in { job_performed = "off" }'
            ),
        ),
        ({"redis": 3}, "redis must be a section, written as [redis]"),
        ({"url": "x"}, "key 'url' is in no section: write it under [redis]"),
        (
            {"x": 1},
            (
                "key 'x' is in no section: write it under"
                " [redis] or [app] or [worker] or [limits] or [retry] or [reload] or"
                " [scheduler] or [failure] or [history] or [control] or [daemon]"
                " or [log] or [web]"
            ),
        ),
        (
            {"pool": {"queues": "a"}},
            "pool must be written as [[pool]], once for each pool",
        ),
        (
            {"web": {"hosts": ["https://jobs.example.org:8443/"]}},
            (
                "[web] hosts: 'https://jobs.example.org:8443/' must be a name alone,"
                " without scheme and port: jobs.example.org"
            ),
        ),
        (
            {"web": {"hosts": ["jobs.example.org:8443"]}},
            (
                "[web] hosts: 'jobs.example.org:8443' must be a name alone,"
                " without scheme and port: jobs.example.org"
            ),
        ),
        (
            {"web": {"hosts": ["jobs example"]}},
            "[web] hosts: 'jobs example' must be a name alone",
        ),
        (
            {"web": {"trusted_proxies": ["proxy1"]}},
            (
                "[web] trusted_proxies: 'proxy1' is no address of a proxy: it must be"
                " one such as 10.0.0.1, or a network such as 10.0.0.0/8"
            ),
        ),
        ({"pool": [1]}, "pool must be written as [[pool]], once for each pool"),
        (
            {"pool": [{"queues": "a"}, {"queues": "b", "worker": 1}]},
            "[[pool]] 2: unknown key 'worker' (did you mean 'workers'?)",
        ),
        (
            {"pool": [{"queues": "a", "workers": 0}]},
            "[[pool]] 1 workers: 0 must be a whole number from 1 to 10000",
        ),
        (
            {"pool": [{"queues": "a", "workers": True}]},
            "[[pool]] 1 workers: True must be a whole number from 1 to 10000",
        ),
        (
            {"pool": [{"queues": ["a"]}]},
            "[[pool]] 1 queues: ['a'] must be a string, in quotes",
        ),
        (
            {"pool": [{"queues": "!a"}]},
            (
                "[[pool]] 1 queues: queue list '!a' names no queue:"
                " give names or patterns, such as 'critical,high' or '*,!low'"
            ),
        ),
    ],
)
def test_what_does_not_belong_there_is_told_with_what_was_meant(tables, problem):
    assert problems(tables) == (problem,)


@pytest.mark.parametrize(
    ("given", "pools"),
    [
        ({"pool": [{"queues": "a"}]}, [("a", "resque")]),
        (
            {"redis": {"namespace": "shop"}, "pool": [{"queues": "a"}]},
            [("a", "shop")],
        ),
        # One list in two namespaces is two pools.
        (
            {"pool": [{"queues": "a"}, {"queues": "a", "namespace": "{mail}"}]},
            [("a", "resque"), ("a", "{mail}")],
        ),
        # Only the name of the default is no namespace of its own.
        (
            {
                "redis": {"namespace": "shop"},
                "pool": [{"queues": "a"}, {"queues": "b", "namespace": "shop"}],
            },
            [("a", "shop"), ("b", "shop")],
        ),
    ],
)
def test_a_pool_is_in_its_namespace_or_in_that_of_redis(given, pools):
    built = loader.build(given)
    assert [tuple(pool.key) for pool in built.pools] == pools
    assert built.namespaces == tuple(dict.fromkeys(name for _, name in pools))
    assert built.app.names_namespace is (len(built.namespaces) > 1)


@pytest.mark.parametrize(
    ("pool", "problem"),
    [
        (
            {"queues": "b", "namespace": ""},
            "[[pool]] 2 namespace: must not be empty; the default is 'resque'",
        ),
        (
            {"queues": "b", "namespace": 5},
            "[[pool]] 2 namespace: 5 must be a string, in quotes",
        ),
        (
            {"queues": "a", "namespace": "resque"},
            (
                "[[pool]] 2 queues: 'a' is the list of another pool, too:"
                " merge the two pools"
            ),
        ),
        (
            {"queues": "b", "namespaces": "x"},
            "[[pool]] 2: unknown key 'namespaces' (did you mean 'namespace'?)",
        ),
    ],
)
def test_a_namespace_of_a_pool_that_cannot_be_one_is_told(pool, problem):
    assert problems({"pool": [{"queues": "a"}, pool]}) == (problem,)


def test_all_problems_are_told_at_once():
    found = problems(
        {
            "redis": {"url": 1, "zzz": 2},
            "limits": {"grace": "x"},
            "pool": [{"queues": "", "workers": -1}],
            "top": 1,
        }
    )
    assert len(found) == 6


def test_of_several_layers_the_later_wins_key_by_key():
    lower = {"redis": {"url": "a", "namespace": "n"}, "pool": [{"queues": "a"}]}
    upper = {"redis": {"url": "b"}, "pool": [{"queues": "b"}]}
    assert loader.merge(lower, {}, upper) == {
        "redis": {"url": "b", "namespace": "n"},
        "pool": [{"queues": "b"}],
    }
    assert lower["redis"] == {"url": "a", "namespace": "n"}


def test_a_layer_of_the_wrong_shape_is_kept_to_be_told_of():
    assert loader.merge({"redis": 3}, {"redis": {"url": "x"}}) == {
        "redis": {"url": "x"}
    }
    assert loader.merge({"redis": {"url": "x"}}, {"redis": 3}) == {"redis": 3}


@pytest.mark.parametrize(
    ("environ", "tables"),
    [
        ({}, {}),
        ({"REDIS_URL": "redis://a"}, {"redis": {"url": "redis://a"}}),
        (
            {"REDIS_URL": "redis://a", "RESQUED_REDIS_URL": "redis://b"},
            {"redis": {"url": "redis://b"}},
        ),
        ({"REDIS_URL": ""}, {}),
        ({"RESQUED_NAMESPACE": "n"}, {"redis": {"namespace": "n"}}),
        ({"RESQUED_APP": "a.b, c"}, {"app": {"import": "a.b, c"}}),
        ({"GRACEFUL_TERM": "1"}, {"worker": {"graceful_term": True}}),
        ({"RESQUED_GRACEFUL_TERM": "no"}, {"worker": {"graceful_term": False}}),
        ({"RESQUE_TERM_TIMEOUT": "2.5"}, {"limits": {"grace": "2.5"}}),
        ({"VERBOSE": "1"}, {"log": {"level": "info"}}),
        ({"LOGGING": "1"}, {"log": {"level": "info"}}),
        ({"VVERBOSE": "1"}, {"log": {"level": "debug"}}),
        ({"VERBOSE": "1", "VVERBOSE": "1"}, {"log": {"level": "debug"}}),
        ({"VVERBOSE": "0", "VERBOSE": "true"}, {"log": {"level": "info"}}),
        ({"VERBOSE": "", "VVERBOSE": "off"}, {}),
        (
            {"VVERBOSE": "1", "RESQUED_LOG_LEVEL": "error"},
            {"log": {"level": "error"}},
        ),
        ({"RESQUED_LOG_FORMAT": "json"}, {"log": {"format": "json"}}),
        # Read by `resqued work`, whose they are.
        ({"QUEUE": "a", "QUEUES": "b", "COUNT": "x", "INTERVAL": "y"}, {}),
    ],
)
def test_what_the_environment_says(environ, tables):
    assert loader.from_environment(environ) == tables
    loader.build(loader.from_environment(environ))


def test_modules_in_a_variable_are_parted_by_commas():
    tables = loader.from_environment({"RESQUED_APP": "a.b, c"})
    assert loader.build(tables).app.modules == ("a.b", "c")


def test_a_problem_in_the_environment_names_the_variable():
    with pytest.raises(ConfigError) as caught:
        loader.from_environment({"REDIS_URL": "x", "RESQUED_LOG_LEVEL": "loud"})
    assert caught.value.problems == (
        (
            "REDIS_URL: redis url '***' must begin with redis://, rediss://, unix://,"
            " redis+sentinel:// or redis+cluster://"
        ),
        "RESQUED_LOG_LEVEL: 'loud' must be one of debug, info, warning, error",
    )


def test_the_example_is_a_configuration_with_the_defaults(tmp_path):
    tables = loader.read_file(write(tmp_path, loader.example()))
    built = loader.build(tables)
    assert built.pools == (loader.PoolConfig("critical,high", 4),)
    assert built.app == loader.build({}).app
    assert built.interval == loader.build({}).interval


def test_the_example_has_every_key_with_a_meaning():
    # Behind the sections of FIELDS come samples of narrower limits, and pools.
    text = loader.example().partition("# Limits of one queue")[0]
    for field in FIELDS:
        _, _, rest = text.partition(f"[{field.section}]\n")
        (line,) = [
            line
            for line in rest.partition("\n[")[0].splitlines()
            if line.removeprefix("# ").startswith(f"{field.key} = ")
        ]
        assert line.endswith(field.meaning)
        shown = tomllib.loads(line.removeprefix("# "))[field.key]
        field.read(shown)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        loader.load(tmp_path / "nope.toml")
    assert (
        str(caught.value) == f"configuration file {tmp_path}/nope.toml does not exist"
    )


def test_a_file_that_cannot_be_read_is_told_why(tmp_path):
    with pytest.raises(ConfigError) as caught:
        loader.load(tmp_path)
    assert str(caught.value) == (
        f"configuration file {tmp_path} cannot be read: Is a directory"
    )


def test_a_file_in_another_encoding_is_told_where(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(b'[redis]\nurl = "\xe9"\n')
    with pytest.raises(ConfigError) as caught:
        loader.load(path)
    assert "is not UTF-8: " in str(caught.value)
    assert str(caught.value).endswith("at byte 15")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[redis]\n\nurl = redis\n", "line 3"),
        ("[redis\n", "line 1"),
        ('[redis]\nurl = "x', "line 2"),
        ('[redis]\nurl = """x\n\n', "line 3"),
        ("[redis]\nurl = 'a'\nurl = 'b'\n", "line 3"),
    ],
)
def test_malformed_toml_is_told_with_its_line(tmp_path, text, place):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        loader.load(path)
    assert str(path) in str(caught.value)
    assert place in str(caught.value)


def test_problems_of_a_file_name_the_file(tmp_path):
    path = write(tmp_path, "[redis]\nurl = 1\n[reds]\n")
    with pytest.raises(ConfigError) as caught:
        loader.read_file(path)
    assert caught.value.problems == (
        f"{path}: [redis] url: 1 must be a string, in quotes",
        f"{path}: unknown section [reds] (did you mean 'redis'?)",
    )


def test_the_file_named_wins_over_the_variable():
    environ = {"RESQUED_CONFIG": "/b"}
    assert loader.file_in_use("/a", environ) == Path("/a")
    assert loader.file_in_use(None, environ) == Path("/b")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hooks.example/services/hunter2", "https://hooks.example/***"),
        ("https://me:hunter2@hooks.example:8443", "https://***@hooks.example:8443"),
        ("http://hooks.example", "http://hooks.example"),
        ("https://h?token=hunter2", "https://h/***"),
    ],
)
def test_the_address_of_a_webhook_is_shown_without_what_may_be_a_secret(address, shown):
    found = loader.effective({"failure": {"webhook_url": address}})
    assert found["failure"]["webhook_url"] == shown
    assert loader.effective(found)["failure"]["webhook_url"] == shown


def test_a_webhook_needs_its_address():
    with pytest.raises(
        ConfigError, match=r"\[failure\] webhook_url: missing: the back"
    ):
        loader.effective({"failure": {"backends": ["redis", "webhook"]}})


@pytest.mark.parametrize(
    "tables",
    [
        {"redis": {"url": ["redis://:hunter2@h"]}},
        {"redis": {"url": "redis://:hunter2\0@h"}},
        {"failure": {"webhook_url": ["https://h/hunter2"]}},
        {"failure": {"webhook_url": "https://u:hunter2@h:port/"}},
        {"failure": {"webhook_url": "https://h/hunter2 x"}},
        {"failure": {"webhook_url": "https:///hunter2"}},
        {"web": {"tokens": ["hunter2"]}},
        {"web": {"users": {"admin": "hunter2"}}},
    ],
)
def test_what_is_wrong_with_an_address_is_said_without_its_value(tables):
    with pytest.raises(ConfigError) as caught:
        loader.effective(tables)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://h:0/", "http://h:65536/", "http://h:a/"])
def test_a_wrong_port_of_a_webhook_is_named_as_such(address):
    with pytest.raises(ConfigError, match="must have a port from 1 to 65535"):
        loader.effective({"failure": {"webhook_url": address}})


def test_what_holds_is_shown_with_every_key_and_without_the_password():
    tables = {
        "redis": {"url": "redis://me:secret@h/2"},
        "app": {"import": ["a"]},
        "pool": [{"queues": "a"}],
    }
    shown = loader.effective(tables)
    assert shown["redis"]["url"] == "redis://me:***@h/2"
    assert shown["app"] == {"import": ["a"], "directory": "", "environment": ""}
    assert shown["pool"] == [{"queues": "a", "workers": 1, "namespace": "resque"}]
    assert {
        (section, key)
        for section, values in shown.items()
        if section != "pool"
        for key in values
    } == {(field.section, field.key) for field in FIELDS}
    loader.build(shown)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("my-key=hunter2", "no variable name before =: write NAME=value"),
        ("aHV/dGVyMg==", "no variable name before =: write NAME=value"),
        ("hunter2", "there is no =: write NAME=value"),
    ],
)
def test_a_wrong_line_of_an_environment_file_is_named_without_its_value(
    tmp_path, line, problem
):
    path = tmp_path / "environment"
    path.write_text(f"# comment\nA='1'\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_environment(str(path))
    assert str(caught.value) == f"environment file {path}, line 3: {problem}"


def test_an_environment_file_may_have_comments_and_quotes(tmp_path):
    path = tmp_path / "environment"
    path.write_text("; comment\n\nA='1 2'\nB=x=y\n")
    assert read_environment(str(path)) == {"A": "1 2", "B": "x=y"}


def test_a_file_that_is_nested_too_deeply_is_one_clear_line(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text(f"[app]\nimport = {'[' * 5000}{']' * 5000}\n")
    with pytest.raises(ConfigError, match=r"deep\.toml: arrays and tables are nested"):
        loader.load(path)


@pytest.mark.parametrize("key", ["control.directory", "log.file", "app.directory"])
def test_a_path_contains_no_nul(key, tmp_path):
    table, _, name = key.partition(".")
    path = tmp_path / "nul.toml"
    path.write_text(f'[{table}]\n{name} = "/run/a\\u0000b"\n')
    with pytest.raises(ConfigError, match="must not contain a NUL character"):
        loader.read_file(path)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("ftp://hooks.example.com/", "must begin with http"),
        ("https://", "must name a host"),
        ("https:///key", "must name a host"),
        ("https://user:key@", "must name a host"),
        ("https://hooks.example.com:port/key", "must have a port"),
        ("https://hooks.example.com:99999/key", "must have a port"),
        ("https://hooks.example.com/a key", "must have no blanks"),
        ("https://hooks.example.com/\nkey", "must have no blanks"),
        ("https://hooks.example.com/kéy", "must have no blanks and only ASCII"),
    ],
)
def test_an_address_that_no_request_can_have_is_refused_without_showing_it(
    address: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        loader.build({"failure": {"webhook_url": address}})
    assert "key" not in str(caught.value).replace("unknown key", "")
