"""Workers that are killed in a transfer, a fetch, a gate, a probe, a restart: the next goes on and does none twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site

from hardware.inventory.models import FactSnapshot, Machine
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.models import Job
from jobs.services import launch
from jobs.states import JobState, StepState
from tests.faults import kinds, watch
from tests.faults.links import Link
from tests.faults.processes import Process, start_worker, take_over
from tests.faults.service import Service
from tests.fleet import Fleet
from tests.worker import log_of, read_facts

SINGLE = "tests.faults.kinds:Single"
# Several times what is under way at once, so that a transfer has a midst.
BYTES = hashlib.shake_256(b"driver").digest(5_000_000)
MIDST = 3_000_000

MOMENTS = ["before it", "in its midst", "after it, not noted", "after it"]


@pytest.fixture(autouse=True)
def single(transactional_db: None, settings, tmp_path: Path) -> None:
    settings.DEPOT_DIR = tmp_path / "depot"
    kinds.register()


def one_step(machine: Machine, **action: Any) -> Job:
    return launch("single", {"action": action}, [machine], actor="ada")


def begun(job: Job) -> bool:
    return watch.first(job).state != StepState.PENDING


def kill_at(
    job: Job, moment: str, midst: Callable[[], object], done: Callable[[], object], kind: str = SINGLE
) -> Process:
    """A worker that was killed then. ``done``: what the action does is done, the worker does not know it yet."""
    worker = start_worker(job, kind)
    watch.until(lambda: begun(job))
    if moment == "in its midst":
        watch.until(midst)
    elif moment == "after it":
        watch.until(lambda: watch.first(job).state == StepState.SUCCEEDED)
    with watch.database_locked() if moment == "after it, not noted" else nullcontext():
        if moment == "after it, not noted":
            watch.until(done)
        worker.kill()
    return worker


def succeeds(job: Job, link: Link | None = None) -> dict[str, Any]:
    """The next worker takes the job over, or finds it ended; the step's result."""
    if link is not None:
        link.mend()
    watch.expire(job)
    job.refresh_from_db()
    if not job.ended:
        take_over(job)
    assert job.state == JobState.SUCCEEDED, job.failure or job.traceback
    assert job.attempt <= 2
    return dict(watch.first(job).result)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_transfer_whose_worker_is_killed_is_finished_by_the_next(
    machine: Machine, link: Link, tmp_path: Path, moment: str
):
    (tmp_path / "driver").write_bytes(BYTES)
    with (tmp_path / "driver").open("rb") as file:
        blob = ingest(file, name="driver.bin", type="file", actor="ada")
    there = tmp_path / "there" / "driver.bin"
    job = one_step(
        machine, type="send", sha256=blob.sha256, name=blob.name, size=blob.size, destination=str(there)
    )  # fmt: skip
    if moment == "in its midst":
        link.lets(MIDST)
    kill_at(job, moment, lambda: link.proxy.swallow, there.exists)
    written = there.stat().st_mtime_ns if there.exists() else None
    result = succeeds(job, link)
    assert there.read_bytes() == BYTES and not Path(f"{there}.part").exists()
    if moment == "in its midst":
        assert 0 < result["resumed_from"] < MIDST
    if moment == "after it, not noted":
        # Found there, not sent again.
        assert result["already_there"] and there.stat().st_mtime_ns == written


def test_a_transfer_whose_link_is_cut_leaves_no_stack_trace_in_the_workers_log(
    machine: Machine, link: Link, tmp_path: Path
):
    said, there = tmp_path / "said", tmp_path / "there"
    (tmp_path / "driver").write_bytes(BYTES)
    with (tmp_path / "driver").open("rb") as file:
        blob = ingest(file, name="driver.bin", type="file", actor="ada")
    link.lets(MIDST, then="cut")
    job = one_step(machine, type="send", sha256=blob.sha256, name=blob.name, size=blob.size, destination=str(there))
    assert start_worker(job, SINGLE, said=said).wait() == 0
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED and there.read_bytes() == BYTES
    assert [line for line in said.read_text().splitlines() if "Traceback" in line or "socket.send" in line] == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_fetch_whose_worker_is_killed_brings_the_file_once(machine: Machine, link: Link, tmp_path: Path, moment: str):
    source = tmp_path / "model.om"
    source.write_bytes(BYTES)
    product = {"file": str(source), "type": "om", "name": "model.om"}
    job = one_step(machine, type="fetch", product=product)
    if moment == "in its midst":
        link.lets(MIDST)
    work = Path(site.VAR_DIR) / "work"
    kill_at(job, moment, lambda: link.proxy.swallow, lambda: list(work.glob(f"{watch.first(job).run_id}.*/model.om")))
    succeeds(job, link)
    (kept,) = Artifact.objects.filter(name="model.om")
    assert kept.sha256 == hashlib.sha256(BYTES).hexdigest() and kept.path.read_bytes() == BYTES
    assert not list(work.iterdir())


