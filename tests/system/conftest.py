"""What scenarios of one running master share."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_py

from tests.support.site import Site


@pytest.fixture
def site(redis_url: str, redis: redis_py.Redis, tmp_path: Path) -> Site:
    site = Site(tmp_path, redis_url, redis)
    site.release("one")
    site.configure()
    return site
