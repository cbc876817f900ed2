"""How the objects are found again whose methods are called later.

Runs in the producer, for the id of an object, and in the child, for the object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias

from resqued.errors import JobClassError, ObjectNotFoundError


class Session(Protocol):
    """A sessionmaker of SQLAlchemy, as far as it is used here."""

    def begin(self) -> AbstractContextManager[Any]:
        """Return a session with a transaction, which commits it at the end."""


class Finder(NamedTuple):
    """The way from an object of a class to its id, and back.

    `find` returns the object, or a context manager that has the object while the
    method runs.
    """

    owner: type
    identity: Callable[[Any], object]
    find: Callable[[Any], Any]

    @contextmanager
    def found(self, identity: Any) -> Iterator[Any]:
        """Have the object with this id, within the block.

        Raises ObjectNotFoundError if there is none, and what `find` raises.
        """
        target = self.find(identity)
        if isinstance(target, AbstractContextManager) and not self._owns(target):
            with target as held:
                yield self._checked(held, identity)
        else:
            yield self._checked(target, identity)

    def _owns(self, target: object) -> bool:
        return isinstance(target, self.owner)

    def _checked(self, target: Any, identity: Any) -> Any:
        if self._owns(target):
            return target
        path = f"{self.owner.__module__}.{self.owner.__qualname__}"
        said = "None" if target is None else f"an object of {type(target)!r}"
        raise ObjectNotFoundError(
            f"{path} {identity!r} was not found: find gave {said}"
        )


# What an application gives to say how objects are found: find, identity, session.
Ways: TypeAlias = tuple[
    Callable[[Any], Any] | None, Callable[[Any], object] | None, Session | None
]


def finder_of(
    owner: type,
    find: Callable[[Any], Any] | None,
    identity: Callable[[Any], object] | None,
    session: Session | None,
) -> Finder:
    """Return how objects of a class are found: as it is given, or as the class says.

    Raises JobClassError if neither says so.
    """
    way = find or getattr(owner, "find", None)
    if inspect.iscoroutinefunction(way):
        raise JobClassError(
            f"{owner.__module__}.{owner.__qualname__}: find is async def, and objects"
            " are found before an event loop runs: write def"
        )
    ready = Finder(owner, _attribute_id, _find_of_class(owner))
    if session is not None:
        ready = _of_sqlalchemy(owner, session)
    elif hasattr(owner, "_base_manager"):
        ready = _of_django(owner)
    elif find is None and not callable(getattr(owner, "find", None)):
        raise JobClassError(
            f"{owner.__module__}.{owner.__qualname__} has no class method find(id):"
            " write one, or give find="
        )
    return Finder(owner, identity or ready.identity, find or ready.find)


def _find_of_class(owner: type) -> Callable[[Any], Any]:
    def find(identity: Any) -> Any:
        # Looked up here, because a test may replace it.
        return owner.find(identity)  # type: ignore[attr-defined]

    return find


def _attribute_id(target: Any) -> object:
    return getattr(target, "id", None)


def _plain(value: object) -> object:
    """Return a key as JSON can hold it; databases take the text of a UUID as well."""
    return value if value is None or isinstance(value, int | str) else str(value)


def _of_django(owner: Any) -> Finder:
    # A default manager may leave out some objects, such as those that were archived.
    return Finder(
        owner,
        lambda target: _plain(target.pk),
        lambda identity: owner._base_manager.get(pk=identity),
    )


def _of_sqlalchemy(owner: Any, session: Session) -> Finder:
    def identity(target: object) -> object:
        keys = owner.__mapper__.primary_key_from_instance(target)
        if None in keys:
            return None
        return keys[0] if len(keys) == 1 else list(keys)

    @contextmanager
    def find(identity: Any) -> Iterator[Any]:
        key = tuple(identity) if isinstance(identity, list) else identity
        with session.begin() as opened:
            yield opened.get(owner, key)

    return Finder(owner, identity, find)
