"""Jobs on a machine that is logged in to as another user than root, whose sudo asks for a password."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hardware.inventory.models import Credential, Machine
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.models import Job
from jobs.plan import Reboot
from jobs.services import launch
from jobs.states import JobState
from tests.faults import kinds, watch
from tests.faults.processes import start_worker, take_over
from tests.sshd import PASSWORD, Server
from tests.sudo import SECRET, Sudo, real_sudo_works
from tests.worker import log_of, read_facts, work


@pytest.fixture
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the machine that only root may enter."""
    made = tmp_path_factory.mktemp("closed")
    made.chmod(0o700)
    return made


@pytest.fixture(params=["stand-in", "real"])
def ops(
    request: pytest.FixtureRequest, sshd: Server, machine: Machine, monkeypatch, settings, tmp_path_factory
) -> Machine:
    real = request.param == "real"
    if real and not real_sudo_works():
        pytest.skip("there is no sudo here, or this is not root")
    folder = tmp_path_factory.mktemp("sudo")
    for above in (folder.parent, folder.parent.parent):
        # The other user must reach the folder of the stand-ins.
        if os.stat(above).st_uid == os.getuid():
            above.chmod(0o755)
    monkeypatch.setattr(sshd, "session", Sudo(folder, real).session)
    settings.DEPOT_DIR = folder / "depot"
    kinds.register()
    machine.credential = Credential.objects.create(
        name="ops", username="ops", password=PASSWORD, sudo=Credential.Sudo.OWN, sudo_password=SECRET
    )
    machine.save()
    return machine


def told_of(job: Job) -> str:
    return f"{job.plan}{job.params}{job.failure}{log_of(job).decode()}"


def test_a_run_whose_worker_is_killed_goes_on_as_root_and_its_log_is_whole(ops: Machine, closed: Path):
    count, gate = closed / "count", closed / "gate"
    command = watch.counting(count, gate=gate)
    job = launch("command", {"command": f'echo "$SUDO_USER $USER"; {command}'}, [ops], actor="ada")
    worker = start_worker(job)
    watch.until(lambda: watch.lines(job) > 2)
    worker.kill()
    watch.expire(job)
    gate.touch()
    take_over(job)
    watch.assert_whole(job, count, b"ops root\n" + watch.written(), attempt=2)
    assert SECRET not in told_of(job)


def test_files_go_to_and_come_from_where_only_root_may_look(ops: Machine, closed: Path, tmp_path: Path):
    data = hashlib.shake_256(b"model").digest(300_000)
    (tmp_path / "model.om").write_bytes(data)
    with (tmp_path / "model.om").open("rb") as file:
        blob = ingest(file, name="model.om", type="file", actor="ada")
    there = closed / "model.om"
    send = {"type": "send", "sha256": blob.sha256, "name": blob.name, "size": blob.size, "destination": str(there)}
    job = work(launch("single", {"action": send}, [ops], actor="ada"))
    assert job.state == JobState.SUCCEEDED, job.failure
    assert there.read_bytes() == data and there.stat().st_uid == 0
    # The same bytes would be the artifact that is there already.
    there.write_bytes(data[::-1])
    product = {"file": str(there), "type": "om", "name": "back.om"}
    job = work(launch("single", {"action": {"type": "fetch", "product": product}}, [ops], actor="ada"))
    assert job.state == JobState.SUCCEEDED, job.failure
    assert Artifact.objects.get(name="back.om").sha256 == hashlib.sha256(data[::-1]).hexdigest()
    assert SECRET not in told_of(job)


def test_a_password_that_sudo_refuses_fails_the_job_and_names_machine_user_and_mend(ops: Machine, closed: Path):
    Credential.objects.filter(name="ops").update(sudo_password="not this")
    job = work(launch("command", {"command": f"touch {closed}/never"}, [Machine.objects.get()], actor="ada"))
    assert job.state == JobState.FAILED and not (closed / "never").exists()
    failure = job.steps.get(key="first").failure
    assert failure["code"] == "ssh-sudo-password" and "user ops" in failure["cause"] and "not this" not in told_of(job)
    Credential.objects.filter(name="ops").update(sudo_password=SECRET)
    assert read_facts(Machine.objects.get()).state == Machine.State.READY


def test_a_restart_that_is_asked_for_outlives_the_sudo_that_asked(ops: Machine, closed: Path):
    """The command returns first; with ``use_pty`` sudo then hangs up on what it started."""
    asked = closed / "asked"
    asks = Reboot().command.replace("; reboot", f"; touch {asked}")
    assert asks != Reboot().command
    job = work(launch("single", {"action": {"type": "reboot", "command": asks, "timeout_s": 4}}, [ops], actor="ada"))
    # This machine does not go down, so that nothing comes back.
    assert job.failure["code"] == "reboot-timeout", job.failure
    assert asked.exists() and asked.stat().st_uid == 0
