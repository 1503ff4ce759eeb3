"""Detached runs: commands that outlive their SSH session. ``supervisor`` describes the folder they live in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from hardware.ssh import supervisor
from hardware.ssh.command import CommandResult, execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import DiskFull, MachineRebooted, NoShell, RunLost, SSHFailure, TransferRefused
from hardware.ssh.pool import Pool
from hardware.ssh.supervisor import RUNS_DIR


@dataclass(frozen=True)
class Started:
    """``attached``: the run had been started before, and was not started again. ``boot_id`` is the run's."""

    attached: bool
    boot_id: str


@dataclass(frozen=True)
class RunStatus:
    """What the run's folder says now. ``exit_status`` and ``log_bytes`` are ``None`` while there are none."""

    exists: bool
    started: bool
    alive: bool
    boot_id: str
    machine_boot_id: str
    exit_status: int | None
    log_bytes: int | None


async def prepare(pool: Pool, endpoint: Endpoint, run_id: str, command: str, *, root: str = RUNS_DIR) -> str:
    """Make the run's folder, with ``command`` (POSIX sh), and start nothing; returns the machine's boot id.

    The boot id is to be written down before ``start`` is called with it: from then on a run whose folder is not there
    counts as lost. May be called again until then. Raises ``DiskFull``, ``TransferRefused``, ``NoShell`` and what
    ``execute`` raises.
    """
    result = await execute(pool, endpoint, "sh -s", input=supervisor.prepare_text(root, run_id, command))
    lines = result.stdout.split()
    if result.exit_status != 0 or len(lines) != 1:
        raise _refused(endpoint, result, run_id, root)
    return lines[0]


async def start(
    pool: Pool,
    endpoint: Endpoint,
    run_id: str,
    boot_id: str,
    *,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    root: str = RUNS_DIR,
) -> Started:
    """Start a prepared run once, however often this is called. ``boot_id`` is what ``prepare`` gave.

    ``env`` goes over stdin and never shows in a process list. ``secrets`` (names that a shell variable could have) go
    the same way, each into a file of mode 0600 that the command finds as ``$CONSOLE_SECRETS/NAME``.

    Raises ``RunLost`` when the folder is not there, ``MachineRebooted`` when there is no mark and the machine restarted
    since; then it is not known whether it was started. Raises ``DiskFull``, ``TransferRefused``, ``NoShell`` and what
    ``execute`` raises, too; after ``LinkLost`` just call again.
    """
    text = supervisor.start_text(root, run_id, boot_id, env, secrets)
    result = await execute(pool, endpoint, "sh -s", input=text)
    lines = result.stdout.split()
    if result.exit_status != 0 or len(lines) != 2:
        raise _refused(endpoint, result, run_id, root)
    return Started(lines[0] == "attached", lines[1])


def _refused(endpoint: Endpoint, result: CommandResult, run_id: str, root: str) -> SSHFailure:
    """What a text of the supervisor that did not do its work meant."""
    if result.exit_status == supervisor.NO_RUN:
        return RunLost(endpoint.name, f"the folder of run {run_id} is gone; whether its command ran is not known.")
    if result.exit_status == supervisor.REBOOTED:
        return MachineRebooted(endpoint.name, f"it restarted as run {run_id} was to begin.")
    if result.exit_status in (126, 127):
        return NoShell(endpoint.name, "it has no working /bin/sh.")
    if "No space left" in result.stderr:
        return DiskFull(endpoint.name, f"no space left for the run folder in {root}.")
    if result.exit_status == supervisor.NO_SPACE_OR_RIGHT:
        return TransferRefused(endpoint.name, f"the run folder in {root} can't be written ({_last(result)}).")
    return RunLost(endpoint.name, f"the run could not be started (exit code {result.exit_status}: {_last(result)}).")


async def inspect(pool: Pool, endpoint: Endpoint, run_id: str, *, root: str = RUNS_DIR) -> RunStatus:
    """Read the run's folder; changes nothing."""
    result = await execute(pool, endpoint, supervisor.status_text(root, run_id))
    said = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    return RunStatus(
        exists="exists" in said,
        started="started" in said,
        alive="alive" in said,
        boot_id=said.get("boot", ""),
        machine_boot_id=said.get("now", ""),
        exit_status=int(said["exit"]) if said.get("exit", "").isdigit() else None,
        log_bytes=int(said["size"]) if said.get("size", "").strip().isdigit() else None,
    )


async def cancel(pool: Pool, endpoint: Endpoint, run_id: str, *, grace: int = 10, root: str = RUNS_DIR) -> None:
    """TERM to the process group, ``grace`` seconds, KILL. Returns when the run has ended; fine if it had before."""
    await execute(pool, endpoint, supervisor.cancel_text(root, run_id, grace), timeout=grace + 30)


async def wipe_secrets(pool: Pool, endpoint: Endpoint, run_id: str, *, root: str = RUNS_DIR) -> None:
    """Remove the secrets of a run whose supervisor could not: it was killed, or the machine restarted."""
    await execute(pool, endpoint, f"rm -rf -- {shlex.quote(f'{root}/{run_id}/secrets')}")


async def discard(pool: Pool, endpoint: Endpoint, run_id: str, *, root: str = RUNS_DIR) -> None:
    """Remove the folder of a run that has ended and whose log is stored."""
    await execute(pool, endpoint, f"rm -rf -- {shlex.quote(f'{root}/{run_id}')}")


def _last(result: CommandResult) -> str:
    lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"
