"""The jobs of `bench.web_data`: each counts its number in the hash `witness`."""

from __future__ import annotations

import os
import socket

import resqued
from bench.web_data import CLASSES

_PLACE = (os.environ["WITNESS_HOST"], int(os.environ["WITNESS_PORT"]))


def _perform(number: int, *_: object) -> None:
    # A bare socket, because a client of Redis would cost more than the rest of a job.
    with socket.create_connection(_PLACE) as witness:
        witness.sendall(b"HINCRBY witness %d 1\r\n" % number)
        if not witness.recv(100).startswith(b":"):
            raise RuntimeError(f"the witness has not counted {number}")


for _name in CLASSES:
    resqued.job(name=_name)(_perform)
