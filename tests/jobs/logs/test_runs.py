"""Runs on a machine whose output is at its worst: over SSH, into the store, and what is said of their end."""

from __future__ import annotations

import hashlib

from jobs.logs import packing, reading
from jobs.models import Job
from jobs.services import launch
from jobs.states import JobState
from tests.worker import log_of, work


def ran(machine, command: str) -> Job:
    return work(launch("command", {"command": command}, [machine], actor="ada"))


def test_a_failure_says_the_last_line_without_colours_and_bytes_that_no_database_takes(machine):
    job = ran(machine, r"printf 'fine\n\033[1;31mno \000such\033[0m device \377\n'; exit 3")
    assert job.state == JobState.FAILED
    assert job.failure["cause"] == "First ended with exit code 3: no such device \ufffd"
    assert log_of(job) == b"fine\n\x1b[1;31mno \x00such\x1b[0m device \xff\n"


def test_more_lines_than_anybody_reads_are_stored_as_the_machine_printed_them(machine):
    job = ran(machine, "seq 400000 | sed 's/$/ of many lines that a build prints/'")
    assert job.state == JobState.SUCCEEDED, job.failure
    whole = b"".join(b"%d of many lines that a build prints\n" % n for n in range(1, 400_001))
    assert job.log_length == len(whole) and log_of(job) == whole
    step = job.steps.get(key="first")
    # The machine's own reckoning over its file.
    assert (step.log_sha256, step.log_length) == (hashlib.sha256(whole).hexdigest(), len(whole))
    packing.close(job.pk)
    job.refresh_from_db()
    assert job.log_packed and job.log_stored < len(whole) / 5
    assert reading.sha256(reading.whole(job.pk)) == (hashlib.sha256(whole).hexdigest(), len(whole))


def test_every_byte_that_there_is_and_a_line_without_an_end_are_stored_as_they_are(machine):
    every = "awk 'BEGIN { for (i = 0; i < 256; i++) printf \"%c\", i }' | LC_ALL=C cat"
    job = ran(machine, f"{every}; head -c 20000000 /dev/zero | tr '\\0' x")
    assert job.state == JobState.SUCCEEDED, job.failure
    log = log_of(job)
    assert log.endswith(b"x" * 20_000_000) and len(set(log[:-20_000_000])) > 250
    step = job.steps.get(key="first")
    assert step.log_sha256 == hashlib.sha256(log).hexdigest()
