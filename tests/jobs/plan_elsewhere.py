"""Makes plans in a process of its own, which may reach no machine.

Reads ``{slug: [params, [machine name, ...]]}`` and prints ``{slug: hash}``, both JSON.
"""

from __future__ import annotations

import json
import socket
import sys

import django


def forbid_connections() -> None:
    """End the process when Python code connects to anything; the database's drivers do so in C."""

    def refuse(self: socket.socket, address: object) -> None:
        sys.exit(f"planning tried to reach {address!r}")

    socket.socket.connect = refuse  # type: ignore[method-assign, assignment]


def main() -> None:
    django.setup()
    from hardware.inventory.models import Machine
    from jobs.services import plan

    forbid_connections()
    asked = json.load(sys.stdin)
    made = {}
    for slug, (params, names) in asked.items():
        machines = [Machine.objects.get(name=name) for name in names]
        made[slug] = plan(slug, params, machines)[0].hash
    print(json.dumps(made))


if __name__ == "__main__":
    main()
