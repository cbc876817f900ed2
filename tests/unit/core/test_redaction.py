"""Arguments of jobs as logs and pages may show them."""

from __future__ import annotations

from resqued.core.redaction import arguments


def test_what_is_nested_too_deeply_is_hidden() -> None:
    value: object = {"password": "x"}
    for _ in range(600):
        value = [value]
    (text,) = arguments((), [value], ("password",)).values()
    assert "'x'" not in text
