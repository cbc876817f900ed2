"""`resqued logs`: the command line that it becomes, and a journal that it reads."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resqued.errors import ExitCode
from tests.support.cli import RESQUED, fail, run_command
from tests.support.daemon import clean_environment
from tests.support.wait import scaled, wait_until

JOURNALD = Path("/lib/systemd/systemd-journald")
# Nothing of this machine: not its kernel's messages, and its auditing stays as it is.
JOURNALD_CONF = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=\nCompress=no\n"


def printed(*args: str, cwd: Path) -> list[str]:
    """Return the command line that a call would become."""
    words = args[: args.index("--")] if "--" in args else args
    result = run_command("logs", *words, "--print", *args[len(words) :], cwd=cwd)
    assert (result.returncode, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    return shlex.split(line)


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ((), ["--unit=resqued*"]),
        (("--user",), ["--user", "--user-unit=resqued*"]),
        (("--unit", "web.service"), ["--unit=web.service"]),
        (("--instance", "mail"), ["--unit=resqued@mail.service"]),
        (("--instance", "a-b"), ["--unit=resqued@a-b.service"]),
        (("--instance", "a,é/b"), [r"--unit=resqued@a\x2c\xc3\xa9\x2fb.service"]),
        (("--queue", "a b"), ["RESQUED_QUEUE=a b"]),
        (
            ("--class", "m.Mail", "--event", "job_failed"),
            ["RESQUED_CLASS=m.Mail", "RESQUED_EVENT=job_failed"],
        ),
        (
            ("--worker", "h:1:a,b", "--role", "worker", "--generation", "2"),
            ["RESQUED_WORKER=h:1:a,b", "RESQUED_ROLE=worker", "RESQUED_GENERATION=2"],
        ),
        (
            ("--queue", "a", "--unit", "resqued.service"),
            ["--unit=resqued.service", "RESQUED_QUEUE=a"],
        ),
        (
            ("--queue", "a", "-p", "err", "--since", "-1h", "--until", "now"),
            ["--priority=err", "--since=-1h", "--until=now", "RESQUED_QUEUE=a"],
        ),
        (
            ("--queue", "a", "-n", "5", "-f", "--json"),
            ["--lines=5", "--output=json", "--follow", "RESQUED_QUEUE=a"],
        ),
        (
            ("--queue", "a", "--", "--no-pager", "-o", "cat", "_UID=0"),
            ["--no-pager", "-o", "cat", "_UID=0", "RESQUED_QUEUE=a"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_chosen_becomes_matches_of_journalctl(
    tmp_path: Path, given: tuple[str, ...], becomes: list[str]
) -> None:
    assert printed(*given, cwd=tmp_path) == ["journalctl", *becomes]


def test_an_instance_has_the_name_that_systemd_gives_it(tmp_path: Path) -> None:
    if shutil.which("systemd-escape") is None:
        pytest.skip("systemd-escape is not here")
    for instance in ("mail", "high,low", "a:b_c.d", "wild*", "söndag", "a b"):
        told = subprocess.run(
            ["systemd-escape", "--template=resqued@.service", instance],
            capture_output=True,
            text=True,
            check=True,
        )
        (_, unit) = printed("--instance", instance, cwd=tmp_path)
        assert unit == f"--unit={told.stdout.strip()}"


def test_one_unit_is_named_once(tmp_path: Path) -> None:
    (line,) = fail(
        *("logs", "--unit", "a", "--instance", "b"),
        cwd=tmp_path,
        status=ExitCode.USAGE,
    )
    assert line.startswith("--unit and --instance name a unit both: give one")


def test_without_journalctl_there_is_one_line(tmp_path: Path) -> None:
    (line,) = fail("logs", cwd=tmp_path, env={"PATH": ""}, status=ExitCode.FAILED)
    assert line.startswith("there is no journalctl here: the log goes where")


def test_a_journalctl_that_cannot_be_run_is_told_of(tmp_path: Path) -> None:
    program = tmp_path / "journalctl"
    program.write_text("no program")
    program.chmod(0o755)
    environment = {"PATH": str(tmp_path)}
    (line,) = fail("logs", cwd=tmp_path, env=environment, status=ExitCode.FAILED)
    assert line == "journalctl cannot be run: Exec format error"


needs_journalctl = pytest.mark.skipif(
    shutil.which("journalctl") is None, reason="journalctl is not here"
)


@needs_journalctl
def test_the_exit_code_is_that_of_journalctl(tmp_path: Path) -> None:
    # The directory has no journal, and the second call makes no sense.
    result = run_command("logs", "--queue", "a", "--", "-D", ".", cwd=tmp_path)
    assert result.returncode == 0
    assert "No entries" in result.stdout
    result = run_command("logs", "--since", "no time", "--", "-D", ".", cwd=tmp_path)
    assert result.returncode == 1
    assert "no time" in result.stderr


# A journal of our own: journald itself, in a mount namespace where /run is ours


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A journal with events of two queues, written by a real journald."""
    if os.geteuid() != 0 or not JOURNALD.exists() or shutil.which("unshare") is None:
        pytest.skip("needs root, unshare and systemd-journald")
    place = tmp_path / "run"
    (place / "systemd/journald.conf.d").mkdir(parents=True)
    (place / "systemd/journald.conf.d/test.conf").write_text(JOURNALD_CONF)
    (place / "systemd/journal").mkdir()
    (place / "log/journal").mkdir(parents=True)
    inside = f"mount --bind {shlex.quote(str(place))} /run && exec {JOURNALD}"
    # Without RUNTIME_DIRECTORY, which journald would take for its own.
    daemon = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", inside], env={"PATH": os.environ["PATH"]}
    )
    try:
        # Relative: the path of a socket may not be as long as those of tests are.
        monkeypatch.chdir(place / "systemd")
        wait_until(_is_told, what="journald")
        yield place / "log/journal"
    finally:
        daemon.terminate()
        daemon.wait(scaled(30))


