"""The names of everything in Redis, as Resque and node-resque have them."""

from __future__ import annotations

import pytest

from resqued.wire.keys import Keys, prefix_of

KEYS = Keys()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (KEYS.queues, "resque:queues"),
        (KEYS.queue("mail"), "resque:queue:mail"),
        (KEYS.failed, "resque:failed"),
        (KEYS.workers, "resque:workers"),
        (KEYS.worker("h:1:q"), "resque:worker:h:1:q"),
        (KEYS.started("h:1:q"), "resque:worker:h:1:q:started"),
        (KEYS.heartbeats, "resque:workers:heartbeat"),
        (KEYS.identities, "resque:resqued:workers"),
        (KEYS.ping("h:1"), "resque:worker:ping:h:1"),
        (KEYS.stat("failed"), "resque:stat:failed"),
        (KEYS.stat("failed", "h:1:q"), "resque:stat:failed:h:1:q"),
        (KEYS.paused, "resque:pause-all-workers"),
        (KEYS.prune_lock, "resque:pruning_dead_workers_in_progress"),
    ],
)
def test_names_of_keys(key, name):
    assert key == name


@pytest.mark.parametrize(
    ("namespace", "prefix"), [("resque", "resque:"), ("app:jobs", "app:jobs:")]
)
def test_a_namespace_stands_in_front_of_every_key(namespace, prefix):
    keys = Keys(namespace)
    assert prefix_of(keys) == prefix
    assert keys.queue("mail") == f"{prefix}queue:mail"
    assert keys.workers == f"{prefix}workers"
