"""Which keys of the configuration a reload cannot change."""

from __future__ import annotations

from resqued.config.loader import Config
from resqued.errors import ConfigError


def refuse_changes(old: Config, new: Config) -> None:
    """Raise ConfigError if a key differs that only a restart can change."""
    pairs = (
        ("[worker] hostname", old.app.hostname, new.app.hostname),
        ("[control] directory", old.control, new.control),
        ("[daemon] or [log] file", old.daemon, new.daemon),
    )
    changed = [name for name, before, after in pairs if before != after]
    if changed:
        raise ConfigError(
            f"{' and '.join(changed)} cannot change while the master runs: restart it"
        )
