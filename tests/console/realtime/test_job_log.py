from __future__ import annotations

import json
import socket
import threading
import time

import pytest
from django.db import connections
from websockets.exceptions import InvalidStatus

from jobs.engine import checkpoints
from jobs.logs import packing, retention
from jobs.models import Job, LogBlock, LogChunk, LogLimit
from jobs.states import JobState, StepState
from tests.console.realtime.conftest import Reader, Web, Written, close_code, line, write_in_background
from tests.redis_server import Redis


def path(written: Written, after: int = 0) -> str:
    return f"/ws/jobs/{written.job.pk}/log?after={after}"


def test_a_page_opened_in_the_middle_sees_the_log_from_its_beginning_then_live_then_its_end(web, written):
    written.write(b"before\n")
    with web.open(path(written)) as link:
        reader = Reader()
        reader.until(link, 7)
        assert {frame["type"] for frame in reader.others} == {"step", "job"}
        began = time.monotonic()
        written.write(b"live\n")
        reader.until(link, 12)
        # Sooner than the look every two seconds: it was told.
        assert time.monotonic() - began < 1
        checkpoints.move(written.lease, written.step, StepState.RUNNING)
        while reader.others[-1].get("state") != "running" or reader.others[-1]["type"] != "step":
            reader.take(link)
        assert reader.others[-1]["machine"] == "host-1" and reader.others[-1]["step"] == written.step.pk
        checkpoints.end(written.lease, JobState.SUCCEEDED)
        while not reader.ended:
            reader.take(link)
        assert reader.others[-1]["state"] == "succeeded" and bytes(reader.log) == b"before\nlive\n"
        assert close_code(link) == 1000


def test_twenty_reconnects_lose_nothing_and_repeat_nothing(web, written):
    writer, whole = write_in_background(written, 1500, 0.004)
    reader = Reader()
    for _ in range(20):
        with web.open(path(written, reader.offset)) as link:
            reader.take(link)
            reader.take(link)
            # Cut in the midst, without a goodbye.
            link.socket.shutdown(socket.SHUT_RDWR)
    with web.open(path(written, reader.offset)) as link:
        while not reader.ended:
            reader.take(link)
    writer.join()
    assert bytes(reader.log) == whole


def test_a_position_inside_a_chunk_gets_the_rest_of_the_chunk(web, written):
    written.write(b"0123456789")
    with web.open(path(written, 4)) as link:
        reader = Reader(offset=4)
        reader.until(link, 10)
    assert bytes(reader.log) == b"456789"


def test_a_log_that_is_packed_while_pages_read_it_has_neither_gap_nor_repeat(web, written, monkeypatch):
    monkeypatch.setattr(packing, "_later", lambda *args: None)
    whole = b"".join(line(number) for number in range(40_000))
    for start in range(0, len(whole), 60_000):
        written.write(whole[start : start + 60_000])
    checkpoints.end(written.lease, JobState.SUCCEEDED)
    packer = threading.Thread(target=lambda: (packing.close(written.job.pk), connections.close_all()))
    early, late = Reader(), Reader(offset=1_234_567)
    with web.open(path(written)) as link:
        early.until(link, 500_000)
        packer.start()
        while not early.ended:
            early.take(link)
    packer.join()
    assert LogBlock.objects.exists() and not LogChunk.objects.exists()
    with web.open(path(written, late.offset)) as link:
        while not late.ended:
            late.take(link)
    assert bytes(early.log) == whole and bytes(late.log) == whole[1_234_567:]


def test_a_log_that_was_removed_is_over_at_once(web, written, monkeypatch):
    written.write(b"gone\n" * 1000)
    checkpoints.end(written.lease, JobState.SUCCEEDED)
    packing.close(written.job.pk)
    assert retention.remove(written.job, LogLimit.AGE)
    with web.open(path(written)) as link:
        frames = [frame for frame in json.loads(link.recv(timeout=10)) if frame["type"] in ("log", "end")]
        assert frames == [{"type": "end", "offset": 5000}]
        assert close_code(link) == 1000


