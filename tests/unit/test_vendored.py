"""What the web front end brings of others, and that it loads nothing else."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import ROOT

WEB = ROOT / "resqued" / "web"
VENDOR = WEB / "static" / "vendor"
PACKAGES = tomllib.loads((ROOT / "tools" / "vendor.toml").read_text())["package"]
TEMPLATES = sorted((WEB / "templates").rglob("*.html"))
OWN = sorted(
    file
    for file in (WEB / "static").rglob("*")
    if file.is_file() and VENDOR not in file.parents
)
SCRIPTS = [file for file in OWN if file.suffix == ".js"]
# Our scripts are meant to be read.
MOST_LINES = 400

# What no template may have, with the reason. The policy of the pages refuses most.
FORBIDDEN = {
    r"\|\s*safe\b": "text from Redis is always escaped",
    r"\{%\s*autoescape": "text from Redis is always escaped",
    r"<script(?![^>]*\ssrc=\"\{\{ asset\()": "scripts are files of ours",
    r"</?style\b": "styles are in style.css",
    r"\sstyle\s*=": "styles are in style.css",
    r"\son[a-z]+\s*=": "handlers are in scripts",
    r"\bhx-on\b": "htmx would make a function of a text",
    r"\bjs:|\bjavascript:": "htmx would make a function of a text",
    r"\bhx-(?:vals|vars|headers)\b": "htmx may make a function of a text",
}
# Addresses that are loaded, not followed: all are ours.
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source|embed|object|use)\b[^>]*?"
    r"\s(?:src|href|data|srcset)\s*=\s*\"([^\"]*)",
)


def test_every_file_is_listed_and_unchanged() -> None:
    listed = {
        f"{package['name']}-{package['version']}/{name}": digest
        for package in PACKAGES
        for name, digest in package["sha256"].items()
    }
    found = {
        str(file.relative_to(VENDOR)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in VENDOR.rglob("*")
        if file.is_file()
    }
    assert found == listed


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_each_package_has_its_license_and_is_documented(
    package: dict[str, Any],
) -> None:
    assert package["files"].keys() == package["sha256"].keys()
    assert "LICENSE" in package["files"]
    assert package["integrity"].startswith("sha512-")
    rows = (ROOT / "docs" / "third-party.md").read_text().splitlines()
    (row,) = [row for row in rows if row.startswith(f"| [{package['name']}]")]
    for word in (package["version"], package["license"], package["use"]):
        assert f"| {word} |" in row
    assert package["url"] in row


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_has_nothing_inline(file: Path) -> None:
    text = file.read_text()
    for pattern, reason in FORBIDDEN.items():
        found = re.search(pattern, text, re.IGNORECASE)
        assert found is None, f"{found and found.group()!r}: {reason}"


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_template_loads_files_of_ours_alone(file: Path) -> None:
    for address in LOADED.findall(file.read_text()):
        assert address.startswith(("{{ asset(", "#")), address


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.name)
def test_a_static_file_loads_nothing_from_elsewhere(file: Path) -> None:
    text = file.read_text()
    assert set(_addresses(text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|\burl\(|\beval\(|new Function|hx-on", text)


def _addresses(text: str) -> Iterator[str]:
    yield from re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]+[^\s\"')]*", text)


def test_the_rules_find_what_they_are_for() -> None:
    for text in (
        "{{ name|safe }}",
        "<script>",
        '<script src="https://cdn.example/x.js">',
        "<style>",
        '<p style="color: red">',
        '<a onclick="x()">',
        '<a hx-on:click="x()">',
        '<a href="javascript:x()">',
    ):
        assert any(re.search(pattern, text) for pattern in FORBIDDEN), text
    assert LOADED.findall('<img alt="" src="//elsewhere.example/x.png">')
    assert list(_addresses("load('//elsewhere.example/x')"))


def test_scripts_of_ours_are_few() -> None:
    lines = sum(len(file.read_text().splitlines()) for file in SCRIPTS)
    assert lines < MOST_LINES
    for file in SCRIPTS:
        assert '"use strict";' in file.read_text(), file.name
