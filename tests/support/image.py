"""What contrib/container says: of the image, of compose, of Kubernetes."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "contrib" / "container"


@dataclass
class Image:
    """The last stage of a Containerfile."""

    base: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    health_options: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    user: str = ""
    workdir: str = ""
    # What is copied from the checkout, and where to.
    copied: list[tuple[str, str]] = field(default_factory=list)


def image() -> Image:
    """Read the Containerfile."""
    text = (PLACE / "Containerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = Image()
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "FROM":
                found = Image(base=rest)
            case "ENTRYPOINT":
                found.entrypoint = json.loads(rest)
            case "CMD":
                found.command = json.loads(rest)
            case "HEALTHCHECK":
                options, _, command = rest.partition("CMD ")
                found.health = json.loads(command)
                found.health_options = dict(
                    option.removeprefix("--").split("=") for option in options.split()
                )
            case "STOPSIGNAL":
                found.stop_signal = rest
            case "USER":
                found.user = rest
            case "WORKDIR":
                found.workdir = rest
            case "COPY" if not rest.startswith("--from"):
                *sources, target = shlex.split(rest)
                found.copied += [(source, target) for source in sources]
    return found


def compose() -> dict[str, Any]:
    """Read compose.yaml."""
    found: dict[str, Any] = yaml.safe_load((PLACE / "compose.yaml").read_text("utf-8"))
    return found


def kubernetes(name: str = "resqued") -> dict[str, dict[str, Any]]:
    """Read the objects of a name in kubernetes.yaml, each by its kind."""
    text = (PLACE / "kubernetes.yaml").read_text("utf-8")
    found = [o for o in yaml.safe_load_all(text) if o["metadata"]["name"] == name]
    assert len({one["kind"] for one in found}) == len(found)
    return {one["kind"]: one for one in found}


def pod(name: str = "resqued") -> dict[str, Any]:
    """Return what the Deployment of a name says of its pods."""
    found: dict[str, Any] = kubernetes(name)["Deployment"]["spec"]["template"]["spec"]
    return found
