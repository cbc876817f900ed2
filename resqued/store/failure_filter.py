"""Which failures are meant: by class, queue, exception and time, or by ids.

Decides on one failure at a time, from its content; it asks Redis nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resqued.errors import ResquedError
from resqued.store.failure_entry import Failure

if TYPE_CHECKING:
    from resqued.core.text_filter import TextFilter

ID_DIGITS = 12
# With fewer digits an id could match another failure than the intended one.
FEWEST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """The failures for which every condition holds; without one, all failures."""

    class_name: str | None = None
    """The class that the payload names."""
    queue: str | None = None
    """The queue that the job was taken from."""
    exception: str | None = None
    """The class of the exception by its full name, such as `Resque::DirtyExit`."""
    since: float | None = None
    """The earliest `failed_at`, in seconds since the epoch."""
    until: float | None = None
    """The time before which the job failed, in seconds since the epoch."""
    is_retried: bool | None = None
    """Whether the job was enqueued again; None for both."""
    host: str | None = None
    """The host of the worker that ran the job."""
    group: str | None = None
    """The key of the group of failures with the same cause."""
    text: TextFilter | None = None
    """What the failure must contain."""

    def has(self, failure: Failure) -> bool:
        """Return True if all conditions hold for a failure.

        An entry whose `failed_at` cannot be read is at no time: `since` and `until` do
        not hold for it.
        """
        return (
            self.class_name in (None, failure.class_name)
            and self.queue in (None, failure.queue)
            and self.exception in (None, failure.exception)
            and self.is_retried in (None, failure.is_retried)
            and self.host in (None, failure.host)
            and self._has_time_of(failure)
            and self.group in (None, self.group and failure.group.key)
            and (self.text is None or self.text.has(failure.entry, failure.fields))
        )

    def _has_time_of(self, failure: Failure) -> bool:
        if self.since is None and self.until is None:
            return True
        failed_at = failure.failed_at
        if failed_at is None:
            return False
        at = failed_at.timestamp()
        return (self.since is None or self.since <= at) and (
            self.until is None or at < self.until
        )

    @property
    def is_all(self) -> bool:
        """Whether no failure is left out."""
        return self == FailureFilter()


def pick(ids: Iterable[str], newest_first: Iterable[Failure]) -> list[Failure]:
    """Return the failures that ids mean; an id may be shortened to four digits.

    Raises ResquedError for an id that is none, or that means no failure or several.
    """
    wanted = dict.fromkeys(checked_id(failure_id) for failure_id in ids)
    found: dict[str, dict[str, Failure]] = {prefix: {} for prefix in wanted}
    missing = set(wanted)
    for failure in newest_first:
        for prefix in wanted:
            if failure.id.startswith(prefix):
                found[prefix][failure.id] = failure
                missing.discard(prefix)
        if not missing and all(len(prefix) == ID_DIGITS for prefix in wanted):
            break
    if missing:
        names = ", ".join(prefix for prefix in wanted if prefix in missing)
        raise ResquedError(f"there is no failure {names}; `resqued failed` lists them")
    for prefix, matching in found.items():
        if len(matching) > 1:
            some = ", ".join(sorted(matching)[:5])
            raise ResquedError(f"id {prefix} means {len(matching)} failures: {some}")
    # Two ids may mean the same failure.
    each = {f.id: f for matching in found.values() for f in matching.values()}
    return list(each.values())


def checked_id(failure_id: str) -> str:
    """Return an id, or the beginning of one, in lower case.

    Raises ResquedError if it is not one, or too short to name a failure.
    """
    text = failure_id.strip().lower()
    if not set(text) <= set("0123456789abcdef") or len(text) > ID_DIGITS:
        raise ResquedError(
            f"there is no failure {failure_id!r}: an id is {ID_DIGITS} hex digits,"
            " as `resqued failed` shows"
        )
    if len(text) < FEWEST_DIGITS:
        raise ResquedError(
            f"id {failure_id!r} is too short: give {FEWEST_DIGITS} digits or more"
        )
    return text
