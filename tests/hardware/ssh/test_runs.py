from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.ssh import runs
from hardware.ssh.errors import MachineRebooted, RunLost, TransferRefused
from hardware.ssh.follow import follow
from tests.detached import begin


class Sink:
    def __init__(self, offset: int = 0) -> None:
        self.data = b""
        self.offset = offset

    async def __call__(self, offset: int, data: bytes) -> None:
        assert offset == self.offset, "a gap or a repeat"
        self.data += data
        self.offset += len(data)


async def test_a_run_ends_with_its_exit_status_and_its_whole_log(server, pool, tmp_path: Path):
    sink = Sink()
    started = await begin(pool, server.endpoint, "r1", "echo out; echo err >&2; exit 7", root=str(tmp_path))
    ended = await follow(pool, server.endpoint, "r1", after=0, on_chunk=sink, root=str(tmp_path))
    assert not started.attached
    assert (ended.exit_status, sink.data) == (7, b"out\nerr\n")
    assert ended.log_sha256 == hashlib.sha256(sink.data).hexdigest()


async def test_however_often_it_is_started_the_command_runs_once(server, pool, tmp_path: Path):
    count = tmp_path / "count"
    command = f"echo once >>{count}; sleep 0.3"
    started = await asyncio.gather(
        *(begin(pool, server.endpoint, "r2", command, root=str(tmp_path / "runs")) for _ in range(10))
    )
    await follow(pool, server.endpoint, "r2", after=0, on_chunk=Sink(), root=str(tmp_path / "runs"))
    again = await begin(pool, server.endpoint, "r2", command, root=str(tmp_path / "runs"))
    assert again.attached
    assert [s.attached for s in started].count(False) == 1
    assert count.read_text() == "once\n"


async def test_a_folder_whose_starter_died_before_the_mark_is_started(server, pool, tmp_path: Path):
    (tmp_path / "r3").mkdir()
    started = await begin(pool, server.endpoint, "r3", "echo hello", root=str(tmp_path))
    sink = Sink()
    await follow(pool, server.endpoint, "r3", after=0, on_chunk=sink, root=str(tmp_path))
    assert not started.attached
    assert sink.data == b"hello\n"


async def test_a_run_whose_folder_was_removed_before_its_start_is_not_started(server, pool, tmp_path: Path):
    count = tmp_path / "count"
    boot_id = await runs.prepare(pool, server.endpoint, "r31", f"echo once >>{count}", root=str(tmp_path))
    shutil.rmtree(tmp_path / "r31")
    with pytest.raises(RunLost, match=r"host-1: .*gone"):
        await runs.start(pool, server.endpoint, "r31", boot_id, root=str(tmp_path))
    assert not count.exists() and not (tmp_path / "r31").exists()


async def test_a_run_without_a_mark_is_not_started_in_another_boot_than_the_noted_one(server, pool, tmp_path: Path):
    # As a power cut leaves it that took the mark away before it was on the disk.
    count = tmp_path / "count"
    await runs.prepare(pool, server.endpoint, "r32", f"echo once >>{count}", root=str(tmp_path))
    with pytest.raises(MachineRebooted, match=r"host-1: .*r32"):
        await runs.start(pool, server.endpoint, "r32", "of-another-boot", root=str(tmp_path))
    assert not count.exists()


async def test_a_run_outlives_its_ssh_session_and_is_followed_from_an_offset(server, pool, tmp_path: Path):
    await begin(pool, server.endpoint, "r4", "echo one; sleep 0.5; echo two", root=str(tmp_path))
    await pool.close()
    # What was stored is there before it is followed from where it ends.
    while not (log := tmp_path / "r4" / "log").exists() or log.stat().st_size < 4:
        await asyncio.sleep(0.01)
    sink = Sink(4)
    ended = await follow(pool, server.endpoint, "r4", after=4, on_chunk=sink, root=str(tmp_path))
    assert (ended.exit_status, sink.data) == (0, b"two\n")


async def test_a_link_that_is_cut_again_and_again_leaves_neither_gap_nor_repeat(server, pool, proxy, tmp_path: Path):
    endpoint = replace(server.endpoint, port=proxy.port)
    command = 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i"; [ $((i % 100)) = 0 ] && sleep 0.05; done'
    await begin(pool, endpoint, "r5", command, root=str(tmp_path))
    sink, links = Sink(), []

    async def on_link(up: bool) -> None:
        links.append(up)

    async def cut() -> None:
        for _ in range(5):
            await asyncio.sleep(0.2)
            proxy.cut()

    cutter = asyncio.create_task(cut())
    ended = await follow(pool, endpoint, "r5", after=0, on_chunk=sink, on_link=on_link, root=str(tmp_path))
    await cutter
    assert sink.data == "".join(f"line {i}\n" for i in range(1, 3001)).encode()
    assert ended.log_sha256 == hashlib.sha256(sink.data).hexdigest()
    assert links[:2] == [False, True]


