"""What an attacker tries at the door: logins, cookies, headers, paths of files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis as redis_py
from werkzeug.http import parse_cookie

from resqued.config.web_settings import WebSettings
from resqued.errors import ConfigError, ResquedError
from resqued.web import serving, sessions
from resqued.web.app import create_app
from resqued.web.assets import assets
from resqued.web.login_attempts import FREE, FREE_OF_NETWORK, LoginAttempts
from resqued.web.secret_key import secret_key
from tests.support.pages import PASSWORD, SAME_ORIGIN, Open, Pages
from tests.support.route_samples import in_path
from tests.support.wait import scaled, wait_until

BEHIND = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/resque"}
# A browser drops a longer one.
LONGEST_COOKIE = 4_093


@pytest.fixture
def guarded(open_pages: Open, users: Path) -> Pages:
    return open_pages(auth="password", users=str(users), trusted_proxies=("127.0.0.1",))


def log_in(pages: Pages, path: str = "/login", **headers: str) -> str:
    """Log in; return the cookie as it was sent."""
    sent = {"name": "anna", "password": PASSWORD}
    found = pages.client.post(path, data=sent, headers=SAME_ORIGIN | headers)
    assert found.status_code == 303, found.text[:500]
    return found.headers["Set-Cookie"]


# Logins


def test_attempts_that_run_at_once_are_counted_before_they_end() -> None:
    attempts = LoginAttempts(clock=lambda: 0.0)
    allowed = [attempts.begin("anna", "192.0.2.1") == 0 for _ in range(50)]
    assert allowed.count(True) == FREE


def test_many_names_of_one_address_are_as_many_guesses() -> None:
    attempts = LoginAttempts(clock=lambda: 0.0)
    allowed = [attempts.begin(str(name), "192.0.2.1") == 0 for name in range(500)]
    assert allowed.count(True) == FREE_OF_NETWORK
    assert attempts.begin("anna", "192.0.2.2") == 0


def test_the_addresses_of_one_ipv6_network_are_one_sender() -> None:
    attempts = LoginAttempts(clock=lambda: 0.0)
    addresses = [f"2001:db8::{number:x}" for number in range(50)]
    allowed = [attempts.begin("anna", each) == 0 for each in addresses]
    assert allowed.count(True) == FREE
    assert attempts.begin("anna", "2001:db8:0:1::1") == 0
    mapped = [attempts.begin("eve", "::ffff:192.0.2.9") == 0 for _ in range(FREE)]
    assert all(mapped)
    assert attempts.begin("eve", "192.0.2.9") > 0


def test_pauses_grow_and_end() -> None:
    now = [0.0]
    attempts = LoginAttempts(clock=lambda: now[0])
    pauses = []
    for _ in range(20):
        while pause := attempts.begin("anna", "192.0.2.1"):
            pauses.append(pause)
            now[0] += pause
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(pauses) == 300.0
    now[0] += 3_601
    assert [attempts.begin("anna", "192.0.2.1") for _ in range(FREE)] == [0.0] * FREE


def test_a_login_forgets_the_failures_of_its_name() -> None:
    attempts = LoginAttempts(clock=lambda: 0.0)
    for _ in range(3 * FREE):
        assert attempts.begin("anna", "192.0.2.1") == 0
        attempts.succeed("anna", "192.0.2.1")


def test_a_failed_login_is_in_the_log_on_one_line(
    guarded: Pages, capfd: pytest.CaptureFixture[str]
) -> None:
    name = 'x"\nlevel=error event=forged \x1b[2J'
    guarded.post("/login", 401, name=name, password="secret-guess")
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "web_login_failed" in line], lines
    assert not [line for line in lines if line.startswith("level=error")], lines
    assert "secret-guess" not in "".join(lines)
    assert "\x1b" not in "".join(lines)


# Cookies


def test_behind_a_proxy_the_cookie_has_its_path_and_is_sent_by_tls_alone(
    guarded: Pages,
) -> None:
    cookie = log_in(guarded, **BEHIND)
    assert "; Path=/resque" in cookie
    assert "; Secure" in cookie
    assert "; HttpOnly" in cookie
    assert "; SameSite=Lax" in cookie


def test_the_flags_of_an_untrusted_peer_do_not_count(guarded: Pages) -> None:
    found = guarded.client.post(
        "/login",
        data={"name": "anna", "password": PASSWORD},
        headers=SAME_ORIGIN | BEHIND,
        environ_base={"REMOTE_ADDR": "192.0.2.1"},
    )
    cookie = found.headers["Set-Cookie"]
    assert "Secure" not in cookie
    assert "Path=/;" in f"{cookie};"


def test_a_session_ends_however_much_it_is_used(
    guarded: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(guarded)
    assert "Set-Cookie" not in guarded.get("/queues").headers
    began, lasts = time.time(), sessions.LASTS.total_seconds()
    for part in (0.4, 0.8):
        monkeypatch.setattr(time, "time", lambda p=part: began + p * lasts)
        # A message for the next page has the cookie written and signed again.
        guarded.post("/queues/pause", name="critical")
        guarded.get("/queues")
    monkeypatch.setattr(time, "time", lambda: began + lasts + 1)
    guarded.get("/queues", 303)
    # A clock that has been set back ends it too, instead of making it last longer.
    monkeypatch.setattr(time, "time", lambda: began - 3_600)
    guarded.get("/queues", 303)


def test_a_login_has_another_session_than_the_one_before(guarded: Pages) -> None:
    guarded.client.set_cookie("resqued", "chosen-by-an-attacker")
    value = parse_cookie(log_in(guarded))["resqued"]
    assert value != "chosen-by-an-attacker"
    # The last letter of a signature has bits that mean nothing.
    other = "A" if value[-2] != "A" else "B"
    guarded.client.set_cookie("resqued", value[:-2] + other + value[-1])
    guarded.get("/queues", 303)


def test_messages_never_make_the_cookie_too_long(
    pages: Pages, redis: redis_py.Redis
) -> None:
    name = "".join(chr(0x1F600 + number % 80) for number in range(900))
    redis.rpush(f"resque:queue:{name}", "{}")
    redis.sadd("resque:queues", name)
    for _ in range(10):
        found = pages.post("/queues/pause", name=name)
        assert len(found.headers["Set-Cookie"]) < LONGEST_COOKIE
    assert 'role="status" class="banner' in pages.get("/queues").text


# Files


@pytest.mark.parametrize(
    "name",
    ["a%00b", "a" * 5_000, "%ff", "../app.py", "%2e%2e/app.py", "vendor", "//etc/x"],
)
def test_no_file_beside_ours_is_served(pages: Pages, name: str) -> None:
    found = pages.client.get(f"/static/000000000000/{name}", follow_redirects=True)
    assert found.status_code == 404
    assert found.headers["Cache-Control"] == "no-store"


def test_names_of_files_that_are_not_there_are_not_kept(pages: Pages) -> None:
    known = len(assets())
    for number in range(50):
        pages.get(f"/static/000000000000/{number}.css", 404)
    assert len(assets()) == known
    assert assets.cache_info().currsize == 1


def test_only_a_socket_is_replaced_by_the_one_to_listen_on(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ResquedError, match="no socket"):
        serving.open_socket(WebSettings(listen=f"unix:{file}"))
    assert file.read_text() == "precious"
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    serving.open_socket(WebSettings(listen=f"unix:{left}")).close()


def test_processes_that_begin_at_once_have_one_key(tmp_path: Path) -> None:
    path, found = tmp_path / "key", []
    barrier = threading.Barrier(8)

    def begin() -> None:
        barrier.wait()
        found.append(secret_key(str(path)))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert set(found) == {path.read_bytes()}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [(b"", 0o600, "has 0 bytes"), (b"x" * 32, 0o644, "everybody on this host")],
)
def test_a_key_that_protects_nothing_is_refused(
    tmp_path: Path, content: bytes, mode: int, problem: str
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=problem):
        create_app(WebSettings(secret_file=str(path)))


def test_a_file_of_users_that_everybody_can_change_lets_nobody_in(
    guarded: Pages, users: Path
) -> None:
    log_in(guarded)
    users.chmod(0o666)
    guarded.get("/queues", 503)
    users.chmod(0o640)
    guarded.get("/queues")


def test_a_change_of_users_counts_also_with_the_time_and_size_of_before(
    guarded: Pages, users: Path
) -> None:
    log_in(guarded)
    before = users.stat()
    text = users.read_text()
    users.write_text(text.replace("anna:", "hans:"))
    os.utime(users, ns=(before.st_atime_ns, before.st_mtime_ns))
    guarded.get("/queues", 303)


# Headers


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "/\\evil.example", "https://evil", "evil", "/a\tb"]
)
def test_a_prefix_that_is_no_path_here_leads_nowhere(
    guarded: Pages, prefix: str
) -> None:
    log_in(guarded)
    headers = {"X-Forwarded-Prefix": prefix}
    assert "evil" not in guarded.get("/login", headers=headers).text
    found = guarded.client.post("/logout", headers=SAME_ORIGIN | headers)
    assert found.location == "/login"


@pytest.mark.parametrize(
    "host", ["evil@localhost", "[::1", "localhost:x", "", "a b", "localhost.evil"]
)
def test_a_host_that_is_no_name_is_refused(pages: Pages, host: str) -> None:
    pages.get("/overview", 400, headers={"Host": host})


def test_a_long_name_of_a_queue_has_a_page(pages: Pages) -> None:
    assert pages.client.get(f"/queues/{in_path(b'q' * 9_000)}").status_code < 500


SERVE = """
import sys
from resqued.config.web_settings import WebSettings
from resqued.web import serving
serving._SILENCE = serving._SILENCE_CHECK = 1
settings = WebSettings(listen="unix:" + sys.argv[1])
serving.serve(settings, serving.open_socket(settings))
"""


def test_a_connection_that_sends_nothing_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with subprocess.Popen([sys.executable, "-c", SERVE, str(path)]) as process:
        try:
            wait_until(path.exists, what="the socket")
            with socket.socket(socket.AF_UNIX) as silent:
                silent.settimeout(scaled(20))
                silent.connect(str(path))
                silent.sendall(b"GET / HTTP/1.1\r\nHost: ")
                assert silent.recv(1) == b""
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not path.exists()
