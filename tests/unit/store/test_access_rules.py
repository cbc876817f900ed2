"""The order that grants what Redis has refused."""

from __future__ import annotations

import pytest

from resqued.store.access_rules import needed_rights, wrong_type

URL = "redis://web:secret@localhost:6379"


@pytest.mark.parametrize(
    ("command", "shown", "rights"),
    [
        (("smembers", "resque:queues"), "SMEMBERS resque:queues", "+smembers"),
        (("EVALSHA", "ab", 2, "a", b"b", "c"), "EVALSHA a b", "+evalsha"),
        (("MGET", *"abcdefg"), "MGET a b c d e …", "+mget"),
        (("LMOVE", "a", "b", "LEFT", "RIGHT"), "LMOVE a b", "+lmove"),
        (("MEMORY", "USAGE", "a"), "MEMORY a", "+memory|usage"),
        (("GET", b"a\n\xff"), "GET a\\n\ufffd", "+get"),
    ],
)
def test_what_was_refused_and_the_order_that_grants_it(
    command: tuple[object, ...], shown: str, rights: str
) -> None:
    text = needed_rights(command, URL, "resque")
    assert text == f"; {shown} needs `ACL SETUSER web ~resque:* {rights}`"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (("TIME",), "; TIME needs `ACL SETUSER default +time`"),
        (("SCRIPT", "LOAD", "x"), "; SCRIPT needs `ACL SETUSER default +script|load`"),
    ],
)
def test_a_command_without_a_key(command: tuple[object, ...], text: str) -> None:
    assert needed_rights(command, "redis://localhost", "resque") == text


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (
            ("LLEN", "resque:queue:x"),
            "; LLEN resque:queue:x: another program uses this key",
        ),
        (
            ("EVALSHA", "0" * 40, 2, "resque:queues", "resque:failed", "x"),
            (
                "; EVALSHA resque:queues resque:failed: another program uses one of"
                " these keys"
            ),
        ),
    ],
)
def test_a_value_of_another_type_is_named_by_its_key(
    command: tuple[object, ...], text: str
) -> None:
    assert wrong_type(command) == text
