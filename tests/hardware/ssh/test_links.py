from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from hardware.ssh.command import execute
from hardware.ssh.errors import (
    AuthenticationRefused,
    CommandTimeout,
    DiskFull,
    HostKeyChanged,
    HostKeyNotPinned,
    NoShell,
    TransferCorrupt,
    TransferRefused,
    Unreachable,
)
from hardware.ssh.hostkeys import describe, read_host_key
from hardware.ssh.runs import prepare
from hardware.ssh.transfer import fetch, send


async def test_the_key_that_is_read_before_login_is_the_one_that_is_pinned(server, pool):
    key = await read_host_key("host-1", "127.0.0.1", server.endpoint.port)
    assert key.fingerprint.startswith("SHA256:")
    assert key.public == server.endpoint.host_key
    assert (await execute(pool, server.endpoint, "echo hi; exit 3")).exit_status == 3


async def test_a_changed_host_key_is_refused_with_both_fingerprints(server, pool):
    other = describe(asyncssh.generate_private_key("ssh-ed25519"))
    with pytest.raises(HostKeyChanged) as caught:
        await pool.connection(replace(server.endpoint, host_key=other.public))
    assert caught.value.pinned == other.fingerprint
    assert caught.value.offered == (await read_host_key("h", "127.0.0.1", server.endpoint.port)).fingerprint


async def test_nothing_logs_in_before_a_key_is_pinned(server, pool):
    with pytest.raises(HostKeyNotPinned, match="host-1"):
        await pool.connection(replace(server.endpoint, host_key=None))


async def test_a_wrong_password_is_said_without_the_password(server, pool):
    with pytest.raises(AuthenticationRefused) as caught:
        await pool.connection(replace(server.endpoint, password="hunter2-secret"))
    assert "host-1" in str(caught.value) and "hunter2" not in str(caught.value) + caught.value.mend
    assert "hunter2" not in repr(replace(server.endpoint, password="hunter2-secret"))


async def test_an_address_where_nothing_listens_is_unreachable(server, pool):
    port = server.endpoint.port
    server.listener.close()
    await server.listener.wait_closed()
    with pytest.raises(Unreachable, match=f"127.0.0.1 port {port}"):
        await pool.connection(server.endpoint)
    with pytest.raises(Unreachable):
        await read_host_key("host-1", "127.0.0.1", port)


async def test_a_machine_without_a_shell_is_said(server, pool):
    server.shell = "/bin/no-such-shell"
    with pytest.raises(NoShell, match="no working /bin/sh"):
        await prepare(pool, server.endpoint, "r", "true")


async def test_a_command_that_hangs_is_given_up(server, pool):
    with pytest.raises(CommandTimeout):
        await execute(pool, server.endpoint, "sleep 5", timeout=0.3)


def blob(folder: Path, size: int = 3_000_000) -> tuple[Path, str]:
    file = folder / "driver.run"
    file.write_bytes(hashlib.sha256(b"seed").digest() * (size // 32))
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


async def test_a_file_arrives_whole_and_is_not_sent_twice(server, pool, tmp_path: Path):
    file, sha256 = blob(tmp_path)
    there, seen = tmp_path / "there" / "driver.run", []
    sent = await send(
        pool,
        server.endpoint,
        file,
        str(there),
        sha256=sha256,
        mode=0o755,
        progress=lambda done, all_: seen.append(done),
    )
    again = await send(pool, server.endpoint, file, str(there), sha256=sha256)
    assert there.read_bytes() == file.read_bytes() and there.stat().st_mode & 0o777 == 0o755
    assert seen[-1] == sent.bytes and not sent.already_there and again.already_there


async def test_a_transfer_goes_on_where_it_stopped(server, pool, tmp_path: Path):
    file, sha256 = blob(tmp_path)
    there = tmp_path / "there.run"
    Path(f"{there}.part").write_bytes(file.read_bytes()[:1_000_000])
    sent = await send(pool, server.endpoint, file, str(there), sha256=sha256)
    assert sent.resumed_from == 1_000_000
    assert there.read_bytes() == file.read_bytes()


async def test_a_corrupt_file_is_never_put_in_place(server, pool, tmp_path: Path):
    file, _ = blob(tmp_path)
    there = tmp_path / "there.run"
    with pytest.raises(TransferCorrupt, match="SHA-256"):
        await send(pool, server.endpoint, file, str(there), sha256="0" * 64)
    assert not there.exists() and not Path(f"{there}.part").exists()


async def test_a_full_disk_is_told_apart_from_a_refusal(server, pool, tmp_path: Path):
    file, sha256 = blob(tmp_path)
    # /dev/full answers each write with ENOSPC, as a full file system does.
    Path(tmp_path / "full.part").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="no space left"):
        await send(pool, server.endpoint, file, str(tmp_path / "full"), sha256=sha256)
    assert not (tmp_path / "full.part").is_symlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(TransferRefused):
        await send(pool, server.endpoint, file, str(tmp_path / "file" / "x"), sha256=sha256)


async def test_a_file_is_fetched_and_a_missing_one_is_said(server, pool, tmp_path: Path):
    file, sha256 = blob(tmp_path)
    assert await fetch(pool, server.endpoint, str(file), tmp_path / "here") == sha256
    assert (tmp_path / "here").read_bytes() == file.read_bytes()
    with pytest.raises(TransferRefused, match="no file"):
        await fetch(pool, server.endpoint, str(tmp_path / "none"), tmp_path / "here2")
