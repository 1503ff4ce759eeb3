"""From a bare machine to four listed NPUs, by the product's own jobs, and what installers refuse."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.inventory.models import Machine
from hardware.inventory.preflight import Check
from hardware.ssh.command import CommandResult, execute
from hardware.ssh.pool import Pool
from hardware.ssh.transfer import send
from jobs import readiness, registry
from jobs.depot.services import Depot
from jobs.kind import Target
from jobs.services import launch
from jobs.states import JobState
from tests.fleet import Fleet
from tests.worker import log_of, read_facts, work


def blocks(machine: Machine, depot: dict[str, int]) -> list[Check]:
    kind = registry.get("install-driver")
    checks = readiness.checks(
        kind, {key: depot[key] for key in ("driver", "firmware")}, Target(machine.name, machine.read), Depot()
    )
    return [check for check in checks if check.severity == "block"]


def test_two_bare_machines_get_headers_driver_firmware_a_restart_and_the_proof(new_fleet, depot):
    fleet = new_fleet(machines=2, faults=["kunpeng-01=no-headers"])
    one, two = (read_facts(fleet.enroll(name)) for name in ("kunpeng-01", "kunpeng-02"))
    [missing] = blocks(one, depot)
    assert missing.code == "kernel-headers" and missing.mend is not None and blocks(two, depot) == []

    mended = work(launch(missing.mend.kind, missing.mend.params, [one], actor="ada"))
    assert mended.state == JobState.SUCCEEDED, mended.failure
    assert "kernel-devel-4.19.90" in log_of(mended).decode()
    one.refresh_from_db()
    assert blocks(one, depot) == []

    boots = {machine.name: machine.read.boot_id for machine in (one, two)}
    params = {"driver": depot["driver"], "firmware": depot["firmware"]}
    job = work(launch("install-driver", params, [one, two], actor="ada"))
    assert job.state == JobState.SUCCEEDED, job.failure
    for machine in (one, two):
        machine.refresh_from_db()
        facts = machine.read
        assert facts.boot_id != boots[machine.name] and facts.hwhiaiuser
        assert [(npu.name, npu.health, npu.hbm_total_mb) for npu in facts.npus] == [("910A", "OK", 32768)] * 4
        assert (facts.driver.version, facts.firmware.version) == ("24.1.0", "7.5.0.2.220")
        assert set(facts.davinci_nodes) >= {"/dev/davinci0", "/dev/davinci3", "/dev/davinci_manager", "/dev/hisi_hdc"}
        assert [line.split(" start ")[0].split()[-1] for line in fleet.starts(machine.name)] == [
            "Ascend-hdk-910-npu-driver_24.1.0_linux-aarch64.run",
            "Ascend-hdk-910-npu-firmware_7.5.0.2.220.run",
        ]
    log = log_of(job).decode()
    assert log.count("Reboot needed for installation/upgrade to take effect!") == 2
    assert log.count("The firmware of [4] chips are successfully upgraded.") == 2

    again = work(launch("install-driver", params, [two], actor="ada"))
    assert again.state == JobState.SUCCEEDED, again.failure
    log = log_of(again).decode()
    assert log.index("Firmware package installed") < log.index("Driver package installed")
    assert "The new version takes effect immediately." in log and len(fleet.starts("kunpeng-02")) == 4


@pytest.fixture
def on_machine(simulated_packages: dict[str, Path]) -> Callable[..., list[CommandResult]]:
    """Runs commands one after another; ``driver``, ``firmware`` and ``cann`` stand for the packages, copied before."""

    def run(fleet: Fleet, *commands: str, name: str = "kunpeng-01") -> list[CommandResult]:
        async def go() -> list[CommandResult]:
            pool, endpoint = Pool(), fleet.endpoint(name)
            for what, path in simulated_packages.items():
                if any(command.split()[0] == what for command in commands):
                    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
                    await send(pool, endpoint, path, f"/opt/{path.name}", sha256=wanted, mode=0o755)
            results = []
            for command in commands:
                word, _, rest = command.partition(" ")
                path = simulated_packages.get(word)
                text = f"/opt/{shlex.quote(path.name)} {rest}" if path else command
                results.append(await execute(pool, endpoint, text, timeout=30))
            await pool.close()
            return results

        return asyncio.run(go())

    return run


USER = "groupadd HwHiAiUser; useradd -g HwHiAiUser -d /home/HwHiAiUser -m HwHiAiUser -s /bin/bash"


def test_installers_refuse_what_real_ones_refuse(new_fleet, on_machine):
    fleet = new_fleet(faults=["kunpeng-01=no-headers"])
    no_mode, unknown, no_user, user, no_headers, early_firmware, version, check = on_machine(
        fleet, "driver --quiet", "driver --full --fast", "driver --full --quiet", USER, "driver --full --quiet",
        "firmware --full --quiet", "driver --version", "driver --check",
    )  # fmt: skip
    assert (
        no_mode.exit_status == 1 and "ERR_NO:0x0004;ERR_DES:The parameter needs to be used with full" in no_mode.stdout
    )
    assert "ERR_NO:0x0004;ERR_DES:Unrecognized parameters: --fast." in unknown.stdout
    assert no_user.exit_status == 1 and "ERR_NO:0x0091;ERR_DES:HwHiAiUser group not exists!" in no_user.stdout
    assert user.exit_status == 0
    assert no_headers.exit_status == 1 and "\x1b[31mDrv_dkms_env_check failed" in no_headers.stdout
    assert early_firmware.exit_status == 1 and "install the driver package first" in early_firmware.stdout
    assert version.stdout == "24.1.0\n"
    assert check.exit_status == 0 and check.stdout.count("SHA256 checksums are OK. All good.") == 2
    log = (fleet.disk("kunpeng-01") / "var/log/ascend_seclog/ascend_install.log").read_text()
    assert "linux headers is currently not installed." in log and "\x1b" not in log


def test_a_driver_that_does_not_build_leaves_no_driver(new_fleet, on_machine):
    fleet = new_fleet(faults=["kunpeng-01=driver-fails"])
    _, failed, after = on_machine(fleet, USER, "driver --full --quiet", "ls /usr/local/Ascend/driver; npu-smi info")
    assert failed.exit_status == 1 and "Dkms install failed, details in : /var/log/ascend_seclog" in failed.stdout
    assert "No such file" in after.stderr and "npu-smi: not found" in after.stderr


def test_a_full_disk_stops_an_installer_and_leaves_nothing_half_done(new_fleet, on_machine):
    fleet = new_fleet(faults=["kunpeng-01=small-install-disk"])
    _, refused, after = on_machine(fleet, USER, "driver --full --quiet", "ls /usr/local/Ascend")
    assert "free space only 1M, cannot install driver package" in refused.stdout and refused.exit_status == 1
    assert after.stdout == ""


def test_two_installers_at_once_are_one_too_many(new_fleet, on_machine):
    fleet = new_fleet()
    one = "./*driver*.run --full"
    both = f"cd /opt; {one} >/tmp/one & sleep 1; {one}; echo status $?; wait; tail -n 2 /tmp/one"
    _, _, done = on_machine(fleet, USER, "driver --version", both)
    assert "ERR_NO:0x0094;ERR_DES:There is already a process being executed" in done.stdout
    assert "status 1" in done.stdout and "Driver package installed successfully!" in done.stdout


def test_a_damaged_package_is_refused_before_anything_is_done(new_fleet, on_machine):
    fleet = new_fleet()
    damage = (
        "cd /opt && f=$(ls *driver*) && { head -c 6000000 $f; head -c 300000 /dev/zero; } >bad.run && sh bad.run --full"
    )
    _, refused = on_machine(fleet, "driver --version", damage)
    assert refused.exit_status == 2 and "Error in SHA256 checksums" in refused.stderr
    assert fleet.starts("kunpeng-01") == []


def test_before_its_restart_a_driver_does_not_answer(new_fleet, on_machine):
    fleet = new_fleet()
    _, installed, asked, nodes = on_machine(fleet, USER, "driver --full --quiet", "npu-smi info", "ls /dev/davinci0")
    assert installed.exit_status == 0 and "Reboot needed" in installed.stdout
    assert asked.exit_status == 187 and "dcmi module initialize failed. ret is -8005" in asked.stdout
    assert nodes.exit_status != 0


def test_packages_refuse_to_run_on_a_real_machine(simulated_packages):
    for what in ("driver", "firmware", "cann"):
        done = subprocess.run(["sh", str(simulated_packages[what]), "--full"], capture_output=True, text=True)
        assert done.returncode == 1 and "runs on simulated machines only" in done.stderr
