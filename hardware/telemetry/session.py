"""Asking ``npu-smi`` over one long-lived SSH channel: a small sh loop there, one line from us for each reading.

The loop waits on its input, so that the pace is ours and the loop ends with the channel, whatever the link does. It
says ``begin`` at once and ``end`` after the output: without the first the machine is silent, without the second it is
``npu-smi`` that hangs.
"""

from __future__ import annotations

import asyncio
import time

import asyncssh

from hardware.npu import parse
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, LinkLost, NoShell
from hardware.ssh.hostkeys import reason
from hardware.ssh.pool import Pool
from hardware.telemetry.samples import Sample, reading

MARK = "@@telemetry"
# With eight busy NPUs npu-smi takes seconds; after this it hangs.
TOOL_SECONDS = 20
LIMIT = 1024 * 1024

LOOP = f"""LC_ALL=C PATH=$PATH:/usr/local/bin:/usr/local/sbin
export LC_ALL PATH
limit=
if command -v timeout >/dev/null 2>&1; then limit='timeout {TOOL_SECONDS}'; fi
while read -r turn; do
  echo "{MARK} begin $turn"
  if command -v npu-smi >/dev/null 2>&1; then
    $limit npu-smi info </dev/null 2>&1
    echo "{MARK} end $turn $?"
  else
    echo "{MARK} end $turn missing"
  fi
done
"""


class Session:
    """One channel to one machine. ``patience``: seconds in which the machine must show that it is there."""

    def __init__(self, pool: Pool, endpoint: Endpoint, patience: float, tool_seconds: float = TOOL_SECONDS) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._patience = patience
        self._tool_seconds = tool_seconds
        self._process: asyncssh.SSHClientProcess[str] | None = None
        self._turn = 0

    async def open(self) -> None:
        """Raises ``Unreachable`` and its like, ``NoShell``, ``LinkLost``, ``CommandTimeout``."""
        self._connection = await self._pool.connection(self._endpoint)
        try:
            async with asyncio.timeout(self._patience):
                self._process = await self._connection.create_process(
                    LOOP, encoding="utf-8", errors="replace", stderr=asyncssh.DEVNULL
                )
        except asyncssh.ChannelOpenError as wrong:
            raise NoShell(self._endpoint.name, f"it refused to start a shell ({reason(wrong)}).") from wrong
        except (TimeoutError, OSError, asyncssh.Error) as wrong:
            raise LinkLost(self._endpoint.name, f"the SSH link was cut ({reason(wrong)}).") from wrong

    async def sample(self) -> Sample:
        """One reading, now. After a ``stuck`` one the session is of no use.

        Raises ``LinkLost``, ``CommandTimeout`` and ``NoShell``.
        """
        assert self._process is not None
        self._turn += 1
        try:
            self._process.stdin.write(f"{self._turn}\n")
            async with asyncio.timeout(self._patience):
                await self._until(f"{MARK} begin {self._turn}")
        except TimeoutError as wrong:
            raise CommandTimeout(
                self._endpoint.name,
                f"it has not answered for {self._patience:g} s.",
                "Check the machine's load, its power and its management network.",
            ) from wrong
        except (OSError, asyncssh.Error) as wrong:
            raise LinkLost(self._endpoint.name, f"the SSH link was cut ({reason(wrong)}).") from wrong
        at = time.time()
        try:
            async with asyncio.timeout(self._tool_seconds + self._patience):
                text, end = await self._until(f"{MARK} end {self._turn}")
        except TimeoutError:
            return Sample(self._endpoint.name, at, "stuck", said=f"npu-smi gave no answer in {self._tool_seconds:g} s.")
        except (OSError, asyncssh.Error) as wrong:
            raise LinkLost(self._endpoint.name, f"the SSH link was cut ({reason(wrong)}).") from wrong
        return read(self._endpoint.name, at, text, end.rsplit(None, 1)[-1])

    async def _until(self, mark: str) -> tuple[str, str]:
        """The lines before the one that begins with ``mark``, and that one."""
        assert self._process is not None
        lines: list[str] = []
        size = 0
        while True:
            line = await self._process.stdout.readline()
            if not line.endswith("\n"):
                if self._turn == 1 and not self._connection.is_closed():
                    raise NoShell(self._endpoint.name, "it has no working /bin/sh: the session ended at once.")
                raise LinkLost(self._endpoint.name, "the SSH link was cut.")
            if line.startswith(mark):
                return "".join(lines), line
            size += len(line)
            if size < LIMIT:
                lines.append(line)

    def close(self) -> None:
        """Drop the link; the loop there ends with its input."""
        self._pool.forget(self._endpoint)


def read(machine: str, at: float, text: str, status: str) -> Sample:
    """A sample from what ``npu-smi info`` printed and how it ended."""
    if status == "missing":
        return Sample(machine, at, "no-driver", said="npu-smi is not installed: there is no driver.")
    if status == "124":
        return Sample(machine, at, "stuck", said=f"npu-smi gave no answer in {TOOL_SECONDS} s.")
    report = parse(text)
    if report.chips:
        return Sample(machine, at, "ok", [reading(chip) for chip in report.chips])
    if report.error and report.error.code == "npu-smi-missing":
        return Sample(machine, at, "no-driver", said=report.error.likely_cause)
    if report.error:
        return Sample(machine, at, "error", said=f"{report.error.text} {report.error.likely_cause}")
    return Sample(machine, at, "error", said="npu-smi lists no NPU, and says no reason that is known.")
