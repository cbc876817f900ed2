"""The option --realtime: no other process takes time from the measured server."""

import argparse
import os

import redis


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the option, which is False by default."""
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="as root: no other process takes time from the server",
    )


def give_precedence(client: redis.Redis) -> None:
    """Give the server of a client a real-time priority; raise PermissionError.

    The kernel stops such a process for 50 ms when it has used its processor for 950 ms
    of a second, unless kernel.sched_rt_runtime_us is -1 (sched(7)).
    """
    pid = client.info("server")["process_id"]
    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
