"""A machine's session: its channel, opened with a loop that runs what is asked, and the answers as samples."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import asyncssh

from hardware.npu import parse
from hardware.ssh import root
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import CommandTimeout, LinkLost, NoShell, SSHFailure
from hardware.ssh.hostkeys import reason
from hardware.ssh.pool import Pool
from hardware.telemetry.channel import MARK, Answer, Channel
from hardware.telemetry.samples import Sample, readings
from hardware.telemetry.slow import SLOW

# With eight busy NPUs npu-smi takes seconds; after this it hangs.
TOOL_SECONDS = 20
OPEN_SECONDS = 10

# What is printed goes out at once with the mark behind it: a packet more for each reading is a tenth of its cost.
# hccn_tool stays where the driver lies.
LOOP = f"""LC_ALL=C PATH=$PATH:/usr/local/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/Ascend/driver/tools
export LC_ALL PATH
mark={MARK.decode()} limit=
if command -v timeout >/dev/null 2>&1; then limit='timeout {TOOL_SECONDS}'; fi
{SLOW}
while read -r turn what rest; do
  case $what in
  '') echo "$mark begin $turn"
    if command -v npu-smi >/dev/null 2>&1; then
      said=$($limit npu-smi info </dev/null 2>&1)
      printf '%s\\n%s\\n' "$said" "$mark end $turn $?"
    else
      echo "$mark end $turn missing"
    fi ;;
  slow) echo "$mark begin $turn $(date +%s.%N)"
    said=$(slow $rest)
    printf '%s\\n%s\\n' "$said" "$mark end $turn 0" ;;
  esac
done
"""


class Session:
    """One channel to one machine. ``heard`` is called when it says a word, ``lost`` when the link is gone."""

    def __init__(self, pool: Pool, endpoint: Endpoint, heard: Callable[[], None], lost: Callable[[], None]) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._channel = Channel(heard, lost)
        self._pump: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises ``Unreachable`` and its like, ``NoShell``, ``SudoRefused``, ``LinkLost``, ``CommandTimeout``."""
        self._connection = await self._pool.connection(self._endpoint)
        try:
            async with asyncio.timeout(root.ADMISSION_SECONDS if self._endpoint.needs_sudo else OPEN_SECONDS):
                await self._start()
        except asyncssh.ChannelOpenError as wrong:
            raise NoShell(self._endpoint.name, f"it refused to start a shell ({reason(wrong)}).") from wrong
        except (TimeoutError, OSError, asyncssh.Error) as wrong:
            raise LinkLost(self._endpoint.name, f"the SSH link was cut ({reason(wrong)}).") from wrong

    async def _start(self) -> None:
        if not self._endpoint.needs_sudo:
            await self._connection.create_session(lambda: self._channel, LOOP, encoding=None)
            return
        process = await root.start(self._connection, self._endpoint, LOOP, quiet=True, encoding=None)
        self._channel.answered_by(process.stdin.write)
        self._pump = asyncio.create_task(self._pass_on(process))

    async def _pass_on(self, process: asyncssh.SSHClientProcess[bytes]) -> None:
        """Where sudo stands before the loop, asyncssh's streams have read what it said."""
        try:
            while data := await process.stdout.read(65536):
                self._channel.data_received(data, None)
        except (OSError, asyncssh.Error) as wrong:
            self._channel.connection_lost(wrong)
        self._channel.connection_lost(None)

    async def sample(self) -> tuple[Sample, float]:
        """One reading, now, and the seconds that it took. Raises ``LinkLost``, ``NoShell`` and what ``give_up`` got."""
        asked = time.time()
        answer = await self._ask("")
        sample = read(self._endpoint.name, asked + answer.delay, answer.text, answer.words[-1] if answer.words else b"")
        # What the tool took; what came before the first word is the link's and our own lateness.
        return sample, answer.took - answer.delay

    async def slow(self, words: str) -> tuple[Answer, float]:
        """What is read seldom, as ``hardware.telemetry.slow`` has it, and our time (since 1970) when it was asked."""
        asked = time.time()
        return await self._ask(f"slow {words}"), asked

    async def _ask(self, words: str) -> Answer:
        try:
            return await self._channel.ask(words)
        except (OSError, asyncssh.Error) as wrong:
            if self._channel.turn == 1 and not self._connection.is_closed():
                raise NoShell(self._endpoint.name, "it has no working /bin/sh: the session ended at once.") from wrong
            raise LinkLost(self._endpoint.name, f"the SSH link was cut ({reason(wrong)}).") from wrong

    def give_up(self, wrong: SSHFailure) -> None:
        """Let the question that waits fail."""
        self._channel.give_up(wrong)

    def silent(self, seconds: float) -> CommandTimeout:
        """That it gives no sign of life."""
        return CommandTimeout(
            self._endpoint.name,
            f"it has not answered for {seconds:.1f} s.",
            "Check the machine's load, its power and its management network.",
        )

    def sound(self, every: float | None) -> None:
        """Ask the machine's SSH service for a sign every so many seconds (``None``: as seldom as ever): the link ends
        after two that are not answered. For while a tool keeps us waiting.
        """
        self._connection.set_keepalive(every or self._pool.keepalive, 1 if every else 3)

    async def gone(self, seconds: float) -> bool:
        """Whether the link ends within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._connection.wait_closed()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Drop the link; the loop there ends with its input."""
        if self._pump is not None:
            self._pump.cancel()
        self._pool.forget(self._endpoint)


def read(machine: str, at: float, output: bytes, status: bytes) -> Sample:
    """A sample from what ``npu-smi info`` printed and how it ended."""
    if status == b"missing":
        return Sample(machine, at, "no-driver", said="npu-smi is not installed: there is no driver.")
    if status == b"124":
        return stuck(machine, at, TOOL_SECONDS)
    report = parse(output)
    if report.chips:
        # The table of processes is there even when it is empty; some drivers print none.
        return Sample(machine, at, "ok", readings(report, b"Process id" in output or b"Process ID" in output))
    if report.error and report.error.code == "npu-smi-missing":
        return Sample(machine, at, "no-driver", said=report.error.likely_cause)
    if report.error:
        return Sample(machine, at, "error", said=f"{report.error.text} {report.error.likely_cause}")
    return Sample(machine, at, "error", said="npu-smi lists no NPU, and says no reason that is known.")


def stuck(machine: str, at: float, seconds: float) -> Sample:
    """That ``npu-smi`` hangs: the machine answers, its NPUs do not."""
    return Sample(machine, at, "stuck", said=f"npu-smi gave no answer in {seconds:.3g} s.")
