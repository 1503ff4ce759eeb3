"""Machines that are not as they should be: one clear sentence, the mend, and nothing left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh
import pytest

from hardware.inventory.models import Credential, Machine
from hardware.inventory.services import probe
from hardware.ssh.errors import HostKeyChanged, NoShell, SSHFailure
from hardware.ssh.pool import Pool
from jobs.failures import PlanRefused
from jobs.services import launch
from jobs.states import JobState
from tests.fleet import Fleet
from tests.hardware.simulator.test_installation import log_of, read_facts, starts, work


def failed_probe(machine: Machine) -> SSHFailure:
    async def go() -> None:
        pool = Pool(connect_timeout=5)
        try:
            await probe(pool, machine)
        finally:
            await pool.close()

    with pytest.raises(SSHFailure) as failure:
        asyncio.run(go())
    machine.refresh_from_db()
    assert machine.trouble["cause"] == str(failure.value) and machine.trouble["mend"]
    return failure.value


def test_full_disk_no_shell_and_wrong_password_are_each_told_for_the_machine_that_has_them(
    new_fleet: Callable[..., Fleet], depot: dict[str, int]
):
    fleet = new_fleet(machines=2, faults=["kunpeng-02=no-shell"])
    full, shellless = fleet.enroll("kunpeng-01"), fleet.enroll("kunpeng-02")

    read_facts(full)
    fleet.stop()
    fleet = new_fleet(machines=2, faults=["kunpeng-01=small-disk"])
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    # The facts are from before the disk was full, so preflight lets it pass.
    job = work(launch("install-driver", params, [full], actor="ada"))
    assert (job.state, job.failure["code"]) == (JobState.FAILED, "disk-full")
    assert (
        job.failure["cause"].startswith("kunpeng-01: no space left in /var/tmp") and "Free space" in job.failure["mend"]
    )
    assert list((fleet.disk("kunpeng-01") / "var/tmp").glob("**/*.part")) == [] and starts(fleet, "kunpeng-01") == []

    with pytest.raises(PlanRefused, match=r"kunpeng-01: .* free for /var/tmp"):
        launch("install-driver", params, [read_facts(full)], actor="ada")

    assert isinstance(failed_probe(shellless), NoShell)
    assert shellless.state == Machine.State.SILENT

    Credential.objects.update(password="wrong")
    refused = failed_probe(Machine.objects.get(name="kunpeng-01"))
    assert refused.code == "ssh-auth-refused" and "credential" in refused.mend


def test_a_machine_with_another_host_key_is_blocked_and_nothing_logs_in(
    new_fleet: Callable[..., Fleet], transactional_db
):
    fleet = new_fleet()
    machine = read_facts(fleet.enroll("kunpeng-01"))
    fleet.stop()
    (fleet.folder / "kunpeng-01/ssh_host_ed25519_key").write_bytes(
        asyncssh.generate_private_key("ssh-ed25519").export_private_key()
    )
    new_fleet()
    changed = failed_probe(machine)
    assert isinstance(changed, HostKeyChanged) and machine.state == Machine.State.BLOCKED
    assert machine.offered_fingerprint == changed.offered != changed.pinned


def test_a_driver_that_does_not_build_fails_the_job_in_the_installers_words(
    new_fleet: Callable[..., Fleet], depot: dict[str, int]
):
    fleet = new_fleet(machines=1, faults=["kunpeng-01=driver-fails"])
    machine = read_facts(fleet.enroll("kunpeng-01"))
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    job = work(launch("install-driver", params, [machine], actor="ada"))
    assert job.state == JobState.FAILED and "ompile" not in log_of(job)
    assert "Dkms install failed, details in : /var/log/ascend_seclog/ascend_install.log" in job.failure["cause"]
    assert "ascend_install.log" in job.failure["mend"] and len(starts(fleet, "kunpeng-01")) == 1
    assert read_facts(machine).read.driver is None