@pytest.mark.parametrize("how", ["cut", "half-open"])
def test_a_fetch_goes_on_where_its_link_broke(machine: Machine, link: Link, tmp_path: Path, how: str):
    source, said = tmp_path / "model.om", tmp_path / "said"
    source.write_bytes(BYTES)
    job = one_step(machine, type="fetch", product={"file": str(source), "type": "om", "name": "model.om"})
    link.lets(MIDST, then=how)
    worker = start_worker(job, SINGLE, said=said, KEEPALIVE=0.4)
    watch.until(lambda: not link.proxy.lets)
    if how == "half-open":
        watch.until(lambda: watch.first(job).state == StepState.UNREACHABLE)
        (part,) = (Path(site.VAR_DIR) / "work").glob(f"{watch.first(job).run_id}.*/model.om.part")
        assert part.stat().st_size > 0
        link.mend()
    assert worker.wait() == 0
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1), job.failure or job.traceback
    (kept,) = Artifact.objects.filter(name="model.om")
    assert kept.sha256 == hashlib.sha256(BYTES).hexdigest() and kept.path.read_bytes() == BYTES
    # What did arrive did not come twice.
    assert link.proxy.passed < len(BYTES) * 1.6
    assert "Traceback" not in said.read_text() and "never retrieved" not in said.read_text()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_gate_whose_worker_is_killed_is_asked_again(machine: Machine, service: Service, moment: str):
    job = one_step(machine, type="request", method="GET", port=service.server_port, path="/healthz", within_s=20)
    if moment != "in its midst":
        service.first_may_go.set()
    kill_at(job, moment, service.asked.is_set, service.answered.is_set)
    service.first_may_go.set()
    assert succeeds(job)["status"] == 200


@pytest.mark.parametrize("moment", ["before it", "in its midst", "after it"])
def test_a_probe_whose_worker_is_killed_is_made_again_and_stored_once(machine: Machine, link: Link, moment: str):
    job = one_step(machine, type="facts")
    if moment == "in its midst":
        link.lets(3_000)
    kill_at(job, moment, lambda: link.proxy.swallow, lambda: True)
    succeeds(job, link)
    assert FactSnapshot.objects.filter(machine=machine).count() == 1
    machine.refresh_from_db()
    assert machine.state == Machine.State.READY and machine.trouble == {}


@pytest.mark.parametrize("moment", ["before it", "in its midst", "after it, not noted", "after it"])
def test_a_command_line_of_the_console_whose_worker_is_killed_ends_with_it_and_begins_anew(tmp_path: Path, moment: str):
    pids, ended = tmp_path / "pids", tmp_path / "ended"
    code = (
        f"import os, time; open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); print('begun', flush=True); "
        f"time.sleep(0.3); print('{{}}', flush=True); open({str(ended)!r}, 'a').write('ended\\n')"
    )
    job = launch("here", {"code": code}, [], actor="ada")
    kill_at(job, moment, lambda: watch.lines(job), ended.exists, kind="tests.faults.kinds:Here")
    succeeds(job)
    started = pids.read_text().split()
    assert len(started) <= job.attempt and not any(watch.lives(pid) for pid in started)
    assert log_of(job).endswith(b"begun\n{}\n") and log_of(job).count(b"begun") <= len(started)


RESTARTS: dict[str, Callable[[Job, Fleet], object]] = {
    "before it": lambda job, fleet: begun(job),
    "as it is asked for": lambda job, fleet: watch.first(job).boot_id,
    "when it was asked for": lambda job, fleet: (fleet.disk("kunpeng-01") / "root/asked").exists(),
    "while it is away": lambda job, fleet: not fleet.answers("kunpeng-01"),
}


@pytest.mark.parametrize("moment", RESTARTS)
def test_a_restart_whose_worker_is_killed_happens_once(new_fleet: Callable[..., Fleet], moment: str):
    fleet = new_fleet(machines=1, boot_seconds=0.5)
    machine = read_facts(fleet.enroll("kunpeng-01"))
    before = machine.read.boot_id
    command = "echo asked >>/root/asked; (sleep 0.3; echo down >>/root/down; reboot) >/dev/null 2>&1 </dev/null &"
    job = one_step(machine, type="reboot", command=command)
    worker = start_worker(job, SINGLE)
    watch.until(lambda: RESTARTS[moment](job, fleet))
    worker.kill()
    result = succeeds(job)
    assert result["boot_id"] != before and read_facts(machine).read.boot_id == result["boot_id"]
    assert (fleet.disk("kunpeng-01") / "root/down").read_text() == "down\n"
