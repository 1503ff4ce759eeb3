"""The stand-in npu-smi: real layouts, and figures that follow what really runs."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardware.npu import parse
from hardware.simulator import base_image, packages
from hardware.simulator.chips import Chips
from hardware.ssh.command import CommandResult, execute
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from tests.fleet import Fleet, start
from tests.hardware.simulator.test_installation import USER
from tests.shared import FOLDER, needs_shared

BURN = "while True: pass"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, simulated_packages: dict[str, Path]) -> Iterator[Fleet]:
    """One machine with driver and firmware, restarted since."""
    fleet = start(tmp_path_factory.mktemp("installed") / "fleet")
    folder = fleet.disk("kunpeng-01") / "opt"
    for what in ("driver", "firmware"):
        (folder / f"{what}.run").write_bytes(simulated_packages[what].read_bytes())
    done = run(fleet, f"{USER}; sh /opt/driver.run --full --quiet && sh /opt/firmware.run --full --quiet")
    assert done.exit_status == 0, done.stdout
    restart(fleet)
    yield fleet
    fleet.stop()


def run(fleet: Fleet, command: str) -> CommandResult:
    async def go() -> CommandResult:
        pool = Pool(connect_timeout=2)
        try:
            return await execute(pool, fleet.endpoint("kunpeng-01"), command, timeout=30)
        finally:
            await pool.close()

    return asyncio.run(go())


def restart(fleet: Fleet) -> None:
    before = run(fleet, "cat /proc/sys/kernel/random/boot_id").stdout
    fleet.control("reboot", "kunpeng-01")
    for _ in range(100):
        try:
            if run(fleet, "cat /proc/sys/kernel/random/boot_id").stdout != before:
                return
        except SSHFailure:
            time.sleep(0.1)
    raise AssertionError("the machine did not come back")


@pytest.fixture
def container(installed: Fleet) -> Iterator[Callable[..., int]]:
    """Starts a process and has it hold NPUs, as the docker stand-in notes it down; returns its pid on the machine."""
    folder = installed.disk("kunpeng-01") / "var/lib/docker/containers"
    pids = []

    def begin(code: str, devices: list[int]) -> int:
        command = f"setsid python3 -c '{code}' >/dev/null 2>&1 </dev/null & echo $!"
        pids.append(int(run(installed, command).stdout))
        (folder / f"c{len(pids)}.json").write_text(
            json.dumps(
                {"name": f"c{len(pids)}", "pid": pids[-1], "image": "bank:1", "devices": devices, "state": "running"}
            )
        )
        return pids[-1]

    yield begin
    run(installed, "; ".join(f"kill -9 {pid}" for pid in pids))
    for file in folder.glob("*.json"):
        file.unlink()


def test_an_idle_machine_lists_four_chips_in_the_layout_of_its_generation(installed: Fleet):
    done = run(installed, "npu-smi info")
    report = parse(done.stdout)
    assert (done.exit_status, report.warnings, report.layout) == (0, [], "hbm")
    assert (report.tool_version, report.driver_version) == ("24.1.0", "24.1.0")
    assert [(c.npu_id, c.name, c.health, c.bus_id) for c in report.chips] == [
        (n, "910A", "OK", bus) for n, bus in enumerate(("0000:C1:00.0", "0000:81:00.0", "0000:41:00.0", "0000:01:00.0"))
    ]
    for chip in report.chips:
        assert chip.aicore_percent == 0 and chip.hbm_used_mb == 0 and chip.hbm_total_mb == 32768
        assert 60 < (chip.power_w or 0) < 75 and 30 < (chip.temp_c or 0) < 45
    assert report.processes == []


@needs_shared
def test_the_table_has_the_same_frame_as_a_real_one_of_that_driver(installed: Fleet):
    sample = FOLDER / "ascend/npu-smi/info--910first-gen-shown-as-910B-8card--24.1.0.txt"

    def frame(text: str) -> set[str]:
        return {
            re.sub(r"[^|+=-]", " ", re.sub(r"\d[\d.:A-F]*|NA", "", line))
            for line in text.splitlines()
            if "NPU" not in line
        }

    ours, real = run(installed, "npu-smi info").stdout, sample.read_text()
    assert {len(line) for line in ours.splitlines()} == {len(line) for line in real.splitlines()} == {98}
    assert frame(ours) <= frame(real)
    assert [line for line in real.splitlines()[:6] if "npu-smi" not in line] == [
        line for line in ours.splitlines()[:6] if "npu-smi" not in line
    ]


def test_load_memory_and_processes_are_those_of_the_container_that_holds_the_npu(installed: Fleet, container):
    pid = container("b = bytearray(200 << 20)\nwhile True: pass", [1])
    time.sleep(1)
    run(installed, "npu-smi info")
    time.sleep(1)
    report = parse(run(installed, "npu-smi info").stdout)
    idle, busy = report.chips[0], report.chips[1]
    assert (busy.aicore_percent or 0) > 5 and (busy.power_w or 0) > 70 and 200 <= (busy.hbm_used_mb or 0) < 400
    assert idle.aicore_percent == 0 and idle.hbm_used_mb == 0
    [process] = report.processes
    assert (process.npu_id, process.pid, process.name) == (1, pid, "python3") and 200 <= (process.memory_mb or 0) < 400
    usages = parse(run(installed, "npu-smi info -t usages -i 1").stdout)
    assert usages.error is None
    refused = run(installed, "sh /opt/driver.run --full --quiet")
    assert refused.exit_status == 1 and "The davinci nodes are occupied by some processes" in refused.stdout


def test_a_container_of_the_simulated_docker_shows_up_with_its_load_until_it_is_removed(installed: Fleet):
    base_image.write(installed.disk("kunpeng-01") / "opt/base.tar")
    image = f"{base_image.NAME}:{base_image.TAG}"
    begun = run(
        installed,
        f"docker load -i /opt/base.tar && docker run -d --name burn --device /dev/davinci2 {image} -c '{BURN}'",
    )
    assert begun.exit_status == 0, begun.stderr
    run(installed, "npu-smi info; sleep 1")
    report = parse(run(installed, "npu-smi info").stdout)
    assert [chip.npu_id for chip in report.chips if (chip.aicore_percent or 0) > 5] == [2]
    assert [process.npu_id for process in report.processes] == [2]
    refused = run(installed, "sh /opt/driver.run --full --quiet")
    assert refused.exit_status == 1 and "The davinci nodes are occupied by some processes" in refused.stdout
    run(installed, "docker rm -f burn")
    report = parse(run(installed, "npu-smi info").stdout)
    assert report.processes == [] and all(chip.aicore_percent == 0 for chip in report.chips)


def test_a_container_of_a_boot_before_this_one_holds_nothing(tmp_path: Path):
    burning = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        (tmp_path / "proc").symlink_to("/proc")
        folder = tmp_path / "var/lib/docker/containers"
        folder.mkdir(parents=True)
        (tmp_path / "run").mkdir()
        said = {"name": "x", "pid": burning.pid, "devices": ["/dev/davinci2"]}
        (folder / "x.json").write_text(json.dumps(said))
        assert [chip.npu for chip in Chips(tmp_path).read() if chip.aicore > 5] == [2]
        (folder / "x.json").write_text(json.dumps({**said, "boot_id": "another"}))
        time.sleep(0.3)
        assert [chip.npu for chip in Chips(tmp_path).read() if chip.aicore > 5] == []
    finally:
        burning.kill()
        burning.wait()


def test_a_hot_npu_warns_and_a_lost_one_is_no_longer_listed(installed: Fleet):
    installed.control("fault", "kunpeng-01", "npu-hot=2", "npu-silent=3")
    report = parse(run(installed, "npu-smi info").stdout)
    assert [chip.npu_id for chip in report.chips] == [0, 1, 2]
    assert report.chips[2].health == "Warning" and (report.chips[2].temp_c or 0) > 80
    assert run(installed, "lspci -n -d 19e5:d801 | wc -l").stdout.strip() == "4"
    installed.control("fault", "kunpeng-01", "npu-lost=0")
    assert run(installed, "lspci -n -d 19e5:d801 | wc -l").stdout.strip() == "3"
    assert [chip.npu_id for chip in parse(run(installed, "npu-smi info").stdout).chips] == [1, 2, 3]
    installed.control("fault", "kunpeng-01", "none")
    assert len(parse(run(installed, "npu-smi info").stdout).chips) == 4


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("npu-smi -v", 0, "npu-smi version: 24.1.0"),
        ("npu-smi info -l", 0, "Total Count                    : 4"),
        ("npu-smi info -m", 0, "Ascend 910A"),
        ("npu-smi info -t board -i 0", 0, "Firmware Version               : 7.5.0.2.220"),
        ("npu-smi info -t board -i 0 -c 0", 0, "Chip Name                      : 910A"),
        ("npu-smi info -t common -i 1", 0, "Aicore Count                   : 32"),
        ("npu-smi info -t health -i 1 -c 0", 0, "Health Status                  : OK"),
        ("npu-smi info -t ecc -i 1", 0, "HBM Double Bit Isolated Pages Count      : 0"),
        ("npu-smi info -t temp -i 1 -c 0", 0, "NPU Temperature (C)"),
        ("npu-smi info -t power -i 1 -c 0", 0, "NPU Real-time Power(W)"),
        ("npu-smi info -t product -i 0", 0, "This device does not support querying product."),
        ("npu-smi info -t board -i 9", 191, "Invalid card id.\nError parameter of -i"),
        ("npu-smi info -t npu -i 0", 191, "Error parameter of -t"),
        ("npu-smi info --query-gpu=name", 255, "Command or option is not found."),
        ("timeout 2 npu-smi info watch -i 2", 124, "NpuID(Idx)  ChipId(Idx) Pwr(W)      Temp(C)"),
        ("/usr/local/Ascend/driver/tools/hccn_tool -i 0 -link -g", 0, "link status: UP"),
        ("dkms status", 0, "davinci_ascend/1.0, 4.19.90-24.4.v2101.ky10.aarch64, aarch64: installed"),
    ],
)
def test_what_a_person_asks_for_is_answered_as_the_real_tool_does(installed: Fleet, command, status, said):
    done = run(installed, command)
    assert (done.exit_status, said in done.stdout) == (status, True), done


def test_a_driver_for_an_older_firmware_is_refused(installed: Fleet):
    newest = packages.RUN_PACKAGES[0]
    info = newest.version_info.replace("24.1.0", "23.0.7").replace("[7.0.0,7.5.99]", "[7.0.0,7.1.99]")
    older = packages.RunPackage(newest.name.replace("24.1.0", "23.0.7"), newest.body, "23.0.7", info, 1000)
    (installed.disk("kunpeng-01") / "opt/older.run").write_bytes(packages.run_file(older))
    checked = run(installed, "sh /opt/older.run --check")
    assert checked.exit_status == 1 and "base version is 24.1.0." in checked.stdout
    assert "driver and firmware version relationship check failed" in checked.stdout
    refused = run(installed, "sh /opt/older.run --full --quiet")
    assert refused.exit_status == 1 and "please upgrade the firmware first" in refused.stdout
    right = run(installed, "sh /opt/driver.run --check")
    assert right.exit_status == 0 and "driver and firmware version relationship check success" in right.stdout


def test_an_address_that_is_set_is_read_back(installed: Fleet):
    tool = "/usr/local/Ascend/driver/tools/hccn_tool -i 1"
    done = run(
        installed, f"{tool} -ip -s address 192.168.20.21 netmask 255.255.255.0 && {tool} -ip -g; cat /etc/hccn.conf"
    )
    assert (
        done.stdout == "ipaddr:192.168.20.21\nnetmask:255.255.255.0\naddress_1=192.168.20.21\nnetmask_1=255.255.255.0\n"
    )


def test_an_uninstalled_driver_is_gone(new_fleet, simulated_packages):
    fleet = new_fleet()
    (fleet.disk("kunpeng-01") / "opt/driver.run").write_bytes(simulated_packages["driver"].read_bytes())
    done = run(
        fleet,
        f"{USER}; sh /opt/driver.run --full --quiet; sh /usr/local/Ascend/driver/script/uninstall.sh; npu-smi info",
    )
    assert "Driver package uninstalled successfully! Reboot needed for uninstallation" in done.stdout
    assert done.exit_status == 127 and not (fleet.disk("kunpeng-01") / "usr/local/Ascend/driver").exists()
