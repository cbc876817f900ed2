"""What all views of one application share: settings, client, snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from resqued.client import Client
from resqued.config.web_settings import WebSettings
from resqued.store.job_queues import Queues
from resqued.web.local_control import LocalWorkers
from resqued.web.login_attempts import LoginAttempts
from resqued.web.parameter_names import ParameterNames
from resqued.web.request_counts import RequestCounts
from resqued.web.shared_facts import SharedFacts
from resqued.web.shared_read import Breaker
from resqued.web.snapshot import SnapshotKeeper
from resqued.wire.keys import Keys

_NAME = "resqued"
# Less than the patience of a person and of a proxy.
REDIS_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Site:
    """The settings of the web front end, its client, and the snapshot of all pages."""

    settings: WebSettings
    _client: Client
    keys: Keys = field(init=False)
    requests: RequestCounts = field(default_factory=RequestCounts)
    attempts: LoginAttempts = field(default_factory=LoginAttempts)
    _queues: Queues = field(init=False)
    keeper: SnapshotKeeper = field(init=False)
    facts: SharedFacts = field(init=False)
    parameters: ParameterNames = field(init=False)
    local: LocalWorkers = field(init=False)

    def __post_init__(self) -> None:
        link = self._client.registry.link
        keys = Keys(self.settings.namespace)
        queues = Queues(link, keys)
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "parameters", ParameterNames(link, keys))
        object.__setattr__(self, "_queues", queues)
        breaker = Breaker()
        keeper = SnapshotKeeper(self._client, queues, breaker)
        object.__setattr__(self, "keeper", keeper)
        object.__setattr__(self, "local", LocalWorkers(self.settings))
        facts = SharedFacts(self.settings, link, keys, breaker, REDIS_TIMEOUT)
        object.__setattr__(self, "facts", facts)

    @property
    def client(self) -> Client:
        """The client; raises StoreError at once while Redis does not answer."""
        self.keeper.check()
        return self._client

    @property
    def queues(self) -> Queues:
        """The queues; raises StoreError at once while Redis does not answer."""
        self.keeper.check()
        return self._queues

    @classmethod
    def of(cls, settings: WebSettings) -> Site:
        """Return a site with a client of its own; nothing is connected yet."""
        client = Client(
            settings.url, namespace=settings.namespace, timeout=REDIS_TIMEOUT
        )
        return cls(settings, client)

    def argument_names(self, class_name: str) -> tuple[str, ...] | None:
        """Return the names of the arguments of a class; none if they are not known.

        None if they cannot be read and [web] redact needs them: then every argument has
        to be hidden.
        """
        found = self.parameters.of(class_name)
        return found if found is not None or self.settings.redact else ()


def install(site: Site) -> None:
    """Make a site that of the current application."""
    current_app.extensions[_NAME] = site


def site() -> Site:
    """Return the site of the current application."""
    return cast("Site", current_app.extensions[_NAME])