def test_a_redis_that_dies_and_comes_back_loses_nothing(web, written, redis_server: Redis):
    writer, whole = write_in_background(written, 400, 0.02)
    reader = Reader()
    with web.open(path(written)) as link:
        reader.until(link, 2000)
        redis_server.kill()
        # Without a wake-up the server looks for itself.
        reader.until(link, reader.offset + 2000)
        redis_server.start()
        while not reader.ended:
            reader.take(link)
    writer.join()
    assert bytes(reader.log) == whole
    # Wake-ups work again, for the old server process and the old publisher.
    again = Reader(offset=reader.offset)
    Job.objects.filter(pk=written.job.pk).update(state=JobState.RUNNING, lease_owner=written.lease.owner)
    with web.open(path(written, again.offset)) as link:
        again.take(link)
        time.sleep(0.5)
        waits = []
        for number in range(3):
            began = time.monotonic()
            written.write(line(number))
            again.until(link, written.size)
            waits.append(time.monotonic() - began)
        assert sorted(waits)[1] < 0.5


def test_a_page_opens_and_follows_while_redis_is_away(web, written, redis_server: Redis):
    redis_server.kill()
    began = time.monotonic()
    written.write(b"no wake-up\n")
    assert time.monotonic() - began < 0.5, "storing waited for Redis"
    with web.open(path(written)) as link:
        reader = Reader()
        reader.until(link, 11)
        written.write(b"still none\n")
        reader.until(link, 22)
    redis_server.start()


def test_a_burst_comes_in_ten_messages_a_second_at_most(web, written):
    writer, whole = write_in_background(written, 1000, 0.002)
    reader = Reader()
    began = time.monotonic()
    with web.open(path(written)) as link:
        while not reader.ended:
            reader.take(link)
    writer.join()
    assert bytes(reader.log) == whole
    assert reader.messages <= (time.monotonic() - began) * 10 + 2


def test_a_slow_reader_does_not_grow_the_server(web, written):
    block = (b"y" * 99 + b"\n") * 600
    for _ in range(350):
        written.write(block)
    fast = Reader()
    with web.open(path(written)) as link:
        slow = [web.open(path(written)) for _ in range(12)]
        fast.until(link, 7_000_000)
        before = web.memory_kb()
        fast.until(link, written.size)
        # Each of the slow could have been sent what the fast one got meanwhile: 14 MB, 168 MB together. What grows
        # is the page cache of the four connections to SQLite, 16 MB each at most.
        grown = web.memory_kb() - before
        for one in slow:
            one.socket.shutdown(socket.SHUT_RDWR)
    assert grown < 70_000, f"{grown} kB more"


def test_who_is_not_logged_in_is_told_nothing(web, written):
    with web.open(path(written), cookie="") as link:
        assert close_code(link) == 4401
    with web.open("/ws/fleet", cookie="nonsense") as link:
        assert close_code(link) == 4401


@pytest.mark.parametrize(
    ("address", "code"),
    [("/ws/jobs/424242/log", 4404), ("/ws/machines/nobody/telemetry", 4404), ("/ws/nowhere", 4404)],
)
def test_what_is_not_there_is_said_by_the_close(web, address, code):
    with web.open(address) as link:
        assert close_code(link) == code


@pytest.mark.parametrize("after", ["-1", "x", "9" * 30, "%20"])
def test_a_position_that_is_none_is_refused(web, written, after):
    with web.open(f"/ws/jobs/{written.job.pk}/log?after={after}") as link:
        assert close_code(link) == 4400


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1"])
def test_another_origin_is_refused(web: Web, written, origin):
    with pytest.raises(InvalidStatus) as refused:
        web.open(path(written), origin=origin)
    assert refused.value.response.status_code == 403
