"""Queue lists: what they say, what they pick, and Ruby's idea of a pattern."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.errors import ConfigError, QueueListError
from resqued.wire.queue_list import QueueList, parse

if TYPE_CHECKING:
    from random import Random

# Made by tests/compat/fnmatch_golden.rb: pattern, matching names, other names.
GOLDEN: list[tuple[str, list[str], list[str]]] = json.loads(
    Path(__file__).with_name("fnmatch_golden.json").read_text(encoding="utf-8")
)

# Byte order of names in UTF-8, as a Ruby worker with `*` visits them.
IN_ORDER = [
    *("", "!neg", "*", "A", "B", "[x]", "a", "a b", "a*", "a/b", "a1", "a:b", "ab"),
    *("zz", "{a}", "ä", "é", "日本", "😀"),
]

names = st.text(alphabet="ab.*[]é", max_size=3)
patterns = st.text(alphabet="ab.*?[]!^-é\\", min_size=1, max_size=4)
lists = st.builds(
    QueueList,
    st.lists(patterns, min_size=1, max_size=4).map(tuple),
    st.lists(patterns, max_size=2).map(tuple),
)
known_names = st.lists(names, max_size=12)


@pytest.mark.parametrize(
    ("text", "entries", "exclusions"),
    [
        ("critical,high", ("critical", "high"), ()),
        (" critical ,\thigh\n", ("critical", "high"), ()),
        ("a,", ("a",), ()),
        ("a,,,", ("a",), ()),
        (",a", ("", "a"), ()),
        ("a,,b", ("a", "", "b"), ()),
        ("a, ", ("a", ""), ()),
        (" ", ("",), ()),
        ("a,a", ("a", "a"), ()),
        ("*,!low", ("*",), ("low",)),
        ("!low,*,!mail_*", ("*",), ("low", "mail_*")),
        (" !low , *", ("*",), ("low",)),
        ("! low,*", ("*",), (" low",)),
        ("!,*", ("*",), ("",)),
        ("a!b", ("a!b",), ()),
        ("a b", ("a b",), ()),
        ("app:mail", ("app:mail",), ()),
        ("\u00a0a\u2028", ("\u00a0a\u2028",), ()),
        ("\0a\v", ("a",), ()),
    ],
)
def test_a_text_is_split_trimmed_and_sorted_into_entries_and_exclusions(
    text: str, entries: tuple[str, ...], exclusions: tuple[str, ...]
) -> None:
    assert parse(text) == QueueList(entries, exclusions)


@pytest.mark.parametrize("text", ["", ",", ",,,", "!low", "!a,!b", "!", "!a,"])
def test_a_text_without_a_queue_is_refused(text: str) -> None:
    with pytest.raises(QueueListError) as raised:
        parse(text)
    assert str(raised.value).startswith(f"queue list {text!r} names no queue: ")
    assert isinstance(raised.value, ConfigError)


@pytest.mark.parametrize(
    ("text", "is_dynamic"),
    [
        ("a", False),
        ("a,b", False),
        ("a\\b", False),
        ("a!b", False),
        ("", False),
        *((f"a,b{char}", True) for char in "*?{}[]"),
        ("a,!b", True),
    ],
)
def test_wildcards_and_exclusions_make_a_list_dynamic(
    text: str, is_dynamic: bool
) -> None:
    assert parse(text or ",a").is_dynamic is is_dynamic


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("high, low", "high,low"),
        ("a,a", "a,a"),
        ("*,!low", "*"),
        ("!x,high,*", "high,*"),
        (",a", ",a"),
    ],
)
def test_the_name_has_wildcards_as_given_and_no_exclusions(
    text: str, name: str
) -> None:
    assert name == parse(text).name


def test_a_static_list_is_served_as_it_is_known_or_not() -> None:
    queues = parse("low,high,low,")
    assert queues.match([]) == ("low", "high")
    assert queues.match(["high", "other"]) == ("low", "high")
    assert queues.serves("low")
    assert not queues.serves("other")


def test_a_static_list_takes_a_backslash_for_a_letter() -> None:
    assert parse("a\\b").match([]) == ("a\\b",)
    assert parse("a\\b").serves("a\\b")


def test_a_star_picks_every_known_queue_in_byte_order() -> None:
    assert parse("*").match(reversed(IN_ORDER)) == tuple(IN_ORDER)


def test_bytes_that_are_no_utf8_sort_as_bytes() -> None:
    raw = [b"a\xff", b"a\xe9", "a\uffff".encode(), "a😀".encode()]
    known = [name.decode("utf-8", "surrogateescape") for name in raw]
    picked = parse("*").match(known)
    assert [n.encode("utf-8", "surrogateescape") for n in picked] == sorted(raw)


def test_entries_of_a_dynamic_list_keep_their_order() -> None:
    known = ["c", "b", "a", "high_2", "high_1"]
    assert parse("high_*,b,*").match(known) == ("high_1", "high_2", "b", "a", "c")


def test_a_plain_name_in_a_dynamic_list_is_served_only_while_known() -> None:
    queues = parse("high,low*")
    assert queues.match(["low1"]) == ("low1",)
    assert queues.match(["low1", "high"]) == ("high", "low1")


def test_exclusions_win_wherever_they_stand() -> None:
    known = ["mail", "mail_low", "low", "high"]
    assert parse("!*low,mail*,*").match(known) == ("mail", "high")
    assert parse("mail,low,!low").match(known) == ("mail",)
    assert not parse("low,!low").serves("low")
    assert parse("*,!low").serves("mail_low")


def test_a_hidden_queue_is_neither_picked_nor_excluded_by_a_star() -> None:
    assert parse("*").match([".hidden", "a"]) == ("a",)
    assert parse(".*,!*").match([".hidden", "a"]) == (".hidden",)


@pytest.mark.parametrize(("pattern", "matching", "others"), GOLDEN)
def test_patterns_mean_what_they_mean_in_ruby(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    # The exclusion, which no name of the table meets, makes any list dynamic.
    queues = QueueList((pattern,), ("no such name",))
    picked = queues.match(matching + others)
    assert sorted(picked) == sorted(matching)
    served = [name for name in matching + others if queues.serves(name)]
    assert served == matching


def test_the_table_from_ruby_is_whole() -> None:
    assert len(GOLDEN) > 100
    assert sum(len(matching) + len(others) for _, matching, others in GOLDEN) > 1000


def test_many_stars_take_no_time() -> None:
    queues = parse("*" + "a*" * 40 + "b")
    began = time.monotonic()
    assert not queues.serves("a" * 20_000)
    assert time.monotonic() - began < 5


@given(lists, known_names)
def test_what_is_picked_is_known_once_each_and_served(
    queues: QueueList, known: list[str]
) -> None:
    picked = queues.match(known)
    assert len(picked) == len(set(picked))
    if queues.is_dynamic:
        assert set(picked) == {name for name in known if queues.serves(name)}
    else:
        assert set(picked) == set(queues.entries)


@given(lists, known_names)
def test_picking_from_what_was_picked_changes_nothing(
    queues: QueueList, known: list[str]
) -> None:
    picked = queues.match(known)
    assert queues.match(picked) == picked


@given(lists, known_names, st.randoms(use_true_random=False))
def test_the_order_of_the_known_names_does_not_matter(
    queues: QueueList, known: list[str], random: Random
) -> None:
    shuffled = list(known)
    random.shuffle(shuffled)
    assert queues.match(shuffled) == queues.match(known)


@given(patterns, known_names)
def test_what_one_entry_picks_is_sorted(pattern: str, known: list[str]) -> None:
    picked = QueueList((pattern,), ("no such name",)).match(known)
    assert list(picked) == sorted(picked, key=str.encode)


@given(lists, patterns, known_names)
def test_an_exclusion_takes_away_just_what_it_matches(
    queues: QueueList, pattern: str, known: list[str]
) -> None:
    excluding = QueueList(queues.entries, (*queues.exclusions, pattern))
    matched = set(QueueList((pattern,), ("no such name",)).match(known))
    base = QueueList(queues.entries, (*queues.exclusions, "no such name"))
    expected = tuple(name for name in base.match(known) if name not in matched)
    assert excluding.match(known) == expected


@given(st.lists(names, min_size=1, max_size=5))
def test_a_list_read_from_its_own_name_is_the_same_list(entries: list[str]) -> None:
    # A worker id carries the name, and whoever reads the id parses it.
    if not entries[-1]:
        entries.append("z")
    queues = QueueList(tuple(entries))
    assert parse(queues.name) == queues
