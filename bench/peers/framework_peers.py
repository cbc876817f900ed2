"""The bare loop and resqued with an application that imports as much as one that is
written with a large framework, such as Django.
"""

from dataclasses import replace

from peers.bare_peer import BARE
from peers.peer import JOBS, Peer
from peers.resqued_peer import RESQUED

_KEY = f"{BARE.key}-framework"
_APPS = ((BARE, "framework_data"), (RESQUED, "framework_jobs"))

FRAMEWORK: tuple[Peer, ...] = tuple(
    replace(
        peer,
        key=f"{peer.key}-framework",
        title=f"{peer.title}, application of 60 MB",
        app=app,
        parts=(JOBS,),
        base=_KEY,
    )
    for peer, app in _APPS
)
