"""From the call of a job to the list of arguments that its payload holds.

A payload holds arguments by position alone. Arguments that are given by keyword are
put at the position that the parameters of the job give them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from resqued.errors import ArgumentError

_BY_POSITION = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
}


class _Shape(Struct, frozen=True):
    """The parameters of a function, and how many arguments it takes by position.

    As a text it is the names of the parameters: (repo_id, branch).
    """

    signature: inspect.Signature
    least: float
    most: float

    def __str__(self) -> str:
        bare = [
            p.replace(
                default=inspect.Parameter.empty, annotation=inspect.Parameter.empty
            )
            for p in self.signature.parameters.values()
        ]
        return str(inspect.Signature(bare))


def by_position(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any, ...]:
    """Return the arguments of a call of the job `name`, all of them by position.

    A parameter that is left out before one that is given by keyword has its default.
    Raises ArgumentError if the function cannot be called so, or if it takes one of
    the keywords by keyword alone.
    """
    shape = _shape(function)
    if shape is None:
        if kwargs:
            raise ArgumentError(
                f"{name}: its parameters are not known here, so give its arguments"
                " by position"
            )
        return args
    if not kwargs and shape.least <= len(args) <= shape.most:
        return args
    try:
        bound = shape.signature.bind(*args, **kwargs)
    except TypeError as error:
        unknown = _unknown(shape, kwargs)
        reason = unknown and f"got an unexpected keyword argument {unknown!r}"
        raise ArgumentError(f"{name} takes {shape}: {reason or error}") from None
    return _in_order(name, shape.signature, bound.arguments)


def _unknown(shape: _Shape, kwargs: Mapping[str, Any]) -> str | None:
    """Return the first keyword that the function does not have, if there is one.

    `Signature.bind` names what is missing before it.
    """
    parameters = shape.signature.parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return None
    return next((keyword for keyword in kwargs if keyword not in parameters), None)


def _in_order(
    name: str, signature: inspect.Signature, given: Mapping[str, Any]
) -> tuple[Any, ...]:
    values: list[Any] = []
    left_out: list[Any] = []
    for parameter in signature.parameters.values():
        if parameter.kind in _BY_POSITION and parameter.name not in given:
            left_out.append(parameter.default)
        elif parameter.kind in _BY_POSITION:
            values += [*left_out, given[parameter.name]]
            left_out = []
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            values += given.get(parameter.name, ())
        elif parameter.name in given:
            raise ArgumentError(
                f"{name} takes {parameter.name} by keyword alone, and a job has its"
                " arguments by position: drop the * or ** from its parameters"
            )
    return tuple(values)


def keywords_without_default(function: Callable[..., Any]) -> list[str]:
    """Return the parameters that no call by position can give."""
    shape = _shape(function)
    return [
        parameter.name
        for parameter in (shape.signature.parameters.values() if shape else ())
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.default is inspect.Parameter.empty
    ]


# An application has some hundred jobs; classes that it makes as it goes must not
# be kept for ever.
@lru_cache(maxsize=1024)
def _shape(function: Callable[..., Any]) -> _Shape | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # not written in Python
    parameters = signature.parameters.values()
    by_position = [p for p in parameters if p.kind in _BY_POSITION]
    kinds = {p.kind for p in parameters}
    needed = [p for p in parameters if p.default is inspect.Parameter.empty]
    return _Shape(
        signature,
        # Without a default by keyword alone no number of arguments is enough.
        least=math.inf
        if any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in needed)
        else sum(p.default is inspect.Parameter.empty for p in by_position),
        most=math.inf
        if inspect.Parameter.VAR_POSITIONAL in kinds
        else len(by_position),
    )
