"""Beginning a run in one call, where nothing is to happen between its two moves."""

from __future__ import annotations

from collections.abc import Mapping

from hardware.ssh import runs
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.pool import Pool
from hardware.ssh.supervisor import RUNS_DIR


async def begin(
    pool: Pool,
    endpoint: Endpoint,
    run_id: str,
    command: str,
    *,
    env: Mapping[str, str] | None = None,
    root: str = RUNS_DIR,
) -> runs.Started:
    boot_id = await runs.prepare(pool, endpoint, run_id, command, root=root)
    return await runs.start(pool, endpoint, run_id, boot_id, env=env, root=root)
