"""A log on its way from a machine's file to a client of the WebSocket: how late, how many, and whether all of it."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator

from console.bench.figure import Figure, at, cpu_seconds, resident_mb
from console.bench.reader import Reader
from console.bench.rig import PERSON, Host, Rig, RigFailed, ended, until

WANTED_LATE_MS, WANTED_LINES = 150.0, 20_000
# Each line says its number and when it was written; machine and client have one clock here.
_WRITE = """
import os, time
count, pace, group = {count}, {pace}, {group}
began = time.time()
for first in range(0, count, group):
    late = began + first / pace - time.time()
    if late > 0:
        time.sleep(late)
    text = "".join("%d %.6f %s\\n" % (n, time.time(), "x" * 40) for n in range(first, min(count, first + group)))
    os.write(1, text.encode())
"""


def measure(rig: Rig, quick: bool) -> Iterator[Figure]:
    pid = rig.worker()
    with rig.machines(1) as host:
        yield _late(rig, host, 1000, 5 if quick else 20)
        yield _sustained(rig, host, WANTED_LINES, 5 if quick else 20, pid)
        yield _reconnects(rig, host, 20_000 if quick else 100_000, 20)


def _lines(rig: Rig, host: Host, count: int, pace: int, group: int, cuts: set[int] | None = None) -> _Seen:
    from jobs.services import launch

    script = _WRITE.format(count=count, pace=pace, group=group)
    command = f"exec {sys.executable} -c '{script}'"
    job = launch("bench-command", {"command": command}, host.rows[:1], actor=PERSON)
    reader = Reader(rig, job.pk)
    left = sorted(cuts or ())

    def cut(_: Reader) -> bool:
        if left and reader.offset > left[0]:
            del left[0]
            return True
        return False

    seen = _Seen(reader, reader.follow(cut), count)
    seen.cuts = len(cuts or ()) - len(left)
    until(lambda: ended([job.pk]), 60, "the job did not end")
    return seen


class _Seen:
    """What came of the lines: ``late`` in seconds for each, in order of arrival."""

    def __init__(self, reader: Reader, got: list[tuple[float, str]], count: int) -> None:
        self.cuts = 0
        numbers: list[int] = []
        self.late: list[float] = []
        held, written = "", []
        for now, text in got:
            *whole, held = (held + text).split("\n")
            for line in whole:
                number, at_, _ = line.split(" ")
                numbers.append(int(number))
                written.append(float(at_))
                self.late.append(now - float(at_))
        if not numbers:
            raise RigFailed(f"job {reader.job}: no line of its log came")
        self.lost = count - len(set(numbers))
        self.disordered = sum(a >= b for a, b in itertools.pairwise(numbers)) + reader.misplaced
        self.per_second = len(numbers) / max(got[-1][0] - written[0], 0.001)
        self.written_per_second = len(numbers) / max(written[-1] - written[0], 0.001)
        self.bytes = reader.offset


def _late(rig: Rig, host: Host, pace: int, seconds: int) -> Figure:
    seen = _lines(rig, host, pace * seconds, pace, 1)
    p95 = at(seen.late, 0.95) * 1000
    return Figure(
        f"log: line on the machine to WebSocket client, {pace:,} lines/s for {seconds} s",
        f"p50 {at(seen.late, 0.5) * 1000:.0f} ms, p95 {p95:.0f} ms, {seen.lost} lost",
        f"p95 under {WANTED_LATE_MS:.0f} ms",
        ok=p95 < WANTED_LATE_MS and not seen.lost and not seen.disordered,
        detail={"bytes": seen.bytes},
    )


def _sustained(rig: Rig, host: Host, pace: int, seconds: int, pid: int) -> Figure:
    before = cpu_seconds(pid)
    seen = _lines(rig, host, pace * seconds, pace, pace // 100)
    used = (cpu_seconds(pid) - before) / seconds
    return Figure(
        f"log: {pace:,} lines/s for {seconds} s",
        f"{seen.per_second:,.0f} lines/s arrived, p95 {at(seen.late, 0.95) * 1000:.0f} ms late, {seen.lost} lost",
        f"{pace:,} lines/s, 0 lost",
        "AWX documents 1,100 to 1,630 events/s on 4 CPUs",
        # Start and end of the job are in the time, too: they are no part of what is sustained.
        ok=not seen.lost and not seen.disordered and seen.per_second > 0.95 * min(pace, seen.written_per_second)
        and seen.written_per_second > 0.95 * pace,
        detail={"written_per_second": seen.written_per_second, "worker_cores": used, "rss_mb": resident_mb(pid),
                "late_end_ms": seen.late[-1] * 1000, "bytes": seen.bytes},
    )  # fmt: skip


def _reconnects(rig: Rig, host: Host, count: int, cuts: int) -> Figure:
    draw = random.Random(3)
    places = {draw.randint(1, count * 55) for _ in range(cuts)}
    seen = _lines(rig, host, count, 20_000, 200, places)
    return Figure(
        f"log: {count:,} lines with {seen.cuts} forced reconnects",
        f"{seen.lost} lost, {seen.disordered} out of order",
        "0 lost, 0 out of order",
        ok=not seen.lost and not seen.disordered and seen.cuts == len(places),
        detail={"bytes": seen.bytes},
    )