async def test_a_link_that_is_cut_again_after_a_long_silence_has_all_of_the_patience_again(
    server, pool, proxy, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("hardware.ssh.follow.HELD_SECONDS", 0.3)
    endpoint = replace(server.endpoint, port=proxy.port)
    await begin(pool, endpoint, "r51", "sleep 3; echo end", root=str(tmp_path))
    sink = Sink()

    async def cut() -> None:
        for _ in range(2):
            await asyncio.sleep(1)
            proxy.cut()

    cutter = asyncio.create_task(cut())
    ended = await follow(pool, endpoint, "r51", after=0, on_chunk=sink, patience=0.6, root=str(tmp_path))
    await cutter
    assert (ended.exit_status, sink.data) == (0, b"end\n")


async def test_cancel_ends_the_whole_process_group(server, pool, tmp_path: Path):
    mark = tmp_path / "survivor"
    command = f"trap '' TERM; (trap '' TERM; sleep 3; touch {mark}) & echo up; wait"
    await begin(pool, server.endpoint, "r6", command, root=str(tmp_path))
    await asyncio.sleep(0.3)
    await runs.cancel(pool, server.endpoint, "r6", grace=1, root=str(tmp_path))
    status = await runs.inspect(pool, server.endpoint, "r6", root=str(tmp_path))
    await asyncio.sleep(3)
    assert status.exit_status == 137
    assert not mark.exists()


async def test_a_secret_is_in_no_process_list_and_in_no_file_that_stays(server, pool, tmp_path: Path):
    command = f'sleep 0.3; [ "$TOKEN" = s3cr3t-value ] && echo ok; ps axww >{tmp_path}/ps'
    await begin(pool, server.endpoint, "r7", command, env={"TOKEN": "s3cr3t-value"}, root=str(tmp_path))
    sink = Sink()
    await follow(pool, server.endpoint, "r7", after=0, on_chunk=sink, root=str(tmp_path))
    assert sink.data == b"ok\n"
    assert "TOKEN" not in (tmp_path / "ps").read_text().replace("$TOKEN", "")
    left = [p for p in (tmp_path / "r7").rglob("*") if p.is_file() and p.name not in ("command",)]
    assert not [p for p in left if b"s3cr3t-value" in p.read_bytes()]


async def test_a_file_for_a_secret_is_only_its_owners_and_is_gone_when_the_command_has_ended(
    server, pool, tmp_path: Path
):
    odd = 'it\'s "50 %" of $HOME\n\\n and 秘密\n'
    command = 'cd "$CONSOLE_SECRETS"; stat -c "%a %n" . key; cat key'
    boot_id = await runs.prepare(pool, server.endpoint, "kept", command, root=str(tmp_path))
    await runs.start(pool, server.endpoint, "kept", boot_id, secrets={"key": odd}, root=str(tmp_path))
    log = Sink()
    await follow(pool, server.endpoint, "kept", after=0, on_chunk=log, root=str(tmp_path))
    assert log.data.decode() == f"700 .\n600 key\n{odd}"
    assert not (tmp_path / "kept/secrets").exists()
    # Who attaches later puts none of it back.
    again = await runs.start(pool, server.endpoint, "kept", boot_id, secrets={"key": odd}, root=str(tmp_path))
    assert again.attached and not (tmp_path / "kept/secrets").exists()


async def test_where_a_secret_can_not_be_written_nothing_is_run_and_it_may_be_started_later(
    server, pool, tmp_path: Path
):
    boot_id = await runs.prepare(pool, server.endpoint, "full", f"touch {tmp_path}/ran", root=str(tmp_path))
    (tmp_path / "full/secrets").touch()
    with pytest.raises(TransferRefused) as refused:
        await runs.start(pool, server.endpoint, "full", boot_id, secrets={"key": "swordfish"}, root=str(tmp_path))
    assert "swordfish" not in str(refused.value) and not (tmp_path / "full/started").exists()
    assert not (tmp_path / "ran").exists()
    started = await runs.start(pool, server.endpoint, "full", boot_id, secrets={"key": "x"}, root=str(tmp_path))
    assert not started.attached


async def test_bytes_that_are_no_text_and_cut_characters_arrive_as_they_are(server, pool, tmp_path: Path):
    sink = Sink()
    command = "printf '\\344\\275'; sleep 0.3; printf '\\240\\n\\377\\000\\376end'"
    await begin(pool, server.endpoint, "r8", command, root=str(tmp_path))
    await follow(pool, server.endpoint, "r8", after=0, on_chunk=sink, root=str(tmp_path))
    assert sink.data == b"\xe4\xbd\xa0\n\xff\x00\xfeend"


async def test_a_run_whose_supervisor_was_killed_is_lost_and_says_so(server, pool, tmp_path: Path):
    await begin(pool, server.endpoint, "r9", "sleep 30", root=str(tmp_path))
    await asyncio.sleep(0.3)
    run = tmp_path / "r9"
    killed = await asyncio.create_subprocess_shell(f"kill -KILL $(cat {run}/supervisor) ; kill -KILL -$(cat {run}/pid)")
    await killed.wait()
    with pytest.raises(RunLost, match=r"host-1: .*killed"):
        await follow(pool, server.endpoint, "r9", after=0, on_chunk=Sink(), root=str(tmp_path))


async def test_a_log_that_is_shorter_than_what_is_stored_of_it_is_said_at_once(server, pool, tmp_path: Path):
    await begin(pool, server.endpoint, "r10", "sleep 30", root=str(tmp_path))
    with pytest.raises(RunLost, match="cut short: 100 bytes"):
        await follow(pool, server.endpoint, "r10", after=100, on_chunk=Sink(100), root=str(tmp_path))
    await runs.cancel(pool, server.endpoint, "r10", root=str(tmp_path))


async def test_what_a_command_leaves_running_can_not_keep_its_run_from_ending(server, pool, tmp_path: Path):
    sink = Sink()
    await begin(pool, server.endpoint, "r11", "while :; do echo x; done & echo done", root=str(tmp_path))
    try:
        async with asyncio.timeout(30):
            ended = await follow(pool, server.endpoint, "r11", after=0, on_chunk=sink, root=str(tmp_path))
    finally:
        await runs.cancel(pool, server.endpoint, "r11", grace=1, root=str(tmp_path))
    assert (ended.exit_status, ended.log_bytes) == (0, len(sink.data))
    assert ended.log_sha256 == hashlib.sha256(sink.data).hexdigest()


async def test_a_run_that_never_was_and_a_folder_that_can_not_be_written_are_said(server, pool, tmp_path: Path):
    with pytest.raises(RunLost, match="never started"):
        await follow(pool, server.endpoint, "none", after=0, on_chunk=Sink(), root=str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(TransferRefused, match="can't be written"):
        await begin(pool, server.endpoint, "r", "true", root=str(tmp_path / "file"))


async def test_a_run_whose_folder_is_removed_leaves_no_process_behind(server, pool, tmp_path: Path):
    await begin(pool, server.endpoint, "r9", "sleep 0.3", root=str(tmp_path))
    while not (tmp_path / "r9" / "supervisor").exists():
        await asyncio.sleep(0.01)
    supervisor = Path("/proc") / (tmp_path / "r9" / "supervisor").read_text().strip()
    assert supervisor.exists()
    # Moved away at once: the supervisor may be writing into it, and a tree that changes can't be removed.
    (tmp_path / "r9").rename(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    async with asyncio.timeout(30):
        while supervisor.exists():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["restarted", "supervisor killed"])
async def test_what_was_printed_and_not_yet_read_when_a_run_was_cut_off_is_read_after_it(
    server, pool, tmp_path: Path, how: str
):
    written = "one\nhalf a line 热".encode()
    await begin(pool, server.endpoint, "r50", "printf 'one\\nhalf a line 热'; sleep 60", root=str(tmp_path))
    run = tmp_path / "r50"
    while not (run / "pid").exists() or (run / "log").read_bytes() != written:
        await asyncio.sleep(0.02)
    for name in ("supervisor", "pid"):
        os.kill(int((run / name).read_text()), signal.SIGKILL)
    if how == "restarted":
        (run / "boot_id").write_text("of-another-boot\n")
    sink = Sink()
    with pytest.raises(MachineRebooted if how == "restarted" else RunLost):
        await follow(pool, server.endpoint, "r50", after=0, on_chunk=sink, root=str(tmp_path))
    assert sink.data == written
