"""The demo: real jobs on real files, from an empty host to a checked result.

Runs in the process of the command `resqued demo`, which starts a server and a master,
enqueues jobs, waits for them, and checks their results. Nothing else uses it.
"""

from __future__ import annotations

from resqued.errors import ResquedError

NAMESPACE = "resqued-demo"


class DemoError(ResquedError):
    """The demo cannot continue; everything that it started has been ended."""
