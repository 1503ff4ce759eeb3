"""Ports for servers that a test starts: not those that the kernel gives to outgoing connections."""

from __future__ import annotations

import random
import socket

from tests import apart

# Below Linux's default range of ephemeral ports (32768 and up), above what services have.
LOW, HIGH = 20_000, 32_000
# Each process that runs tests has ports of its own: one that was found free here is not taken by another one's server.
SHARE = 1_000


def free_ports(count: int = 1) -> int:
    """The first of ``count`` free ports in a row on 127.0.0.1."""
    low = LOW + apart.NUMBER * SHARE % (HIGH - LOW)
    while True:
        first = random.randrange(low, low + SHARE - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
