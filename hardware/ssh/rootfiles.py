"""A file's bytes to and from a machine whose login user is not root: through a shell that sudo made root's.

SFTP runs as the login user, who may neither enter nor write the folders that jobs use. So the bytes go over the stdin
or stdout of one command, appended to what an earlier try left; ``transfer`` checks the whole by its SHA-256.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import asyncssh

from hardware.ssh import root
from hardware.ssh.endpoint import Endpoint

BLOCK = 1 << 18

Progress = Callable[[int, int], None]


class Refused(Exception):
    """The machine's own words in ``said``; ``written`` bytes were there or had been sent."""

    def __init__(self, said: str, written: int = 0) -> None:
        super().__init__(said)
        self.said = said
        self.written = written


async def write(
    connection: asyncssh.SSHClientConnection, endpoint: Endpoint, source: Path, part: str, progress: Progress | None
) -> int:
    """Append to ``part`` what it lacks of ``source``; returns how much of it was there. Raises ``Refused``."""
    size = source.stat().st_size
    name, folder = shlex.quote(part), shlex.quote(str(Path(part).parent))
    text = f"""\
mkdir -p -- {folder} && touch -- {name} && have=$(wc -c <{name}) || exit 1
if [ "$have" -gt {size} ]; then : >{name}; have=0; fi
echo "$have"
exec cat >>{name}"""
    process = await root.start(connection, endpoint, text, encoding=None)
    try:
        there = (await process.stdout.readline()).strip()
        if not there.isdigit():
            await process.wait_closed()
            raise Refused(_words(process))
        sent = there_bytes = int(there)
        try:
            with source.open("rb") as local:
                local.seek(sent)
                while block := local.read(BLOCK):
                    process.stdin.write(block)
                    await process.stdin.drain()
                    sent += len(block)
                    if progress:
                        progress(sent, size)
            process.stdin.write_eof()
        except BrokenPipeError:
            # It ended before it had read everything; what it said tells why.
            if connection.is_closed():
                raise
        await process.wait_closed()
        if process.exit_status != 0:
            if connection.is_closed():
                raise asyncssh.ConnectionLost("cut")
            raise Refused(_words(process), there_bytes)
        return there_bytes
    finally:
        process.close()


async def read(
    connection: asyncssh.SSHClientConnection,
    endpoint: Endpoint,
    source: str,
    local: BinaryIO,
    store: Callable[[bytes], None],
    progress: Progress | None,
) -> None:
    """``store`` what ``local``, open for appending, lacks of ``source``. Raises ``Refused``."""
    name = shlex.quote(source)
    have = local.tell()
    text = f"""\
size=$(wc -c <{name}) || exit 1
echo "$size"
if [ "$size" -lt {have} ]; then exec cat {name}; fi
exec tail -c +{have + 1} {name}"""
    process = await root.start(connection, endpoint, text, input=False, encoding=None)
    try:
        said = (await process.stdout.readline()).strip()
        if not said.isdigit():
            await process.wait_closed()
            raise Refused(_words(process))
        total = int(said)
        if total < have:
            local.truncate(0)
        while block := await process.stdout.read(BLOCK):
            store(block)
            if progress:
                progress(local.tell(), total)
        await process.wait_closed()
        if process.exit_status != 0:
            if connection.is_closed():
                raise asyncssh.ConnectionLost("cut")
            raise Refused(_words(process))
    finally:
        process.close()


def _words(process: asyncssh.SSHClientProcess[bytes]) -> str:
    said = process.collect_output()[1]
    lines = (said if isinstance(said, str) else bytes(said or b"").decode(errors="replace")).strip().splitlines()
    return lines[-1].strip()[:300] if lines else f"exit code {process.exit_status}"
