"""Who gets in: login, proxies, tokens, hosts, origins, roles."""

from __future__ import annotations

import os
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis as redis_py
from click.testing import CliRunner

import resqued
from resqued.cli import cli
from resqued.config.layers import read_layers
from resqued.config.loader import build_web
from resqued.config.web_settings import WebSettings
from resqued.errors import ConfigError
from resqued.web import serving
from resqued.web.login_attempts import FREE
from resqued.web.users import hash_token, read_users
from resqued.web.users_file import add_user, remove_user
from tests.support.pages import PASSWORD, Open, Pages


def log_in(pages: Pages, name: str = "anna", password: str = PASSWORD) -> None:
    pages.post("/login", name=name, password=password)


def test_without_a_login_there_is_the_form_alone(guarded: Pages) -> None:
    assert guarded.get("/queues?q=x", 303).location == "/login?next=/queues?q%3Dx"
    assert "Log in" in guarded.text("/login")
    guarded.get("/healthz")


def test_before_a_login_no_banner_names_a_queue(
    guarded: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("payroll", "Mail", 1)
    redis.set("resque:pause-all-workers", "true")
    for found in (guarded.get("/login"), guarded.get("/no/such/page", 404)):
        assert "payroll" not in found.text
        assert "paused" not in found.text
    log_in(guarded)
    assert "payroll" in guarded.get("/queues").text


def test_a_login_leads_to_the_page_that_was_wanted(guarded: Pages) -> None:
    found = guarded.post("/login?next=/queues", name="anna", password=PASSWORD)
    assert found.location == "/queues"
    guarded.get("/queues")


@pytest.mark.parametrize(
    "goal",
    ["//evil.example", "https://evil.example", "/\\evil", "/\t/evil", "/\n/evil"],
)
def test_no_login_leads_elsewhere(guarded: Pages, goal: str) -> None:
    found = guarded.post("/login", name="anna", password=PASSWORD, next=goal)
    assert found.location == "/overview"


@pytest.mark.parametrize(("name", "password"), [("anna", "wrong"), ("eve", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_look_the_same(
    guarded: Pages, name: str, password: str
) -> None:
    found = guarded.post("/login", 401, name=name, password=password)
    assert "name or password are wrong" in found.text
    guarded.get("/queues", 303)


def test_failed_logins_make_a_pause(guarded: Pages) -> None:
    for _ in range(FREE):
        guarded.post("/login", 401, name="mallory", password="x")
    assert "too many attempts" in guarded.post("/login", 429, name="mallory").text
    log_in(guarded)


def test_a_session_ends_with_the_password_and_with_the_user(
    guarded: Pages, users: Path
) -> None:
    log_in(guarded)
    add_user(users, "anna", "operator", "another one")
    guarded.get("/queues", 303)
    log_in(guarded, password="another one")
    guarded.get("/queues")
    remove_user(users, "anna")
    guarded.get("/queues", 303)


def test_log_out_ends_the_session(guarded: Pages) -> None:
    log_in(guarded)
    guarded.post("/logout")
    guarded.get("/queues", 303)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_of_another_site_is_refused(
    pages: Pages, headers: dict[str, str]
) -> None:
    found = pages.client.post("/logout", headers=headers)
    assert found.status_code == 403
    assert "does not come from these pages" in found.text


def test_a_plain_browser_sends_an_origin_alone(pages: Pages) -> None:
    found = pages.client.post("/logout", headers={"Origin": "http://localhost"})
    assert found.status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1"])
def test_a_foreign_host_is_refused(pages: Pages, host: str) -> None:
    assert "[web] hosts" in pages.get("/queues", 400, headers={"Host": host}).text


def test_a_host_that_is_named_is_answered(open_pages: Open) -> None:
    named = open_pages(hosts=("Resqued.example.org",))
    named.get("/queues", headers={"Host": "resqued.example.org:8443"})


def from_(address: str, **headers: str) -> dict[str, object]:
    return {
        "environ_base": {"REMOTE_ADDR": address},
        "headers": {name.replace("_", "-"): text for name, text in headers.items()},
    }


def test_a_header_counts_from_a_trusted_proxy_alone(open_pages: Open) -> None:
    behind = open_pages(
        auth="proxy",
        trusted_proxies=("10.0.0.0/8",),
        roles={"operator": ("dev",), "viewer": ("*",)},
    )
    behind.get("/queues", 401, **from_("192.0.2.1", X_Remote_User="anna"))
    behind.get("/queues", 401, **from_("10.1.2.3"))
    behind.get("/queues", **from_("10.1.2.3", X_Remote_User="anna"))
    found = behind.get(
        "/queues", **from_("10.1.2.3", X_Remote_User="a", X_Remote_Groups="x, dev")
    )
    assert "role operator" in found.text
    # Through a Unix socket comes a proxy alone.
    behind.get("/queues", **from_("", X_Remote_User="anna"))


def test_forwarded_headers_count_from_a_trusted_proxy_alone(open_pages: Open) -> None:
    behind = open_pages(trusted_proxies=("10.0.0.1",), hosts=("jobs.example",))
    sent = {"X_Forwarded_Host": "jobs.example", "X_Forwarded_Prefix": "/resque"}
    found = behind.get("/queues", **from_("10.0.0.1", **sent))
    assert 'href="/resque/overview"' in found.text
    found = behind.get("/queues", **from_("192.0.2.1", **sent))
    assert 'href="/overview"' in found.text


def test_a_prefix_that_a_proxy_leaves_in_the_path(open_pages: Open) -> None:
    below = open_pages(prefix="/admin/jobs")
    assert 'href="/admin/jobs/overview"' in below.get("/admin/jobs/queues").text
    assert below.get("/admin/jobs", 302).location == "/admin/jobs/overview"


def test_a_token_has_a_scope(open_pages: Open) -> None:
    stored = {"ci": f"viewer:{hash_token('one')}", "prom": f"metrics:{hash_token('2')}"}
    guarded = open_pages(auth="proxy", tokens=stored)
    guarded.get("/queues", headers={"Authorization": "Bearer one"})
    guarded.get("/queues", 403, headers={"Authorization": "Bearer 2"})
    guarded.get("/queues", 401, headers={"Authorization": "Bearer nobody"})
    guarded.get("/queues", 401, headers={"Authorization": "Basic one"})


def test_every_answer_has_the_headers(pages: Pages) -> None:
    for path, status in (("/overview", 200), ("/nowhere", 404), ("/", 302)):
        found = pages.get(path, status).headers
        assert found["Content-Security-Policy"].startswith("default-src 'none'")
        assert found["Cache-Control"] == "no-store"
        assert "'unsafe" not in found["Content-Security-Policy"]


def test_read_only_pages_say_so(open_pages: Open) -> None:
    assert "role admin, read-only" in open_pages(read_only=True).get("/queues").text


def test_a_file_of_users_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("anna:boss:x\n")
    result = CliRunner().invoke(cli, ["web", "user", "list", "--users", str(path)])
    assert "line 1: a line is name:role:hash" in str(result.exception)


def test_passwords_come_from_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add = ["web", "user", "add", "bob", "--role", "admin", "--users", str(path)]
    assert CliRunner().invoke(cli, add, input=f"{PASSWORD}\n").exit_code == 0
    assert "bob" in CliRunner().invoke(cli, [*add[:2], "list", *add[-2:]]).stdout
    assert path.stat().st_mode & 0o777 == 0o640
    assert PASSWORD not in path.read_text()
    gone = CliRunner().invoke(cli, [*add[:2], "remove", "bob", "--yes", *add[-2:]])
    assert gone.exit_code == 0
    assert path.read_text() == ""


@pytest.mark.parametrize("auth", ["none", "proxy"])
def test_without_passwords_there_is_no_form_to_send(
    open_pages: Open, auth: str
) -> None:
    pages = open_pages(auth=auth)
    assert "no passwords" in pages.get("/login", 404).text
    assert "no passwords" in pages.post("/login", 404, name="anna", password="x").text


def test_a_broken_file_of_users_is_no_fault_of_a_page(
    guarded: Pages, users: Path
) -> None:
    log_in(guarded)
    users.write_text("anna:boss:x\n")
    found = guarded.get("/queues", 503).text
    assert "the file of users cannot be used" in found
    assert str(users) not in found


def test_what_the_form_for_the_login_does_not_take_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users"
    for name, password in (("a" * 101, PASSWORD), ("anna", "x" * 1_001)):
        with pytest.raises(ValueError, match="at most"):
            add_user(path, name, "viewer", password)
    assert not path.exists()


def test_a_line_end_of_windows_is_no_part_of_a_password(
    open_pages: Open, tmp_path: Path
) -> None:
    path = tmp_path / "users"
    add = ["web", "user", "add", "anna", "--users", str(path)]
    assert CliRunner().invoke(cli, add, input=f"{PASSWORD}\r\n").exit_code == 0
    log_in(open_pages(auth="password", users=str(path)))


def test_users_that_are_added_at_once_are_all_there(tmp_path: Path) -> None:
    path, link = tmp_path / "users", tmp_path / "link"
    path.touch()
    link.symlink_to(path)
    names = [f"user{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: add_user(link, name, "viewer", PASSWORD), names))
    assert sorted(read_users(path)) == names
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["ci", "my token", "a.b", 'a"b', "ü"])
def test_the_line_of_a_token_is_toml(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(cli, ["web", "token", "new", name])
    line = result.stderr
    assert list(tomllib.loads(line)["web"]["tokens"]) == [name]
    path = tmp_path / "resqued.toml"
    path.write_text(line, "utf-8")
    assert build_web(read_layers(str(path), {}).for_command()).tokens


@pytest.mark.parametrize(
    "stored", ["abc-secret", "metric:sha256$00", "admin:abc-secret"]
)
def test_a_token_without_scope_or_hash_is_refused_and_not_shown(
    tmp_path: Path, stored: str
) -> None:
    path = tmp_path / "resqued.toml"
    path.write_text(f'[web.tokens]\nprom = "{stored}"\n')
    with pytest.raises(ConfigError, match="'prom' must be SCOPE:HASH") as caught:
        build_web(read_layers(str(path), {}).for_command())
    assert "abc-secret" not in str(caught.value)


def test_two_sockets_of_systemd_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    with pytest.raises(serving.ListenError, match="passed 2 sockets"):
        serving.open_socket(WebSettings(listen="fd:"))
