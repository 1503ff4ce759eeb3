"""Files to and from a machine: resumed where they stopped, checked by SHA-256, put in place by a rename."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import asyncssh

from hardware.ssh import rootfiles
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import DiskFull, LinkLost, TransferCorrupt, TransferRefused
from hardware.ssh.pool import Pool

# 64 KiB blocks, 32 in flight: measured fastest; 256 KiB blocks break the connection.
BLOCK = 65536
IN_FLIGHT = 32
HASH_TIMEOUT = 3600

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sent:
    """``resumed_from`` bytes were there from an earlier try; ``already_there``: nothing had to be sent."""

    bytes: int
    resumed_from: int
    already_there: bool


async def send(
    pool: Pool,
    endpoint: Endpoint,
    source: Path,
    destination: str,
    *,
    sha256: str,
    mode: int = 0o644,
    progress: Progress | None = None,
) -> Sent:
    """Copy ``source`` to ``destination``. Until its SHA-256 was checked on the machine it is ``destination.part``.

    A link that is cut leaves the part for the next call to go on from. Raises ``TransferCorrupt`` and ``DiskFull`` (the
    part is removed), ``TransferRefused`` (nothing was written), ``LinkLost``.
    """
    size = source.stat().st_size
    if await remote_sha256(pool, endpoint, destination) == sha256:
        return Sent(size, 0, True)
    part = f"{destination}.part"
    resumed = 0
    try:
        connection = await pool.connection(endpoint)
        if endpoint.needs_sudo:
            resumed = await rootfiles.write(connection, endpoint, source, part, progress)
        else:
            async with connection.start_sftp_client() as sftp:
                await sftp.makedirs(str(Path(destination).parent), exist_ok=True)
                resumed = await _size(sftp, part)
                if resumed > size:
                    resumed = 0
                await _write(sftp, source, part, resumed, size, progress)
    except rootfiles.Refused as wrong:
        await _explain(pool, endpoint, part, size - wrong.written, wrong.said)
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ConnectionLost, OSError) as wrong:
        pool.forget(endpoint)
        raise LinkLost(endpoint.name, f"the link was cut while {source.name} was sent.") from wrong
    except asyncssh.SFTPError as wrong:
        await _explain(pool, endpoint, part, size - resumed, str(wrong.reason))
    except asyncssh.Error as wrong:
        pool.forget(endpoint)
        raise LinkLost(endpoint.name, f"the link was cut while {source.name} was sent.") from wrong
    if await remote_sha256(pool, endpoint, part) != sha256:
        await execute(pool, endpoint, f"rm -f -- {shlex.quote(part)}")
        raise TransferCorrupt(endpoint.name, f"{source.name} did not arrive as it was sent: its SHA-256 differs.")
    moved = await execute(
        pool, endpoint, f"chmod {mode:o} {shlex.quote(part)} && mv -f -- {shlex.quote(part)} {shlex.quote(destination)}"
    )
    if moved.exit_status != 0:
        raise TransferRefused(endpoint.name, f"{destination} can't be put in place: {moved.stderr.strip()}")
    return Sent(size, resumed, False)


async def fetch(
    pool: Pool, endpoint: Endpoint, source: str, destination: Path, *, progress: Progress | None = None
) -> str:
    """Copy a file of the machine here; returns its SHA-256, reckoned on the machine and checked here.

    Until then it is ``destination.part``. A link that is cut leaves the part for the next call to go on from. Raises
    ``TransferRefused`` when the file can't be read, ``DiskFull`` (here), ``TransferCorrupt`` and ``LinkLost``.
    """
    wanted = await remote_sha256(pool, endpoint, source)
    if wanted is None:
        raise TransferRefused(endpoint.name, f"there is no file {source} to fetch.")
    part = destination.with_name(destination.name + ".part")
    try:
        connection = await pool.connection(endpoint)
        with part.open("ab") as local:
            if endpoint.needs_sudo:
                await rootfiles.read(connection, endpoint, source, local, partial(_store, local), progress)
            else:
                await _read(connection, source, local, progress)
    except rootfiles.Refused as wrong:
        raise TransferRefused(endpoint.name, f"{source} can't be read ({wrong.said}).") from wrong
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as wrong:
        pool.forget(endpoint)
        raise LinkLost(endpoint.name, f"the link was cut while {source} was fetched.") from wrong
    except asyncssh.SFTPError as wrong:
        raise TransferRefused(endpoint.name, f"{source} can't be read ({wrong.reason}).") from wrong
    except (asyncssh.Error, OSError) as wrong:
        pool.forget(endpoint)
        raise LinkLost(endpoint.name, f"the link was cut while {source} was fetched.") from wrong
    # Over the whole file: its beginning may be from an earlier try.
    if await asyncio.to_thread(_sha256, part) != wanted:
        part.unlink(missing_ok=True)
        raise TransferCorrupt(endpoint.name, f"{source} did not arrive as it is there: its SHA-256 differs.")
    part.replace(destination)
    return wanted


async def _read(
    connection: asyncssh.SSHClientConnection, source: str, local: BinaryIO, progress: Progress | None
) -> None:
    async with (
        connection.start_sftp_client() as sftp,
        sftp.open(source, "rb", encoding=None, block_size=BLOCK) as remote,
    ):
        total = (await remote.stat()).size or 0
        if local.tell() > total:
            local.truncate(0)
        while block := _bytes(await remote.read(BLOCK * IN_FLIGHT, local.tell())):
            _store(local, block)
            if progress:
                progress(local.tell(), total)


def _store(local: BinaryIO, block: bytes) -> None:
    try:
        local.write(block)
        local.flush()
    except OSError as wrong:
        mend = "Free space on the console's disk, then run the job again."
        raise DiskFull(
            "the console", f"{Path(local.name).parent} can't be written ({wrong.strerror}).", mend
        ) from wrong


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


async def remote_sha256(pool: Pool, endpoint: Endpoint, path: str) -> str | None:
    """SHA-256 of a file on the machine, ``None`` when there is none."""
    result = await execute(pool, endpoint, f"sha256sum -- {shlex.quote(path)}", timeout=HASH_TIMEOUT)
    return result.stdout.split()[0].lstrip("\\") if result.exit_status == 0 and result.stdout else None


def _bytes(block: str | bytes) -> bytes:
    """asyncssh types what it reads as text or bytes; a file opened in binary mode gives bytes."""
    return block if isinstance(block, bytes) else block.encode()


async def _size(sftp: asyncssh.SFTPClient, path: str) -> int:
    try:
        return (await sftp.stat(path)).size or 0
    except asyncssh.SFTPNoSuchFile:
        return 0


async def _write(
    sftp: asyncssh.SFTPClient, source: Path, part: str, offset: int, size: int, progress: Progress | None
) -> None:
    # "a" would make the server choose the offset; "r+" writes where we say, which is what resuming needs.
    mode = "r+b" if offset else "wb"
    with source.open("rb") as local:
        local.seek(offset)
        async with sftp.open(part, mode, block_size=BLOCK, max_requests=IN_FLIGHT) as remote:
            while block := local.read(BLOCK * IN_FLIGHT):
                await remote.write(block, offset)
                offset += len(block)
                if progress:
                    progress(offset, size)


async def _explain(pool: Pool, endpoint: Endpoint, part: str, missing: int, said: str) -> None:
    """SFTP version 3 has no code for a full disk (OpenSSH says just "Failure"): ask df, clean up, say which it was."""
    folder = str(Path(part).parent)
    asked = await execute(pool, endpoint, f"df -P -k -- {shlex.quote(folder)} | tail -n 1")
    fields = asked.stdout.split()
    free = int(fields[3]) * 1024 if len(fields) >= 6 and fields[3].isdigit() else None
    await execute(pool, endpoint, f"rm -f -- {shlex.quote(part)}")
    if "space" in said.lower() or (free is not None and free < missing):
        raise DiskFull(endpoint.name, f"no space left in {folder} for {Path(part).name.removesuffix('.part')}.")
    raise TransferRefused(endpoint.name, f"{folder} can't be written ({said}).")
