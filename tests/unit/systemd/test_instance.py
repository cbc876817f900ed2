"""What the name of an instance means, as systemd hands it over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.systemd.instance import file_name, of_cgroup, queue_list, unescape, unit


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        (r"critical\x2chigh", "critical,high"),
        ("critical,high", "critical,high"),
        # Not undone: systemd's own rule would make a slash of it.
        ("low-priority", "low-priority"),
        (r"low\x2dpriority", "low-priority"),
        (r"\xc3\xbcbung", "übung"),
        (r"\x2a", "*"),
        (r"\x5cx2c", r"\x2c"),
        (r"a\x2", r"a\x2"),
        (r"a\xzz", r"a\xzz"),
        (r"\xff", "\ufffd"),
    ],
)
def test_only_escapes_are_undone(name: str, plain: str) -> None:
    assert unescape(name) == plain


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("mail", "mail"),
        ("critical,high", r"critical\x2chigh"),
        (r"critical\x2chigh", r"critical\x2chigh"),
        # As `systemctl start resqued@low-priority` has it.
        ("low-priority", "low-priority"),
        # Not as systemd-escape has it: the queue would be a-b.
        ("a/b", r"a\x2fb"),
        (".x.y", ".x.y"),
        ("é", r"\xc3\xa9"),
        ("A_1:b", "A_1:b"),
        ("*", r"\x2a"),
    ],
)
def test_an_instance_is_a_unit(name: str, escaped: str) -> None:
    assert unit(name) == f"resqued@{escaped}.service"


@given(st.text().map(unescape))
def test_the_unit_of_an_instance_gives_its_name_back(name: str) -> None:
    told = unit(name).removeprefix("resqued@").removesuffix(".service")
    assert unescape(told) == unescape(name)


def test_all_is_every_queue_and_nothing_else_is() -> None:
    assert queue_list("all") == "*"
    assert queue_list("all,mail") == "all,mail"


def test_its_file_lies_beside_the_common_one_whatever_it_is_called() -> None:
    assert file_name("critical,high") == "critical,high.toml"
    assert file_name("../a/b") == ".._a_b.toml"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0::/system.slice/resqued@mail.service\n", "mail"),
        (r"0::/a.slice/resqued@critical\x2chigh.service", "critical,high"),
        ("1:cpu:/\n0::/system.slice/resqued@a-b.service/job\n", "a-b"),
        ("0::/system.slice/resqued.service\n", ""),
        ("0::/user.slice/session-1.scope\n", ""),
        ("", ""),
    ],
)
def test_the_instance_of_a_cgroup(text: str, name: str) -> None:
    assert of_cgroup(text) == name
