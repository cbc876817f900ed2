"""Items of delayed jobs: what is written, and how items of all programs are read."""

from __future__ import annotations

import json

import pytest

from resqued.core.limits import Limits
from resqued.errors import PayloadError
from resqued.wire import delayed_item, payload


@pytest.mark.parametrize(
    ("args", "queue", "item"),
    [
        ([], "mail", '{"class":"Mail","args":[],"queue":"mail"}'),
        ([1, "ä"], "mail", '{"class":"Mail","args":[1,"ä"],"queue":"mail"}'),
        ([], 'a"b\\', '{"class":"Mail","args":[],"queue":"a\\"b\\\\"}'),
    ],
)
def test_the_queue_is_the_last_key(args: list[object], queue: str, item: str) -> None:
    text = payload.encode_job("Mail", args)
    assert delayed_item.encode(text, queue) == item
    assert delayed_item.decode(item.encode()) == (
        queue,
        payload.decode_job(text.encode()),
    )


def test_the_spellings_are_those_of_ruby_and_of_node() -> None:
    # The second ,"args": is within an argument.
    text = payload.encode_job("Mail", ['{"class":"A","args":1}'])
    ruby, node = delayed_item.spellings(text, "mail")
    assert ruby == delayed_item.encode(text, "mail")
    assert list(json.loads(ruby)) == ["class", "args", "queue"]
    assert list(json.loads(node)) == ["class", "queue", "args"]
    assert json.loads(ruby) == json.loads(node)


@pytest.mark.parametrize(
    ("item", "raw"),
    [
        (b'{"class":"Mail","queue":"mail","args":[1]}', b'{"class":"Mail","args":[1]}'),
        (b'{ "class": "Mail", "queue": "mail" }', b'{"class":"Mail"}'),
        (
            b'{"queue":"mail","class":"Mail","args":[1],"id":"x"}',
            b'{"class":"Mail","args":[1],"id":"x"}',
        ),
    ],
)
def test_a_job_goes_to_its_queue_without_the_name_of_it(
    item: bytes, raw: bytes
) -> None:
    queue, job = delayed_item.decode(item)
    assert (queue, job.class_name, job.raw) == ("mail", "Mail", raw)


def test_limits_are_those_of_the_item() -> None:
    text = payload.encode_job("Mail", [], Limits(5.0, None))
    _, job = delayed_item.decode(delayed_item.encode(text, "mail").encode())
    assert job.limits == Limits(5.0, None)


DEEP = b"[" * 100 + b"]" * 100


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"", "not JSON"),
        (b'["mail"]', "not an object but a list"),
        (b'{"queue":"mail"}', "names no class"),
        (b'{"class":"Mail","args":[]}', "delayed item names no queue"),
        (b'{"class":"Mail","args":[],"queue":""}', "delayed item names no queue"),
        (b'{"class":"Mail","args":[],"queue":7}', "delayed item names no queue"),
        (b'{"class":"Mail","queue":"mail","args":' + DEEP + b"}", "nested too deep"),
    ],
)
def test_what_is_no_delayed_job(item: bytes, reason: str) -> None:
    with pytest.raises(PayloadError, match=reason):
        delayed_item.decode(item)
