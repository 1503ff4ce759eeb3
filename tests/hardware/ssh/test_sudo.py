"""A login as another user than root, over real SSH, with a stand-in for sudo and, where there is one, the real sudo."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from hardware.ssh import runs
from hardware.ssh.command import execute
from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import SudoRefused, TransferRefused
from hardware.ssh.follow import follow
from hardware.ssh.pool import Pool
from hardware.ssh.transfer import fetch, send
from hardware.telemetry.session import Session
from tests.sshd import Server
from tests.sudo import SECRET, Sudo, real_sudo_works


@dataclass
class Box:
    sudo: Sudo
    endpoint: Endpoint
    pool: Pool
    # A folder that only root may enter.
    closed: Path

    async def says(self, command: str, **options: str) -> str:
        return (await execute(self.pool, self.endpoint, command, **options)).stdout.strip()


@pytest_asyncio.fixture(params=["stand-in", "real"])
async def box(request, server: Server, pool: Pool, tmp_path_factory) -> AsyncIterator[Box]:
    if request.param == "real" and not real_sudo_works():
        pytest.skip("there is no sudo here, or this is not root")
    folder = tmp_path_factory.mktemp("sudo")
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    for above in (folder.parent, folder.parent.parent):
        # The other user must reach the folder of the stand-ins.
        if os.stat(above).st_uid == os.getuid():
            above.chmod(0o755)
    sudo = Sudo(folder, request.param == "real")
    server.session = sudo.session
    ops = replace(server.endpoint, username="ops", sudo=True, sudo_password=SECRET)
    yield Box(sudo, ops, pool, closed)


WHO = 'echo "$SUDO_USER $USER $HOME"; cat'


async def test_a_command_is_roots_with_a_password_with_one_too_many_and_without(box):
    for rules, password in (
        (["ops"], SECRET),
        (["ops", "lecture"], SECRET),
        (["nopasswd"], SECRET),
        (["nopasswd"], None),
    ):
        box.sudo.allow(*rules)
        box.endpoint = replace(box.endpoint, sudo_password=password)
        # The password, which sudo may not have asked for, is no input of the command.
        assert await box.says(WHO, input="its own input\n") == "ops root /root\nits own input", (rules, password)
    failed = await execute(box.pool, box.endpoint, "echo out; echo wrong >&2; exit 7")
    assert (failed.exit_status, failed.stdout, failed.stderr) == (7, "out\n", "wrong\n")


@pytest.mark.parametrize(
    ("rules", "password", "said", "mend"),
    [
        (["ops"], "not this", "refused the password of user ops", "Correct the password for sudo"),
        (["ops"], None, "wants a password", "NOPASSWD"),
        (["nobody"], SECRET, "does not let user ops", "visudo"),
        (["ops", "requiretty"], SECRET, "wants a terminal", "!requiretty"),
    ],
)
async def test_what_sudo_refuses_is_one_sentence_that_names_the_machine_and_the_mend(box, rules, password, said, mend):
    box.sudo.allow(*rules)
    with pytest.raises(SudoRefused, match=said) as caught:
        await execute(box.pool, replace(box.endpoint, sudo_password=password), "sh -s", input="echo never")
    assert str(caught.value).startswith("host-1: ") and mend in caught.value.mend
    assert "not this" not in str(caught.value) + caught.value.mend and caught.value.__cause__ is None
    if not box.sudo.real and password == "not this":
        # Once, not three times: that would lock the account.
        assert (box.sudo.folder / "wrong").read_text() == "x\n"


async def test_a_machine_without_sudo_says_so(server, pool, tmp_path):
    server.session = lambda command: ["env", f"PATH={tmp_path}", "/bin/sh", "-c", f"PATH={tmp_path}; {command}"]
    with pytest.raises(SudoRefused, match=r"host-1: it has no sudo"):
        await execute(pool, replace(server.endpoint, username="ops", sudo=True), "true")


async def test_the_password_is_neither_among_the_arguments_nor_in_sudos_log(box):
    shown = await box.says("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "console-root" in shown and SECRET not in shown and "s3cret" not in shown
    if not box.sudo.real:
        assert "s3cret" not in (box.sudo.folder / "log").read_text()


async def test_a_run_is_detached_followed_cancelled_and_removed_as_root(box):
    root, run = f"{box.closed}/runs", uuid4().hex
    got = bytearray()

    async def on_chunk(offset: int, data: bytes) -> None:
        got.extend(data)

    boot = await runs.prepare(box.pool, box.endpoint, run, 'echo "$SUDO_USER"; cat $CONSOLE_SECRETS/key', root=root)
    await runs.start(box.pool, box.endpoint, run, boot, secrets={"key": "k3y"}, root=root)
    ended = await follow(box.pool, box.endpoint, run, after=0, on_chunk=on_chunk, root=root)
    assert ended.exit_status == 0 and got == b"ops\nk3y"
    await runs.discard(box.pool, box.endpoint, run, root=root)
    assert not list((box.closed / "runs").iterdir())
    # A restart is asked for like this; what it leaves behind must outlive the session, too.
    await box.says(f"(sleep 0.2; touch {box.closed}/later) >/dev/null 2>&1 </dev/null &")
    # The session that started it ends at once, and with it the terminal that sudo may have made; the run goes on.
    other = uuid4().hex
    boot = await runs.prepare(box.pool, box.endpoint, other, "sleep 60", root=root)
    await runs.start(box.pool, box.endpoint, other, boot, root=root)
    box.pool.forget(box.endpoint)
    assert (await runs.inspect(box.pool, box.endpoint, other, root=root)).alive
    assert await box.says(f"sleep 0.3; ls {box.closed}/later") == f"{box.closed}/later"
    await runs.cancel(box.pool, box.endpoint, other, grace=1, root=root)
    assert (await runs.inspect(box.pool, box.endpoint, other, root=root)).exit_status == 143


async def test_files_go_to_and_come_from_folders_that_only_root_may_enter(box, tmp_path):
    data = os.urandom(3_000_000)
    source, digest = tmp_path / "blob", hashlib.sha256(data).hexdigest()
    source.write_bytes(data)
    there = box.closed / "deep" / "it's a blob"
    (box.closed / "deep").mkdir(mode=0o700)
    Path(f"{there}.part").write_bytes(data[:1_000_000])
    seen: list[int] = []
    sent = await send(
        box.pool, box.endpoint, source, str(there), sha256=digest, mode=0o640, progress=lambda d, t: seen.append(d)
    )
    assert (sent.resumed_from, sent.bytes, seen[-1]) == (1_000_000, 3_000_000, 3_000_000)
    assert there.read_bytes() == data and there.stat().st_mode & 0o777 == 0o640 and there.stat().st_uid == os.getuid()
    assert (await send(box.pool, box.endpoint, source, str(there), sha256=digest)).already_there
    back = tmp_path / "back"
    Path(f"{back}.part").write_bytes(data[:5])
    assert await fetch(box.pool, box.endpoint, str(there), back) == digest and back.read_bytes() == data
    with pytest.raises(TransferRefused, match=r"host-1: .*can't be written"):
        await send(box.pool, box.endpoint, source, f"{there}/below/a-file", sha256=digest)


async def test_the_collectors_session_reads_as_root(box):
    session = Session(box.pool, box.endpoint, lambda: None, lambda: None)
    await session.open()
    sample, _ = await asyncio.wait_for(session.sample(), 10)
    answer, _ = await asyncio.wait_for(session.slow("0"), 10)
    assert answer.text.startswith(b"@@ask df")
    assert sample.state in ("no-driver", "ok", "error")
    session.close()
