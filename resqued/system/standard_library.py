"""The standard library as it was before the application was imported.

An application may replace parts of the standard library in place: gevent replaces
`os.fork`, PySocks `socket.socket`, a test tool `time.time`. Such a replacement is meant
for the application, and must not affect the code that runs and supervises its jobs.
"""

import sys
from types import ModuleType

# Modules that are not copied: sys belongs to the interpreter, asyncio runs the
# application's coroutines, and logging has the application's handlers.
_SHARED = frozenset({"sys", "builtins", "asyncio", "logging"})


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
                    copy = copies.setdefault(value.__name__, ModuleType(value.__name__))
                    copy.__dict__.update(vars(value))
                    setattr(module, key, copy)


def _is_kept(name: str) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names and top not in _SHARED