def _is_told() -> bool:
    """Write the events as soon as journald listens."""
    try:
        for queue, event, priority in (
            ("mail", "job_performed", 6),
            ("mail", "job_failed", 4),
            ("other", "job_failed", 4),
        ):
            tell(
                f"MESSAGE={event} of {queue}\nPRIORITY={priority}\n"
                f"RESQUED_QUEUE={queue}\nRESQUED_EVENT={event}\n"
                f"OBJECT_SYSTEMD_UNIT=resqued@{queue}.service\n"
            )
    except OSError:
        return False
    return True


def tell(fields: str) -> None:
    """Write an event as programs write them to journald."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("journal/socket")
        sock.send(fields.encode())


@needs_journalctl
@pytest.mark.parametrize(
    ("given", "messages"),
    [
        (("--queue", "mail"), ["job_performed of mail", "job_failed of mail"]),
        (("--queue", "mail", "-p", "warning"), ["job_failed of mail"]),
        (("--event", "job_failed", "-n", "1"), ["job_failed of other"]),
        (("--queue", "mail", "--event", "job_failed"), ["job_failed of mail"]),
        (("--queue", "none"), []),
        (("--instance", "other"), ["job_failed of other"]),
        (
            (),
            ["job_performed of mail", "job_failed of mail", "job_failed of other"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_events_of_a_journal_are_chosen_by_their_fields(
    journal: Path, tmp_path: Path, given: tuple[str, ...], messages: list[str]
) -> None:
    def shown() -> bool:
        result = run_command(
            *("logs", *given, "--json", "--", "-D", str(journal), "-q", "--no-pager"),
            cwd=tmp_path,
        )
        found = [json.loads(line)["MESSAGE"] for line in result.stdout.splitlines()]
        return found == messages

    # What journald has been told is in the journal a moment later.
    wait_until(lambda: len(list(journal.rglob("*.journal"))) > 0, what="a journal")
    wait_until(shown, what=f"{messages}")


@needs_journalctl
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    everything = ["logs", "--", "--help"]
    with subprocess.Popen(
        [*RESQUED, *everything],
        env={**clean_environment(), "PAGER": "cat"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=4096,
    ) as reader:
        assert reader.stdout
        assert reader.stderr
        reader.stdout.close()
        assert reader.stderr.read() == b""
    assert reader.returncode == -signal.SIGPIPE


@needs_journalctl
def test_new_events_are_followed(journal: Path, tmp_path: Path) -> None:
    command = ["logs", "-f", "--queue", "mail", "--", "-D", str(journal), "-o", "cat"]
    wait_until(lambda: len(list(journal.rglob("*.journal"))) > 0, what="a journal")
    output = tmp_path / "output"
    with output.open("wb") as file:
        reader = subprocess.Popen(
            [*RESQUED, *command], stdout=file, env=clean_environment()
        )
    try:
        wait_until(lambda: "job_failed of mail" in output.read_text())
        tell("MESSAGE=one more\nRESQUED_QUEUE=mail\n")
        wait_until(lambda: "one more" in output.read_text())
        assert reader.poll() is None
    finally:
        reader.terminate()
        reader.wait(scaled(30))
