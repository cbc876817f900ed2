"""The standard library as it was before the application was imported.

An application may replace parts of the standard library in place: gevent replaces
`os.fork`, PySocks `socket.socket`, a test tool `time.time`. Such a replacement is meant
for the application, and must not affect the code that runs and supervises its jobs.
"""

import sys
from types import FunctionType, ModuleType
from typing import Any

# Modules that are not copied: sys belongs to the interpreter, asyncio runs the
# application's coroutines, and logging has the application's handlers.
_SHARED = frozenset({"sys", "builtins", "asyncio", "logging"})

# Modules whose functions have no state but global names that applications replace, such
# as json._default_decoder, for one that reads numbers as Decimal. Functions of other
# modules keep the original's global names: most of these modules have state.
_WITH_GLOBALS = frozenset({"json"})


def keep_own_copies() -> None:
    """Give the modules of this package their own copies of the modules they import.

    Runs in the zygote, before the application is imported. A copy has the functions
    and classes of the original; a later replacement in the original does not change
    the copy.
    """
    copies: dict[str, ModuleType] = {}
    for name, module in list(sys.modules.items()):
        if name == "__main__" or name.partition(".")[0] == "resqued":
            for key, value in list(vars(module).items()):
                if isinstance(value, ModuleType) and _is_kept(value.__name__):
                    if value.__name__ not in copies:
                        copies[value.__name__] = _copy(value)
                    setattr(module, key, copies[value.__name__])


def _copy(module: ModuleType) -> ModuleType:
    copy = ModuleType(module.__name__)
    copy.__dict__.update(vars(module))
    if module.__name__ in _WITH_GLOBALS:
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                copy.__dict__[name] = _with_globals(value, copy.__dict__)
    return copy


def _with_globals(function: FunctionType, values: dict[str, Any]) -> FunctionType:
    """Return a function whose global names are those of a copy of its module."""
    copy = FunctionType(
        *(function.__code__, values, function.__name__),
        *(function.__defaults__, function.__closure__),
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _is_kept(name: str) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names and top not in _SHARED
