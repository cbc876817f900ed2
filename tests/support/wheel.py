"""The package as users get it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(place: Path) -> Path:
    """Build a wheel, from a copy: setuptools leaves what it made beside the source."""
    source = place / "source"
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "build", "tests", "bench")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", place / "wheel", source], check=True)
    return next((place / "wheel").glob("*.whl"))
