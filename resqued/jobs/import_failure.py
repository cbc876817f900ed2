"""Why the application cannot be imported, and where in its own files.

An error is often raised deep in a library, in a file that its reader has not written.
The place that counts is the last one in the application.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection
from pathlib import Path

# The frames of resqued itself say nothing of the application.
_PACKAGE = Path(__file__).parents[1]
_ZYGOTE = str(_PACKAGE / "zygote.py")

# What the reader of a stack needs is at its end.
_LONGEST_STACK = 16_384
# The most characters of the text of an error.
_LONGEST_TEXT = 2_000

_DJANGO = (
    "settings are not configured",
    "DJANGO_SETTINGS_MODULE",
    "Apps aren't loaded yet",
)


def explain(
    module: str, error: BaseException, modules: Collection[str], directory: str
) -> str:
    """Return in one sentence what the import of `module` failed with, and where.

    The place is the last one in a file of the application: in a package of `modules`,
    or below its directory. Where the error was raised, and its first cause, are named
    if they are others.
    """
    place, raised = _places(error, modules, directory)
    text = f"cannot import {module}: {type(error).__name__}"
    if place:
        text += f" at {place}"
    if raised and raised != place:
        text += f" (in {_short(raised)})"
    said = error.msg if isinstance(error, SyntaxError) else text_of(error)
    text += f": {said}"
    if (cause := _first_cause(error)) is not error:
        text += f"; caused by {type(cause).__name__}: {text_of(cause)}"
    return text + _hint(error)


def stack(error: BaseException | None) -> str:
    """Return the traceback of an error, without the frames that led to the import."""
    if error is None:
        return ""
    whole = traceback.TracebackException.from_exception(error)
    parts = [whole]
    for part in parts:
        part.stack[:] = [f for f in part.stack if not _is_machinery(f.filename)]
        parts += [p for p in (part.__cause__, part.__context__) if p is not None]
    return "".join(whole.format())[-_LONGEST_STACK:]


def _places(
    error: BaseException, modules: Collection[str], directory: str
) -> tuple[str, str]:
    """Return the last place in the application, and where the error was raised."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}", ""
    place = raised = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        name, file = frame.f_globals.get("__name__", ""), frame.f_code.co_filename
        is_resqued = Path(file).is_relative_to(_PACKAGE) and name not in modules
        if is_resqued or _is_machinery(file):
            continue
        raised = f"{file}:{line}"
        if _is_ours(name, file, modules, directory):
            place = raised
    return place or raised, raised


def _is_ours(name: str, file: str, modules: Collection[str], directory: str) -> bool:
    package = name.partition(".")[0]
    if any(package == module.partition(".")[0] for module in modules):
        return True
    path = Path(file)
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return path.is_relative_to(directory) and not is_installed


def _is_machinery(file: str) -> bool:
    return file.startswith("<frozen") or "importlib" in file or file == _ZYGOTE


def _short(place: str) -> str:
    """Return a place without the folder of the search path that it is found in."""
    folders = [f"{folder}/" for folder in sys.path if place.startswith(f"{folder}/")]
    return place.removeprefix(max(folders, key=len, default=""))


def text_of(error: BaseException) -> str:
    """Return the text of an error, cut if it is very long, whatever its class does."""
    try:
        text = str.__str__(str(error))
    except BaseException as trouble:
        return f"(no text: __str__ raised {type(trouble).__name__})"
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _first_cause(error: BaseException) -> BaseException:
    seen = {id(error)}
    while True:
        context = None if error.__suppress_context__ else error.__context__
        before = error.__cause__ or context
        if before is None or id(before) in seen:
            return error
        seen.add(id(before))
        error = before


def _hint(error: BaseException) -> str:
    if any(said in text_of(error) for said in _DJANGO):
        return ": call django.setup() in a module that is imported before it"
    return ""
