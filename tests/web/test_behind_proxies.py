"""What proxies, load balancers and scrapers send, and browsers of every age."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import redis as redis_py

from resqued.config.web_settings import hosts
from resqued.web.proxies import client_of
from resqued.web.users import hash_token
from tests.support.pages import PASSWORD, SAME_ORIGIN, Open, Pages

HEALTH = ("/healthz", "/readyz")


@pytest.fixture
def behind(open_pages: Open) -> Pages:
    roles = {"operator": ("Künstler",), "viewer": ("*",)}
    return open_pages(auth="proxy", trusted_proxies=("127.0.0.1",), roles=roles)


# Health and metrics


@pytest.mark.parametrize("host", ["10.0.0.7:5678", "[2001:db8::7]:5678", "any.name"])
def test_load_balancers_ask_for_the_health_by_any_name(
    guarded: Pages, host: str
) -> None:
    for path in HEALTH:
        guarded.get(path, headers={"Host": host})
    guarded.get("/queues", 400, headers={"Host": host})


def test_a_broken_file_of_users_ends_no_process_that_answers(
    open_pages: Open, users: Path
) -> None:
    pages = open_pages(auth="password", users=str(users), metrics="open")
    users.write_text("anna:boss:x\n")
    pages.get("/queues", 503)
    for path in (*HEALTH, "/metrics"):
        pages.get(path)


def test_prometheus_asks_each_pod_by_its_address(open_pages: Open) -> None:
    by_address = {"Host": "10.0.0.7:5678"}
    tokens = {"prom": f"metrics:{hash_token('t')}"}
    closed = open_pages(auth="proxy", tokens=tokens)
    closed.get("/metrics", 401, headers=by_address)
    closed.get("/metrics", headers={**by_address, "Authorization": "Bearer t"})
    is_open = open_pages(auth="proxy", metrics="open")
    is_open.get("/metrics", headers=by_address)
    # The name may be one of another site, bound to this address.
    is_open.get("/metrics", 400, headers={"Host": "evil.example"})
    is_open.get("/queues", 400, headers=by_address)


# Proxies that say who it is


def test_a_token_that_a_proxy_passes_on_is_none_of_ours(behind: Pages) -> None:
    passed_on = {"Authorization": "Bearer eyJhbGciOi", "X-Remote-User": "anna"}
    assert "role viewer" in behind.get("/queues", headers=passed_on).text
    form = {"text": "x"}
    for headers, status in ((passed_on, 403), (passed_on | SAME_ORIGIN, 303)):
        found = behind.client.post("/failed/search", data=form, headers=headers)
        assert found.status_code == status
    no_user = {"Authorization": "Bearer eyJhbGciOi"}
    behind.get("/queues", 401, headers=no_user)


def test_names_and_groups_of_a_proxy_are_in_utf8(behind: Pages) -> None:
    sent = {
        "X-Remote-User": "André".encode().decode("latin-1"),
        "X-Remote-Groups": "x, Künstler".encode().decode("latin-1"),
    }
    text = behind.get("/queues", headers=sent).text
    assert "André (operator)" in text
    assert (
        "Jörn (viewer)"
        in behind.get("/queues", headers={"X-Remote-User": "J\xf6rn"}).text
    )


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:50123", "198.51.100.7"),
        ("[2001:db8::7]:50123", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("invented, 198.51.100.7, 10.0.0.2, 127.0.0.1", "198.51.100.7"),
        ("198.51.100.7:1, 10.0.0.2:2", "198.51.100.7"),
        ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("198.51.100.7, unknown", "unknown"),
        ("198.51.100.7, ::ffff:10.0.0.2", "198.51.100.7"),
        ("", ""),
        (",,", ""),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_proxy(chain: str, client: str) -> None:
    assert client_of(chain, ("127.0.0.1", "10.0.0.0/8")) == client


def test_a_port_is_no_way_around_the_pause_after_failed_logins(
    open_pages: Open, users: Path
) -> None:
    own = {"trusted_proxies": ("127.0.0.1",), "users": str(users)}
    pages = open_pages(auth="password", **own)
    statuses = [
        pages.client.post(
            "/login",
            data={"name": "anna", "password": "x"},
            headers={**SAME_ORIGIN, "X-Forwarded-For": f"198.51.100.7:{port}"},
        ).status_code
        for port in range(50_000, 50_006)
    ]
    assert statuses[-1] == 429


# Browsers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Referer": "http://localhost/queues"}, 303),
        ({"Referer": "http://localhost.evil.example/"}, 403),
        ({"Referer": "http://evil.example/?http://localhost/"}, 403),
        ({"Referer": "https://localhost/"}, 403),
        ({"Referer": "http://localhost"}, 403),
        ({"Referer": "http://localhost/", "Origin": "null"}, 403),
        ({"Referer": "http://localhost/", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_a_browser_that_sends_no_origin_sends_a_referer(
    pages: Pages, headers: dict[str, str], status: int
) -> None:
    assert pages.client.post("/pause_all", headers=headers).status_code == status


def test_a_name_of_another_script_has_an_origin(open_pages: Open) -> None:
    host = "xn--bcher-kva.example"
    pages = open_pages(hosts=(host,))
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert pages.client.post("/logout", headers=headers).status_code == 303


@pytest.mark.parametrize(
    "name", ["50%", "a?b", "a%41", "a#b", "a b", "mail/ü", "x&y=z"]
)
def test_a_login_leads_to_the_queue_that_was_wanted(
    guarded: Pages, redis: redis_py.Redis, name: str
) -> None:
    redis.rpush(f"resque:queue:{name}", "{}")
    redis.sadd("resque:queues", name)
    wanted = f"/queues/{quote(name)}?from=tail&start=0"
    login = guarded.get(wanted, 303).location
    found = guarded.post(login, name="anna", password=PASSWORD)
    assert found.location.removeprefix("http://localhost") == wanted.replace(
        "%26", "&"
    ).replace("%3D", "=")
    title = guarded.get(found.location).text.partition("<h1")[2][:300]
    assert name.replace("&", "&amp;") in title.replace("<wbr>", "")


def test_pages_at_two_ports_have_two_sessions(guarded: Pages) -> None:
    first, second = ({"Host": f"localhost:{port}"} for port in (5678, 5679))
    sent = {"name": "anna", "password": PASSWORD}
    found = guarded.client.post("/login", data=sent, headers=first | SAME_ORIGIN)
    assert found.headers["Set-Cookie"].startswith("resqued-5678=")
    guarded.get("/queues", 303, headers=second)
    guarded.client.post("/login", data=sent, headers=second | SAME_ORIGIN)
    guarded.client.post("/logout", headers=second | SAME_ORIGIN)
    guarded.get("/queues", headers=first)


def test_a_host_may_be_named_as_people_write_it(open_pages: Open) -> None:
    pages = open_pages(hosts=hosts(["bücher.example"]))
    pages.get("/queues", headers={"Host": "xn--bcher-kva.example"})
    with pytest.raises(ValueError, match="is no name of a host"):
        hosts(["ü" * 100])
