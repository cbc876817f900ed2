"""What people read when their application cannot be imported."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resqued.jobs import import_failure

DJANGO = """
class AppRegistryNotReady(Exception): ...
def check(): raise AppRegistryNotReady("Apps aren't loaded yet.")
"""

# The files of an application, which is imported as shop.jobs, and what is said.
FAILURES: list[tuple[dict[str, str], str]] = [
    (
        {"jobs": "import shop.conf", "conf": "\n\nimport json; json.loads('{')"},
        r"JSONDecodeError at {here}/shop/conf\.py:3 \(in json/decoder\.py:\d+\): Exp.*",
    ),
    (
        {"jobs": "\nimport nope_nope"},
        r"ModuleNotFoundError at {here}/shop/jobs\.py:2: No module named 'nope_nope'",
    ),
    (
        {"jobs": "import shop.conf", "conf": "x = 1\ndef (:"},
        r"SyntaxError at {here}/shop/conf\.py:2: invalid syntax",
    ),
    (
        {"jobs": "def f():\n    raise KeyError('a')\nf()"},
        r"KeyError at {here}/shop/jobs\.py:2: 'a'",
    ),
    (
        {
            "jobs": "try:\n    {}['a']\nexcept KeyError as error:\n"
            "    raise RuntimeError('no setting') from error"
        },
        r"RuntimeError at {here}/shop/jobs\.py:4: no setting; caused by KeyError: 'a'",
    ),
    (
        {
            "jobs": "try:\n    1 / 0\nexcept Exception:\n"
            "    raise OSError('x') from None"
        },
        r"OSError at {here}/shop/jobs\.py:4: x",
    ),
    (
        {"jobs": "import resqued\nresqued.job(queue='a,b')"},
        r"QueueNameError at {here}/shop/jobs\.py:2: job: queue 'a,b' cannot be .*",
    ),
    (
        {"jobs": "import settings_beside"},
        r"ValueError at {here}/settings_beside\.py:1: beside",
    ),
    (
        {
            "jobs": "class E(Exception):\n    def __str__(self): raise LookupError\n"
            "raise E"
        },
        r"E at {here}/shop/jobs\.py:3: \(no text: __str__ raised LookupError\)",
    ),
    (
        {"jobs": "raise ValueError('x' * 1_000_000)"},
        r"ValueError at {here}/shop/jobs\.py:1: x{2000}…",
    ),
    (
        {"jobs": "\nimport some_library; some_library.check()"},
        r"AppRegistryNotReady at {here}/shop/jobs\.py:2 .*: call django\.setup\(\) .*",
    ),
]


@pytest.fixture
def failing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., BaseException]:
    """Import a module of the application, and return what it fails with."""
    installed = tmp_path / "venv" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "some_library.py").write_text(DJANGO)
    (tmp_path / "settings_beside.py").write_text("raise ValueError('beside')")
    monkeypatch.syspath_prepend(installed)
    monkeypatch.syspath_prepend(tmp_path)

    def fail(files: dict[str, str], module: str = "shop.jobs") -> BaseException:
        (tmp_path / "shop").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / "shop" / f"{name}.py").write_text(text)
        before = set(sys.modules)
        try:
            importlib.import_module(module)
        except Exception as error:
            return error
        finally:
            for name in set(sys.modules) - before:
                del sys.modules[name]
        raise AssertionError("it was imported")

    return fail


@pytest.mark.parametrize(("files", "said"), FAILURES, ids=[f[1][:20] for f in FAILURES])
def test_the_place_is_in_the_application(
    failing: Any, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    error = failing(files)
    text = import_failure.explain("shop.jobs", error, ("shop.jobs",), str(tmp_path))
    pattern = said.replace("{here}", re.escape(str(tmp_path)))
    assert re.fullmatch(f"cannot import shop\\.jobs: {pattern}", text), text


def test_a_package_that_is_installed_is_the_application_if_it_is_named(
    failing: Any, tmp_path: Path
) -> None:
    library = tmp_path / "venv" / "site-packages" / "some_library.py"
    error = failing({"jobs": "import some_library; some_library.check()"})
    text = import_failure.explain("x", error, ("some_library.jobs",), "/nowhere")
    assert f" at {library}:3: " in text


def test_the_stack_begins_with_the_application(failing: Any, tmp_path: Path) -> None:
    error = failing({"jobs": "import json; json.loads('{')"})
    error.__traceback__ = error.__traceback__.tb_next  # the frame of this test
    lines = import_failure.stack(error).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{tmp_path}/shop/jobs.py", line 1')
    assert lines[-1].startswith("json.decoder.JSONDecodeError: Expecting")
