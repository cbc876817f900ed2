"""The wanted number of workers by queue list, from configuration and commands."""

from __future__ import annotations

from collections.abc import Mapping

from resqued.errors import ControlError


class WantedWorkers:
    """The wanted number of workers by queue list; the order is the configuration's."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        # The generation whose configuration the numbers come from.
        self._generation: int | None = None
        # The numbers set by command since the configuration was read.
        self._scaled: dict[str, int] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """The wanted number of workers by queue list."""
        return self._counts

    def follow(self, generation: int, configured: Mapping[str, int]) -> None:
        """Use the numbers of a generation, except those set by command since."""
        if generation != self._generation:
            self._generation = generation
            self._counts = {
                name: self._scaled.get(name, workers)
                for name, workers in configured.items()
            }

    def resume(self, generation: int, counts: Mapping[str, int]) -> None:
        """Use the numbers that the older program of this master recorded."""
        self._generation, self._counts = generation, dict(counts)

    def forget_scaling(self) -> None:
        """Forget the numbers set by command: the next generation brings its own."""
        self._scaled.clear()

    def scale(self, name: str, workers: int) -> None:
        """Set the wanted number of workers of an existing queue list."""
        self._counts[name] = self._scaled[name] = workers

    def list_named(self, name: str | None) -> str:
        """Return the queue list of that name; None means the only one.

        Raises ControlError if no list has that name, or if None is ambiguous.
        """
        if name is None and len(self._counts) == 1:
            return next(iter(self._counts))
        if name is not None and name in self._counts:
            return name
        lists = " and ".join(map(repr, self._counts))
        if name is None:
            raise ControlError(f"which pool? name its queues: there are {lists}")
        raise ControlError(f"there is no pool on {name!r}; there is {lists}")
