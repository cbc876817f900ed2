"""Which Redis and namespace a command means, and whether a master serves it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resqued.diagnostics.redis_target import RedisTarget, redis_target
from resqued.errors import ConfigError
from tests.support.daemon import STEERING

HERE = "redis://localhost:6379/0"
SENTINELS = "redis+sentinel://s1,s2/jobs/0"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (HERE, HERE, True),
        (HERE, "redis://127.0.0.1", True),
        (HERE, "redis://LOCALHOST:6379/", True),
        (HERE, "rediss://localhost:6379", True),
        (HERE, "redis://user:***@[::1]:6379/0", True),
        (HERE, "redis://localhost?db=0", True),
        # A master of an older version does not tell it.
        (HERE, "", True),
        (HERE, "redis://localhost:6379/12", False),
        (HERE, "redis://localhost?db=12", False),
        (HERE, "redis://localhost:6380/0", False),
        (HERE, "redis://db7/0", False),
        (HERE, "unix:///run/redis.sock", False),
        ("unix:///run/redis.sock", "unix://user:***@/run/redis.sock?db=0", True),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=1", False),
        ("redis://h:x", "redis://h:y", False),
        (HERE, "redis+cluster://db7,localhost", True),
        (HERE, "redis+sentinel://localhost:6379/jobs/0", False),
        (SENTINELS, SENTINELS, True),
        (SENTINELS, "redis+sentinel://u:***@S2:26379/jobs", True),
        (SENTINELS, "redis+sentinel://s2/jobs?sentinel_password=***", True),
        (SENTINELS, "redis+sentinel://s2/mail", False),
        (SENTINELS, "redis+sentinel://s2/jobs/1", False),
        (SENTINELS, "redis+sentinel://s3/jobs", False),
    ],
)
def test_a_place_has_several_names(one: str, other: str, is_same: bool) -> None:
    assert RedisTarget(one, "resque").is_among(other, ["mail", "resque"]) is is_same
    assert not RedisTarget(one, "resque").is_among(other, ["shop"])


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if STEERING.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setattr("resqued.config.loader.DEFAULT_PATH", tmp_path / "none")


def test_it_is_named_by_an_option_the_environment_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert redis_target(None, None, None) == RedisTarget(HERE, "resque", is_named=False)
    assert redis_target(None, None, "shop") == RedisTarget(HERE, "shop")
    file = tmp_path / "a.toml"
    file.write_text('[redis]\nurl = "redis://:secret@db7/3"\n')
    assert redis_target(str(file), None, None) == RedisTarget(
        "redis://:***@db7/3", "resque"
    )
    monkeypatch.setenv("REDIS_URL", "redis://db8")
    assert redis_target(None, None, None) == RedisTarget("redis://db8", "resque")


def test_a_file_that_cannot_be_read_names_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[")
    assert redis_target(str(file), None, None) is None
    with pytest.raises(ConfigError):
        redis_target(str(file), None, "shop")
