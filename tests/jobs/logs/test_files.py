"""Downloads: one machine's bytes, everybody's lines, the zip of all; each while it is sent."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from hardware.inventory.models import Machine
from jobs.logs import packing, text
from jobs.logs.reading import whole
from jobs.logs.text import Lines
from tests.jobs.logs.conftest import Written


@pytest.fixture
def get(written: Written) -> Callable[[str], bytes]:
    """An answer of the site as a person gets it, whole."""
    client = Client()
    client.force_login(User.objects.create_user("ada", password="a-long-test-password"))

    def ask(path: str) -> bytes:
        answer = client.get(f"/jobs/{written.job.pk}/{path}")
        assert answer.status_code == 200, answer.content

        async def taken() -> bytes:
            return b"".join([part async for part in answer.streaming_content])

        return async_to_sync(taken)()

    return ask


def of(written: Written, machine: str) -> bytes:
    steps = [step for step in written.steps if step.machine.name == machine]
    return b"".join(written.sources.get(written.source(step), b"") for step in steps)


@pytest.fixture(params=["as it came", "packed"])
def log(request, written: Written) -> Written:
    written.scatter(200)
    written.write(1, b"binary \x00\xff\xfe\x1b[31m\r\n")
    written.end()
    if request.param == "packed":
        packing.close(written.job.pk)
    return written


def test_one_machines_log_is_its_bytes_one_run_after_the_other(log: Written, get):
    found = get("log.txt?machine=host-1")
    runs = [log.sources[log.source(step)] for step in log.steps if step.machine.name == "host-1"]
    assert found in (b"".join(runs), b"".join(reversed(runs)))


def test_a_machine_that_the_job_was_not_on_is_refused_by_its_name(log: Written):
    person = User.objects.create_user("ada", password="a-long-test-password")
    api, page = APIClient(), Client()
    api.force_authenticate(person)
    page.force_login(person)
    for path in ("log-text/?", "log-search/?q=a&"):
        address = f"/api/v1/jobs/{log.job.pk}/{path}machine="
        refused = api.get(f"{address}host-3")
        assert refused.status_code == 400, path
        (words,) = refused.json()["errors"]["machine"]
        assert "host-3" in words and "host-1, host-2" in words
        # The console's own log may be empty; that is no mistake.
        assert api.get(f"{address}console").status_code == api.get(f"{address}host-2").status_code == 200
    assert page.get(f"/jobs/{log.job.pk}/log.txt?machine=host-3").status_code == 404
    assert page.get(f"/jobs/{log.job.pk}/log.txt?machine=console").status_code == 200


def test_a_zip_of_all_machines_holds_each_ones_bytes_and_sums_that_can_be_checked(log: Written, get, tmp_path: Path):
    made = zipfile.ZipFile(io.BytesIO(get("log.zip")))
    folder = f"job-{log.job.pk}"
    assert made.testzip() is None
    assert made.namelist() == [f"{folder}/{name}" for name in ("host-1.log", "host-2.log", "SHA256SUMS")]
    assert made.read(f"{folder}/host-2.log") == get("log.txt?machine=host-2")
    made.extractall(tmp_path)
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / folder, check=True, capture_output=True)


def test_every_line_of_everybody_has_its_machine_before_it(log: Written, get):
    lines = get("log.txt").split(b"\n")
    assert all(line.startswith((b"[host-1] ", b"[host-2] ")) for line in lines[:-1])


def test_a_machine_called_console_and_the_console_itself_have_a_file_each(written: Written):
    Machine.objects.filter(name="host-1").update(name="console")
    Machine.objects.filter(name="host-2").update(name="..")
    written.steps[1].machine = None
    written.steps[1].save()
    for step in range(4):
        written.write(step, f"by {step}\n".encode())
    names = [name for name, _ in text._files(written.job.pk)]
    assert len(set(names)) == len(names) == 3 and all("/" not in name for name in names)


def test_lines_that_are_cut_anywhere_are_whole_again_and_a_very_long_one_is_broken_and_marked():
    lines = Lines()
    assert lines.feed("a", "m", b"one\ntw") == b"[m] one\n"
    assert lines.feed("b", "n", b"other\n") == b"[n] other\n"
    assert lines.feed("a", "m", b"o\n") == b"[m] two\n"
    made = b"".join(lines.feed("a", "m", b"x" * 50_000) for _ in range(4)) + lines.feed("a", "m", b"\nshort\n")
    assert [len(line) for line in made.split(b"\n")] == [65540, 65542, 65542, 3398, 9, 0]
    assert made.startswith(b"[m] x") and made.count(b"[m +] x") == 3


def test_files_are_made_in_memory_that_does_not_grow_with_the_log(written: Written):
    block = hashlib.sha256(b"").hexdigest().encode() * 900 + b"\n"
    for number in range(250):
        written.write(number % 4, block)

    def peak(parts) -> int:
        tracemalloc.start()
        sent = 0
        while piece := text._some(parts):
            sent += len(piece)
        _, high = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sent
        return high

    assert len(written.whole) > 12_000_000
    assert peak(text.of_machine(written.job.pk, "host-1")) < 6_000_000
    assert peak(text.mixed(whole(written.job.pk))) < 6_000_000
    assert peak(text._zip(written.job)) < 6_000_000
    packing.close(written.end().pk)
    assert peak(text._zip(written.job)) < 8_000_000
    assert peak(text.mixed(whole(written.job.pk))) < 8_000_000
