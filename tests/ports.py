"""Ports for servers that a test starts: not those that the kernel gives to outgoing connections."""

from __future__ import annotations

import random
import socket

# Below Linux's default range of ephemeral ports (32768 and up), above what services have.
LOW, HIGH = 20_000, 32_000


def free_ports(count: int = 1) -> int:
    """The first of ``count`` free ports in a row on 127.0.0.1."""
    while True:
        first = random.randrange(LOW, HIGH - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
