"""Ports for kernels: below those that the system gives to whoever asks for any.

Jupyter picks ports that are free, lets go of them, and the kernel takes them up to a second later.  Where hundreds of
kernels, servers and browsers come and go meanwhile, one of them was given such a port now and then.
"""

from __future__ import annotations

import os
import socket
from itertools import count

FIRST, SHARE = 20_000, 1_500
"""Each worker of xdist has so many, one after the other, from that one on."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw7").removeprefix("gw")) % 8
_next = count(os.getpid() * 37)


def free_ports(many: int) -> list[int]:
    """So many ports of this machine that nobody listens at."""
    found: list[int] = []
    while len(found) < many:
        port = FIRST + SHARE * _WORKER + next(_next) % SHARE
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found
