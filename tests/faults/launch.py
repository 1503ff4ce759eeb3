"""Launches a job of the test's kind in whatever database this process's environment names, and prints its id."""

from __future__ import annotations

import json
import sys

import django


def main(port: int, host_key: str, params: str) -> None:
    django.setup()
    from django.core.management import call_command

    from hardware.inventory.models import Credential, Machine
    from jobs.services import launch
    from tests import command_kind
    from tests.sshd import PASSWORD

    call_command("migrate", verbosity=0)
    command_kind.register()
    machine = Machine.objects.create(
        name="host-1", host="127.0.0.1", port=port, state=Machine.State.READY, host_key=host_key,
        credential=Credential.objects.create(name="lab", password=PASSWORD),
    )  # fmt: skip
    print(launch("command", json.loads(params), [machine], actor="ada").pk)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
