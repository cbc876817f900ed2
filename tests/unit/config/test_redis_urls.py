"""URLs of Redis: read strictly, and never shown with a part of the password."""

from __future__ import annotations

import pytest

from resqued.config import loader
from resqued.errors import ConfigError
from resqued.store.redis_client import connect
from resqued.store.server_url import check_url, read_url, redact

SECRET = "S3cr"
MALFORMED = [
    "redis://:S3cr/et9@h:6379/0",
    "redis://:S3cr#et9@h:6379/0",
    "redis://:S3cr?et9@h:6379/0",
    "redis://user:S3cr/et9@h:6379/0",
    '"redis://:S3cret9@h:6379/0"',
    "'redis://:S3cret9@h:6379/0'",
    ":S3cret9@h:6379",
    "S3cret9@h",
    "S3cret9",
    "redis:/:S3cret9@h",
    "redis://:S3cr[et9@h:6379/0",
    "redis://h:S3cret9@/x",
    "unix://:S3cret9@[",
    "redis://:S3cret9@h:port/0",
    "redis://:S3cret9@h/0?pass=S3cret9&nope=1",
    "redis://h/prod?Password=S3cret9",
    "redis://h/0?nope=1&password=S3cret9",
    "redis://127.0.0.1:1/0#S3cret9",
    "redis://h#S3cret9",
    "unix:///run/redis.sock#S3cret9",
    "redis://h/0?db=0#S3cret9",
    "redis://h/0;password=S3cret9",
    "redis://h;password=S3cret9",
    "redis://h/0?db=0;password=S3cret9",
    "redis://h/0?client_name=a;password=S3cret9",
    "redis://h/S3cret9",
    "redis://h/0/S3cret9",
    "redis://:S3cret9",
    "redis://:S3cr/et9",
    "redis://user:S3cret9/0",
    "redis://h/0?p%61ssword=S3cret9&nope=1",
    "redis://h/0?db=x&S3cret9",
    "redis://:S3cret9@h/0?password=other",
    "redis://:other@h/0?password=S3cret9",
    "redis+sentinel://:S3cr/et9@h1,h2/jobs/0",
    "redis+sentinel://:S3cret9@h1,h2/jobs/x",
    "redis+sentinel://:S3cret9@h1,h2",
    "redis+sentinel://:S3cret9",
    "redis+sentinel://:S3cr/et9",
    "redis+sentinel://h1,u:S3cret9/jobs",
    "redis+sentinel://h1,:S3cret9@h2:x/jobs",
    "redis+sentinel://h/jobs/0?sentinel_password=S3cret9&nope=1",
    "redis+sentinel://h/jobs/0?sentinel_passwort=S3cret9",
    "redis+cluster://:S3cret9@h1,h2/3",
    "redis+cluster://:S3cret9@h1,,h2",
    "redis+cluster://:S3cr/et9@h1,h2",
    "redis+cluster://h1/S3cret9",
    "redis+other://:S3cret9@h",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_no_part_of_a_password_is_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connect(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in redact(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:p%40@h/1", "redis://:***@h/1"),
        (
            "rediss://u:p@h:1/2?ssl_password=p&a=b",
            "rediss://u:***@h:1/2?ssl_password=***&a=b",
        ),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("unix://u:p@/run/redis.sock", "unix://u:***@/run/redis.sock"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://h_1.example:1/12", "redis://h_1.example:1/12"),
        ("redis://:p%23q%3B@h", "redis://:***@h"),
        ("redis://h?port=1&host=h&db=3", "redis://h?port=1&host=h&db=3"),
        ("redis://h:1/03?db=03", "redis://h:1/03?db=03"),
        ("redis://h/?db=3", "redis://h/?db=3"),
        ("redis://h/0?socket_timeout=0.5", "redis://h/0?socket_timeout=0.5"),
        ("redis://h/0?p%61ssword=p", "redis://h/0?p%61ssword=***"),
        ("rediss://h/0?ssl_ca_certs=/a/b", "rediss://h/0?ssl_ca_certs=/a/b"),
        ("redis+sentinel://h1:1,[::1]:2/jobs", "redis+sentinel://h1:1,[::1]:2/jobs"),
        (
            "rediss+sentinel://u:p@h1,h2/my.jobs-1/2?sentinel_password=q&a=b",
            "rediss+sentinel://u:***@h1,h2/my.jobs-1/2?sentinel_password=***&a=b",
        ),
        ("redis+cluster://:p@h1:1,h2", "redis+cluster://:***@h1:1,h2"),
        ("redis+cluster://h1:1,h2/0", "redis+cluster://h1:1,h2/0"),
    ],
)
def test_what_is_in_order_is_accepted_and_shown_without_its_password(
    url: str, shown: str
) -> None:
    check_url(url)
    assert redact(url) == shown


@pytest.mark.parametrize("path", ["/prod", "/0/prod", "/zero", "/-1", "/1.5", "/ 1"])
def test_a_path_that_is_no_number_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="not the number of a database"):
        check_url(f"redis://localhost:6379{path}")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://h/0#", "write # as %23"),
        ("redis://h/0?db=1;a=2", "write ; as %3B"),
        ("redis://h/0?db=3", "db is given twice, with two values"),
        ("redis://h/?db=3&db=4", "db is given twice"),
        ("unix:///s?db=3&db=4", "db is given twice"),
        ("redis://h/0?host=other", "host is given twice"),
        ("redis://h:1/0?port=2", "port is given twice"),
        ("unix:///s?path=/other", "path is given twice"),
        ("redis://u:p@h?username=other", "username is given twice"),
        ("redis://:p@h?password=other", "password is given twice"),
        ("redis://h?socket_timeout=0", "socket_timeout must be a number above 0"),
        ("redis://h?socket_timeout=-1", "socket_timeout must be a number above 0"),
        ("redis://h?socket_timeout=nan", "socket_timeout must be a number above 0"),
        ("redis://h?socket_timeout=inf", "socket_timeout must be a number above 0"),
        ("redis://h?socket_timeout=x", "socket_timeout must be a number above 0"),
        ("unix:///s?socket_connect_timeout=0", "must be a number above 0"),
        ("redis://h?socket_read_size=0", "socket_read_size must be a number above 0"),
    ],
)
def test_what_redis_py_would_take_for_something_else_is_refused(
    url: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_url(url)


@pytest.mark.parametrize("url", ["redis://a..b", f"redis://{64 * 'a'}.b:1", "unix://"])
def test_a_name_that_leads_nowhere_is_refused(url):
    with pytest.raises(ConfigError, match=r"between dots|names no socket"):
        connect(url)


@pytest.mark.parametrize(
    "option",
    ["decode_responses=true", "max_connections=1"]
    # Objects of Python, which redis-py would use as they are.
    + [f"{name}=1" for name in ("retry", "retry_on_error", "socket_type", "locator")],
)
def test_an_option_that_changes_what_replies_mean_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="cannot be set; leave it out"):
        check_url(f"redis://localhost/0?{option}")


