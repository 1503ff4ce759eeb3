from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.ssh import runs
from hardware.ssh.errors import RunLost, TransferRefused
from hardware.ssh.follow import follow


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
    started = await runs.start(pool, server.endpoint, "r1", "echo out; echo err >&2; exit 7", root=str(tmp_path))
    ended = await follow(pool, server.endpoint, "r1", after=0, on_chunk=sink, root=str(tmp_path))
    assert not started.attached
    assert (ended.exit_status, sink.data) == (7, b"out\nerr\n")
    assert ended.log_sha256 == hashlib.sha256(sink.data).hexdigest()


async def test_however_often_it_is_started_the_command_runs_once(server, pool, tmp_path: Path):
    count = tmp_path / "count"
    command = f"echo once >>{count}; sleep 0.3"
    started = await asyncio.gather(
        *(runs.start(pool, server.endpoint, "r2", command, root=str(tmp_path / "runs")) for _ in range(10))
    )
    await follow(pool, server.endpoint, "r2", after=0, on_chunk=Sink(), root=str(tmp_path / "runs"))
    again = await runs.start(pool, server.endpoint, "r2", command, root=str(tmp_path / "runs"))
    assert again.attached
    assert [s.attached for s in started].count(False) == 1
    assert count.read_text() == "once\n"


async def test_a_folder_whose_starter_died_before_the_mark_is_started(server, pool, tmp_path: Path):
    (tmp_path / "r3").mkdir()
    started = await runs.start(pool, server.endpoint, "r3", "echo hello", root=str(tmp_path))
    sink = Sink()
    await follow(pool, server.endpoint, "r3", after=0, on_chunk=sink, root=str(tmp_path))
    assert not started.attached
    assert sink.data == b"hello\n"


async def test_a_run_outlives_its_ssh_session_and_is_followed_from_an_offset(server, pool, tmp_path: Path):
    await runs.start(pool, server.endpoint, "r4", "echo one; sleep 0.5; echo two", root=str(tmp_path))
    await pool.close()
    sink = Sink(4)
    ended = await follow(pool, server.endpoint, "r4", after=4, on_chunk=sink, root=str(tmp_path))
    assert (ended.exit_status, sink.data) == (0, b"two\n")


async def test_a_link_that_is_cut_again_and_again_leaves_neither_gap_nor_repeat(server, pool, proxy, tmp_path: Path):
    endpoint = replace(server.endpoint, port=proxy.port)
    command = 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i"; [ $((i % 100)) = 0 ] && sleep 0.05; done'
    await runs.start(pool, endpoint, "r5", command, root=str(tmp_path))
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
    await runs.start(pool, endpoint, "r51", "sleep 3; echo end", root=str(tmp_path))
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
    await runs.start(pool, server.endpoint, "r6", command, root=str(tmp_path))
    await asyncio.sleep(0.3)
    await runs.cancel(pool, server.endpoint, "r6", grace=1, root=str(tmp_path))
    status = await runs.inspect(pool, server.endpoint, "r6", root=str(tmp_path))
    await asyncio.sleep(3)
    assert status.exit_status == 137
    assert not mark.exists()


async def test_a_secret_is_in_no_process_list_and_in_no_file_that_stays(server, pool, tmp_path: Path):
    command = f'sleep 0.3; [ "$TOKEN" = s3cr3t-value ] && echo ok; ps axww >{tmp_path}/ps'
    await runs.start(pool, server.endpoint, "r7", command, env={"TOKEN": "s3cr3t-value"}, root=str(tmp_path))
    sink = Sink()
    await follow(pool, server.endpoint, "r7", after=0, on_chunk=sink, root=str(tmp_path))
    assert sink.data == b"ok\n"
    assert "TOKEN" not in (tmp_path / "ps").read_text().replace("$TOKEN", "")
    left = [p for p in (tmp_path / "r7").rglob("*") if p.is_file() and p.name not in ("command",)]
    assert not [p for p in left if b"s3cr3t-value" in p.read_bytes()]


async def test_bytes_that_are_no_text_and_cut_characters_arrive_as_they_are(server, pool, tmp_path: Path):
    sink = Sink()
    command = "printf '\\344\\275'; sleep 0.3; printf '\\240\\n\\377\\000\\376end'"
    await runs.start(pool, server.endpoint, "r8", command, root=str(tmp_path))
    await follow(pool, server.endpoint, "r8", after=0, on_chunk=sink, root=str(tmp_path))
    assert sink.data == b"\xe4\xbd\xa0\n\xff\x00\xfeend"


async def test_a_run_whose_supervisor_was_killed_is_lost_and_says_so(server, pool, tmp_path: Path):
    await runs.start(pool, server.endpoint, "r9", "sleep 30", root=str(tmp_path))
    await asyncio.sleep(0.3)
    run = tmp_path / "r9"
    killed = await asyncio.create_subprocess_shell(f"kill -KILL $(cat {run}/supervisor) ; kill -KILL -$(cat {run}/pid)")
    await killed.wait()
    with pytest.raises(RunLost, match=r"host-1: .*killed"):
        await follow(pool, server.endpoint, "r9", after=0, on_chunk=Sink(), root=str(tmp_path))


async def test_a_run_that_never_was_and_a_folder_that_can_not_be_written_are_said(server, pool, tmp_path: Path):
    with pytest.raises(RunLost, match="never started"):
        await follow(pool, server.endpoint, "none", after=0, on_chunk=Sink(), root=str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(TransferRefused, match="can't be written"):
        await runs.start(pool, server.endpoint, "r", "true", root=str(tmp_path / "file"))
