"""The manual pages, as mandoc reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

PAGES = sorted((ROOT / "man").glob("resqued*.[0-9]"))


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not here")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_nothing_wrong(page: Path) -> None:
    told = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", str(page)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout + told.stderr == ""