def test_the_login_of_a_sentinel_is_another_than_that_of_the_servers() -> None:
    read = read_url(
        "rediss+sentinel://u:p%40@h1,[::1]:7,h3:9/jobs/2"
        "?sentinel_username=s&sentinel_password=q%2Fr&ssl_ca_certs=/ca&client_name=x"
    )
    assert read.plain == "rediss://u:p%40@h1/2?ssl_ca_certs=/ca&client_name=x"
    assert read.service == "jobs"
    assert read.sentinels == (
        "rediss://s:q%2Fr@h1:26379?ssl_ca_certs=/ca",
        "rediss://s:q%2Fr@[::1]:7?ssl_ca_certs=/ca",
        "rediss://s:q%2Fr@h3:9?ssl_ca_certs=/ca",
    )


def test_the_nodes_of_a_cluster_have_the_port_of_redis_by_default() -> None:
    read = read_url("redis+cluster://:p@h1,h2:7/0")
    assert (read.nodes, read.plain) == ((("h1", 6379), ("h2", 7)), "redis://:p@h1/0")
    assert read.is_cluster


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+sentinel://h1,h2", "it names no service: the path is the name"),
        ("redis+sentinel://h1,h2/", "it names no service"),
        ("redis+sentinel://h/jobs/prod", "not the number of a database"),
        ("redis+sentinel://h1,/jobs", "a host is missing beside a comma"),
        ("redis+sentinel://h1:x,h2/jobs", "a port is a number"),
        ("redis+cluster://h/1", "a cluster has no database but 0"),
        ("redis+cluster://h?db=1", "a cluster has no database but 0"),
        ("unix+sentinel:///run/s/jobs", "must begin with"),
        ("redis+sentinel://h/jobs?max_connections=1", "cannot be set"),
        ("redis+sentinel://h/jobs?nope=1", "nope"),
        ("redis://h1,h2/0", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_url_of_several_servers(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        connect(url)


def test_a_url_of_a_cluster_needs_a_namespace_in_braces() -> None:
    tables = {"redis": {"url": "redis+cluster://:S3cret9@h1,h2"}, "pool": [{}, {}]}
    tables["pool"][0] |= {"queues": "a", "namespace": "{mail}"}
    tables["pool"][1] |= {"queues": "b"}
    with pytest.raises(ConfigError) as caught:
        loader.build(tables)
    (line,) = str(caught.value).splitlines()
    assert "'resque' has keys in several slots" in line
    assert SECRET not in line
    tables["redis"]["namespace"] = "{resque}"
    assert loader.build(tables).namespaces == ("{mail}", "{resque}")
