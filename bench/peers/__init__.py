"""The libraries that are compared, in the order of the tables."""

from peers import (
    bare_peer,
    celery_peer,
    dramatiq_peer,
    framework_peers,
    huey_peer,
    resqued_peer,
    rq_peer,
)
from peers.peer import ENQUEUE, IDLE, JOBS, LATENCY, PARTS, QUEUE, Launch, Peer, crews

PEERS: tuple[Peer, ...] = (
    bare_peer.BARE,
    resqued_peer.RESQUED,
    resqued_peer.RESQUED_WITHOUT_HISTORY,
    *crews(resqued_peer.RESQUED),
    resqued_peer.RESQUED_STAYING,
    *crews(resqued_peer.RESQUED_STAYING),
    rq_peer.RQ,
    rq_peer.RQ_SIMPLE,
    celery_peer.CELERY,
    *crews(celery_peer.CELERY),
    dramatiq_peer.DRAMATIQ,
    huey_peer.HUEY,
    *crews(huey_peer.HUEY),
    *framework_peers.FRAMEWORK,
)

BARE = bare_peer.BARE
RESQUED = resqued_peer.RESQUED
RESQUED_WITHOUT_HISTORY = resqued_peer.RESQUED_WITHOUT_HISTORY

__all__ = [
    "BARE",
    "ENQUEUE",
    "IDLE",
    "JOBS",
    "LATENCY",
    "PARTS",
    "PEERS",
    "QUEUE",
    "RESQUED",
    "RESQUED_WITHOUT_HISTORY",
    "Launch",
    "Peer",
]
