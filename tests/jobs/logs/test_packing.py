from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from django.conf import settings
from django.db import connections

from jobs.logs import packing, reading
from jobs.logs.logbook import append
from jobs.logs.pieces import WINDOW, Piece, deflated, inflated
from jobs.models import Job, LogBlock, LogChunk
from jobs.states import JobState
from tests.faults.watch import until
from tests.jobs.logs.conftest import Written


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Nothing is packed beside the test."""
    monkeypatch.setattr(packing, "_later", lambda *args: None)


def everything(job: Job) -> list[Piece]:
    return list(reading.whole(job.pk))


def check(written: Written) -> None:
    """The log is what was written, in order, from any position, whole or by source."""
    pieces = everything(written.job)
    assert [piece.position for piece in pieces] == [0, *[piece.end for piece in pieces[:-1]]]
    assert b"".join(piece.data for piece in pieces) == written.whole
    for source, data in written.sources.items():
        assert b"".join(piece.data for piece in reading.of_source(source)) == data
        assert reading.stored(source) == len(data)
        assert reading.measure(source) == (hashlib.sha256(data).hexdigest(), len(data))
        assert reading.tail(source, 1000) == data[-1000:].decode(errors="replace")
        back = list(reading.before(source, len(data)))
        assert b"".join(piece.data for piece in reversed(back)) == data
    chance = random.Random(7)
    for after in [chance.randrange(len(written.whole)) for _ in range(60)]:
        pieces = reading.read(written.job.pk, after, size=5000)
        said = b"".join(piece.data for piece in pieces)
        assert pieces[0].position == after and said == written.whole[after : after + len(said)]


def test_a_packed_log_is_the_log_in_the_same_places_with_the_same_times(written: Written):
    written.scatter(300)
    check(written)
    before = everything(written.job)
    written.end()
    packing.close(written.job.pk)
    assert not LogChunk.objects.exists() and LogBlock.objects.count() == len(written.sources)
    check(written)
    assert everything(written.job) == before


def test_a_log_of_several_windows_is_read_over_their_borders(written: Written, monkeypatch):
    monkeypatch.setattr("jobs.logs.pieces.WINDOW", 4096)
    written.scatter(400, size=900)
    written.write(0, b"x" * 20_000 + b"\n")
    written.scatter(50)
    written.end()
    packing.close(written.job.pk)
    assert LogBlock.objects.count() > 30 and not LogChunk.objects.exists()
    check(written)


def test_runs_are_packed_while_others_go_on(written: Written, monkeypatch):
    monkeypatch.setattr("jobs.logs.pieces.WINDOW", 4096)
    written.scatter(200)
    packing.pack_step(written.job.pk, written.steps[0].pk)
    assert LogBlock.objects.exists() and LogChunk.objects.exists()
    check(written)
    for step in (1, 2, 3, 1, 2):
        written.write(step, b"goes on\n" * 200)
    check(written)
    packing.pack_step(written.job.pk, written.steps[2].pk)
    check(written)


def test_packing_that_is_broken_off_anywhere_loses_nothing_and_is_gone_on_with(written: Written, monkeypatch):
    monkeypatch.setattr("jobs.logs.pieces.WINDOW", 8192)
    written.scatter(120)
    written.end()
    real, calls = LogBlock.objects.create, 0

    def dies(**values: object) -> LogBlock:
        nonlocal calls
        calls += 1
        made = real(**values)
        if calls % 2 == 0:
            # After the block was written, before the commit: as a worker that is killed there.
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(LogBlock.objects, "create", dies)
    for _ in range(200):
        try:
            packing.close(written.job.pk)
            break
        except KeyboardInterrupt:
            assert b"".join(piece.data for piece in everything(written.job)) == written.whole
    written.job.refresh_from_db()
    assert calls > 5 and written.job.log_packed and not LogChunk.objects.exists()
    check(written)


def test_a_process_that_is_killed_while_it_packs_has_lost_nothing(written: Written):
    block = b"".join(b"%d packages are unpacked, please wait\n" % number for number in range(1500))
    for number in range(300):
        written.write(number % 4, block)
    written.end()
    program = (
        "import django; django.setup()\n"
        f"from jobs.logs import packing; print('begun', flush=True); packing.close({written.job.pk})"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.faults.same_database",
        "CONSOLE_VAR": str(settings.VAR_DIR),
    }
    killed = 0
    for more in (0, 1, 0, 2, 1):
        packer = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
        assert packer.stdout is not None and packer.stdout.readline() == b"begun\n"
        # However slow the machine is: when so many blocks have come, and the next one is being made.
        wanted = LogBlock.objects.count() + more
        until(lambda: LogBlock.objects.count() >= wanted or packer.poll() is not None)  # noqa: B023
        packer.kill()
        killed += packer.wait() < 0
        packer.stdout.close()
        assert b"".join(piece.data for piece in everything(written.job)) == written.whole
    assert killed > 1 and LogBlock.objects.exists()
    packing.close(written.job.pk)
    assert not LogChunk.objects.exists()
    check(written)


def test_a_reader_sees_neither_gap_nor_repeat_while_the_log_is_packed_by_two(written: Written, monkeypatch):
    monkeypatch.setattr("jobs.logs.pieces.WINDOW", 8192)
    written.scatter(600)
    written.end()

    def pack() -> None:
        packing.close(written.job.pk)
        connections.close_all()

    threads = [threading.Thread(target=pack) for _ in range(2)]
    for thread in threads:
        thread.start()
    rounds = 0
    while any(thread.is_alive() for thread in threads):
        assert b"".join(piece.data for piece in everything(written.job)) == written.whole
        rounds += 1
    for thread in threads:
        thread.join()
    assert rounds > 1 and not LogChunk.objects.exists()
    check(written)


def test_a_download_that_is_under_way_when_its_run_is_packed_is_whole(written: Written, monkeypatch):
    monkeypatch.setattr(reading, "READ_PIECES", 70)
    written.scatter(600)
    written.end()
    source, data = max(written.sources.items(), key=lambda one: len(one[1]))
    # Each stands somewhere else in the run, none of them where a block begins.
    readers = [reading.of_source(source) for _ in range(3)]
    taken = [
        b"".join(next(reader).data for _ in range(count)) for reader, count in zip(readers, (1, 70, 100), strict=True)
    ]
    packing.close(written.job.pk)
    assert not LogChunk.objects.exists()
    for begun, reader in zip(taken, readers, strict=True):
        assert begun + b"".join(piece.data for piece in reader) == data


def test_the_record_of_an_ended_job_has_the_logs_hash_and_length(written: Written):
    written.scatter(200)
    job = written.end()
    assert (job.log_sha256, job.log_length) == (hashlib.sha256(written.whole).hexdigest(), len(written.whole))
    assert not job.log_packed and job.log_stored == len(written.whole)
    packing.close(job.pk)
    job.refresh_from_db()
    assert job.log_packed and 0 < job.log_stored < len(written.whole) / 3
    assert job.log_sha256 == hashlib.sha256(written.whole).hexdigest()


def test_a_job_that_a_person_ended_is_closed_by_whoever_tends_logs(written: Written):
    written.scatter(40)
    written.end()
    Job.objects.filter(pk=written.job.pk).update(state=JobState.CANCELLED, log_sha256="")
    assert packing.tend() == 1 and packing.tend() == 0
    written.job.refresh_from_db()
    assert written.job.log_sha256 == hashlib.sha256(written.whole).hexdigest() and written.job.log_packed


def test_a_short_log_stays_as_it_came(written: Written):
    written.write(0, b"done\n")
    assert written.end().log_packed
    assert packing.tend() == 0 and LogChunk.objects.count() == 1


def test_what_is_stored_twice_is_stored_once_wherever_the_second_time_begins_and_ends(written: Written):
    step, source = written.steps[0], written.source(written.steps[0])
    written.write(0, b"0123456789")
    for offset, data in ((0, b"0123456789"), (0, b"0123"), (5, b"56789ab"), (5, b"56789abcd"), (14, b"e")):
        append(written.lease, step, source, offset, data)
    assert b"".join(piece.data for piece in everything(written.job)) == b"0123456789abcde"


def test_a_block_holds_its_pieces_with_places_and_times(written: Written):
    written.scatter(50)
    pieces = [piece for piece in everything(written.job) if piece.step_id == written.steps[1].pk]
    assert len(pieces) > 5 and pieces[-1].end < WINDOW
    block = deflated(pieces)
    assert list(inflated(replace(pieces[0], data=block))) == pieces
