"""The action that proves a credential: a login with it, and with its key alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hardware.database import on_db_until_done
from hardware.inventory.models import Credential, Machine
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import AuthenticationRefused
from hardware.ssh.pool import Pool
from jobs.failures import JobFailed
from jobs.plan import LogIn


async def prove(pool: Pool, machine_id: int, action: LogIn) -> dict[str, Any]:
    """Log in to a machine with the credential and become root as it says. Raises ``JobFailed`` and ``SSHFailure``."""
    endpoint = await on_db_until_done(_endpoint, machine_id, action)
    try:
        await execute(pool, endpoint, "true", timeout=30)
    except AuthenticationRefused as wrong:
        raise JobFailed(
            "new-key-refused",
            f"{endpoint.name}: the new key was added, and a login of user {action.username} with it is refused.",
            "See AuthorizedKeysFile and PubkeyAuthentication in its sshd_config. It keeps the credential that it has.",
        ) from wrong
    return {}


def _endpoint(machine_id: int, action: LogIn) -> Endpoint:
    machine = Machine.objects.select_related("credential", "jump__credential").get(pk=machine_id)
    found = Credential.objects.filter(name=action.credential, username=action.username).first()
    if found is None:
        raise JobFailed("credential-missing", f"The credential {action.credential} is gone.", "Plan the job anew.")
    machine.credential = found
    # With its key alone, and not with what the machine has now: another way in would prove nothing.
    return replace(machine.endpoint(), password=None, renew=None)
