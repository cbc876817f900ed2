"""The demo: the main job on real input, from an empty machine to a checked result.

Runs in the command's own process, which starts a server and a master, puts jobs
on their queues, watches, and checks what they have made. Nothing here is used by
anything but `resqued demo`.
"""

from __future__ import annotations

from resqued.errors import ResquedError

NAMESPACE = "resqued-demo"


class DemoError(ResquedError):
    """The demo cannot go on; what it had begun is undone."""
