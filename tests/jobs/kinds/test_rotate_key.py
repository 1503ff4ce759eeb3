"""Another key for the logins of machines: the texts on files, the job on simulated machines, killed where it hurts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from console.audit.models import AuditEvent
from hardware.inventory.credentials.services import successor
from hardware.inventory.models import Credential, Machine
from hardware.ssh.command import execute
from hardware.ssh.errors import AuthenticationRefused
from jobs.failures import PlanRefused
from jobs.kinds.rotate_key.texts import add_text, remove_text
from jobs.logs.reading import whole
from jobs.models import Job
from jobs.services import launch, plan
from jobs.states import JobState, StepState
from tests.faults.processes import start_worker, take_over
from tests.fleet import Fleet
from tests.worker import with_pool, work

OLD, NEW = "AAAAC3old+/=", "AAAAC3new+/="


def run(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", text], capture_output=True, text=True)


def test_the_texts_keep_other_lines_the_options_of_the_old_key_mode_and_links(tmp_path: Path):
    user = Path.home().owner()
    (tmp_path / ".ssh").mkdir()
    real, file = tmp_path / "elsewhere", tmp_path / ".ssh" / "authorized_keys"
    options = 'from="10.0.0.5",no-pty'
    lines = [f"# ssh-ed25519 {OLD} not this", "ssh-rsa AAAAB3other ann", f"{options} ssh-ed25519 {OLD} console"]
    real.write_text("\n".join(lines))
    real.chmod(0o640)
    file.symlink_to(real)
    # Left behind by one that was killed.
    Path(f"{real}.console").write_text("half a li")
    add = add_text(user, f"ssh-ed25519 {NEW} console:it's-new", OLD, home=str(tmp_path))
    assert "stays" in run(remove_text(user, NEW, OLD, home=str(tmp_path))).stderr
    for said in ("was added", "is there already"):
        assert said in run(add).stdout
        assert real.read_text().splitlines() == [*lines, f"{options} ssh-ed25519 {NEW} console:it's-new"]
    for said in ("was taken out", "is not there any more"):
        assert said in run(remove_text(user, NEW, OLD, home=str(tmp_path))).stdout
        left = real.read_text().splitlines()
        assert [line.split()[-1] for line in left] == ["ann", "console:it's-new"]
    assert real.stat().st_mode & 0o777 == 0o640 and file.is_symlink() and not Path(f"{real}.console").exists()


def test_a_user_without_the_file_gets_it_as_sshd_wants_it(tmp_path: Path):
    user = Path.home().owner()
    done = run(add_text(user, f"ssh-ed25519 {NEW} new", "", home=str(tmp_path)))
    file = tmp_path / ".ssh" / "authorized_keys"
    assert done.returncode == 0 and file.read_text() == f"ssh-ed25519 {NEW} new\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "has no home folder" in run(add_text(user, f"ssh-ed25519 {NEW} new", "", home=f"{tmp_path}/none")).stderr


@pytest.fixture
def site(fleet: Fleet, transactional_db: None) -> Iterator[Fleet]:
    yield fleet
    for number in (1, 2):
        folder = fleet.disk(f"kunpeng-0{number}") / "root/.ssh"
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def keys_of(fleet: Fleet, name: str) -> list[str]:
    file = fleet.disk(name) / "root/.ssh/authorized_keys"
    return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []


def logs_in(machine: Machine) -> bool:
    """By what the database says, and by nothing else."""
    endpoint = Machine.objects.get(pk=machine.pk).endpoint()
    return with_pool(lambda pool: execute(pool, endpoint, "true")).exit_status == 0


def test_a_fleet_goes_from_a_password_to_a_key_and_to_the_next_and_what_fails_keeps_its_login(site: Fleet):
    machines = [site.enroll("kunpeng-01"), site.enroll("kunpeng-02")]
    first = successor(machines[0].credential, "first", actor="ada")
    assert first.public_key.startswith("ssh-ed25519 ") and first.password == ""
    job = work(launch("rotate-key", {"credential": first.pk}, machines, actor="ada"))
    assert job.state == JobState.SUCCEEDED, job.failure
    assert {machine.credential.name for machine in Machine.objects.all()} == {"first"}
    assert all(map(logs_in, machines))
    second = successor(first, actor="ada")
    # Nothing can be written beside the file of the second machine.
    (site.disk("kunpeng-02") / "root/.ssh/authorized_keys.console").mkdir()
    job = work(launch("rotate-key", {"credential": second.pk}, machines, actor="ada"))
    assert job.state == JobState.FAILED
    assert [m.credential.name for m in Machine.objects.order_by("name")] == [second.name, "first"]
    assert all(map(logs_in, machines))
    assert keys_of(site, "kunpeng-01") == [second.public_key.split()[1]]
    assert keys_of(site, "kunpeng-02") == [first.public_key.split()[1]]
    # Again, over the whole fleet: what is done is proved only.
    (site.disk("kunpeng-02") / "root/.ssh/authorized_keys.console").rmdir()
    made, _ = plan("rotate-key", {"credential": second.pk}, list(Machine.objects.order_by("name")))
    assert [[step.key for step in lane.steps] for lane in made.stages[0].lanes] == [
        ["prove"],
        ["add", "prove", "remove"],
    ]
    job = work(launch("rotate-key", {"credential": second.pk}, machines, actor="ada"))
    assert job.state == JobState.SUCCEEDED and all(map(logs_in, machines))
    # Neither the plan nor the log nor the trail has a private key.
    secret = second.private_key.splitlines()[2]
    log = b"".join(chunk.data for chunk in whole(job.pk)).decode()
    trail = str(list(AuditEvent.objects.values_list("action", "target", "detail")))
    assert secret not in str(job.plan) + str(job.params) + log + trail
    assert trail.count("'machine.rotate-key'") == 4 and trail.count("'credential.new-key'") == 2


def test_a_key_that_the_machine_does_not_take_changes_nothing_though_the_password_would_still_do(site: Fleet):
    machine = site.enroll("kunpeng-01")
    made = successor(machine.credential, "never", actor="ada")
    folder = site.disk("kunpeng-01") / "root/.ssh"
    folder.mkdir(mode=0o700)
    # Others may write it: sshd takes no key from it.
    (folder / "authorized_keys").touch()
    (folder / "authorized_keys").chmod(0o666)
    job = work(launch("rotate-key", {"credential": made.pk}, [machine], actor="ada"))
    step = job.steps.get(key="prove")
    assert step.failure["code"] == "new-key-refused" and "kunpeng-01" in step.failure["cause"]
    assert Machine.objects.get().credential == machine.credential and logs_in(machine)


def test_the_button_on_a_machines_page_makes_a_key_and_opens_the_job(site: Fleet, client):
    client.force_login(User.objects.create_superuser("ada"))
    machine = site.enroll("kunpeng-01")
    shown = client.post("/machines/kunpeng-01/new-key/", follow=True)
    made = Credential.objects.exclude(pk=machine.credential_id).get()
    assert f'<option value="{made.pk}" selected' in shown.content.decode() and made.private_key
    assert shown.redirect_chain[0][0] == f"/jobs/new/?kind=rotate-key&machine=kunpeng-01&credential={made.pk}"
    key = client.post(f"/api/v1/credentials/{made.pk}/new-key/", {"name": "next"}, "application/json").json()
    assert key["name"] == "next" and key["public_key"].startswith("ssh-ed25519 ") and "private_key" not in key


def test_what_can_not_be_rotated_is_refused_with_its_field(site: Fleet):
    machine = site.enroll("kunpeng-01")
    for credential, code in ((machine.credential, "no-key"), (None, "credential-missing")):
        with pytest.raises(PlanRefused) as refused:
            plan("rotate-key", {"credential": credential.pk if credential else 999_999}, [machine])
        assert (refused.value.code, refused.value.field) == (code, "credential")
    other = Credential.objects.create(
        name="ops", username="ops", private_key=successor(machine.credential, actor="a").private_key
    )
    with pytest.raises(PlanRefused, match="is logged in to as root, and ops is for ops"):
        plan("rotate-key", {"credential": other.pk}, [machine])


def test_a_worker_that_is_killed_at_any_moment_leaves_a_login_that_works(site: Fleet):
    machine = site.enroll("kunpeng-01")
    moments = [
        ("add", StepState.RUNNING),
        ("prove", StepState.RUNNING),
        ("prove", StepState.SUCCEEDED),
        ("remove", StepState.RUNNING),
    ]
    current = successor(machine.credential, "zero", actor="ada")
    assert work(launch("rotate-key", {"credential": current.pk}, [machine], actor="ada")).state == JobState.SUCCEEDED
    for key, state in moments:
        new = successor(current, actor="ada")
        machine.refresh_from_db()
        job: Job = launch("rotate-key", {"credential": new.pk}, [machine], actor="ada")
        worker = start_worker(job)
        deadline = time.monotonic() + 30
        while job.steps.get(key=key).state not in (state, StepState.SUCCEEDED):
            assert time.monotonic() < deadline
        worker.kill()
        assert logs_in(machine), (key, state)
        # Its lease would run out by itself.
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(minutes=1))
        take_over(job)
        assert job.state == JobState.SUCCEEDED, (key, state, job.failure)
        assert logs_in(machine) and keys_of(site, "kunpeng-01") == [new.public_key.split()[1]]
        current = new


def test_a_link_that_is_made_again_with_the_login_of_before_takes_the_new_one(site: Fleet):
    machine = site.enroll("kunpeng-01")
    first = successor(machine.credential, "first", actor="ada")
    work(launch("rotate-key", {"credential": first.pk}, [machine], actor="ada"))
    before = Machine.objects.get().endpoint()
    work(launch("rotate-key", {"credential": successor(first, actor="ada").pk}, [Machine.objects.get()], actor="ada"))
    # As a long job beside it does, whose link is cut now.
    assert with_pool(lambda pool: execute(pool, before, "echo on")).stdout == "on\n"
    Machine.objects.update(credential=Credential.objects.create(name="wrong", private_key=first.private_key))
    with pytest.raises(AuthenticationRefused):
        with_pool(lambda pool: execute(pool, before, "true"))
