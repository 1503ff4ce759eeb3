"""The fleet as a process: quick to start, quiet, and gone without a trace however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet import ROOT, Fleet, start


def processes_of(folder: Path) -> list[int]:
    """All that run with a descriptor or a root below ``folder``, or on behalf of its fleet."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                names = [os.readlink(entry / "root"), (entry / "cmdline").read_text()]
                names += [os.readlink(link) for link in (entry / "fd").iterdir()]
            except OSError:
                continue
            if any(str(folder) in name for name in names):
                found.append(int(entry.name))
    return found


def is_gone(folder: Path) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if processes_of(folder) == [] and str(folder) not in Path("/proc/self/mounts").read_text():
            return True
        time.sleep(0.05)
    return False


def run_in(fleet: Fleet, command: str) -> None:
    """Start ``command`` on the first machine, over SSH, and leave it there."""
    text = (
        "import asyncio, sys, asyncssh\n"
        "async def go():\n"
        "    link = await asyncssh.connect('127.0.0.1', int(sys.argv[1]), username='root', password=sys.argv[2],\n"
        "        known_hosts=None, config=None, client_keys=None)\n"
        "    print((await link.run(sys.argv[3])).stdout, end='')\n"
        "asyncio.run(go())\n"
    )
    entry = fleet.machines[0]
    arguments = [sys.executable, "-c", text, str(entry["port"]), str(entry["password"]), command]
    subprocess.run(arguments, check=True, timeout=20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_fleet_that_ends_leaves_no_process_and_no_mount(tmp_path: Path, number: int):
    fleet = start(tmp_path / "fleet", machines=2)
    run_in(fleet, "setsid sh -c 'trap \"\" TERM HUP; sleep 300' >/dev/null 2>&1 </dev/null &")
    assert len(processes_of(fleet.folder)) >= 1
    fleet.stop(number)
    assert is_gone(fleet.folder)
    shutil.rmtree(fleet.folder)


def test_four_machines_are_ready_within_three_seconds_and_idle_without_work(tmp_path: Path):
    # The second start counts if the first was slow: other work on the host is not the fleet's.
    for _ in range(2):
        began = time.monotonic()
        fleet = start(tmp_path / "fleet", machines=4)
        took = time.monotonic() - began
        if took < 3:
            break
        fleet.stop()
        (fleet.folder / "fleet.json").unlink(missing_ok=True)

    def ticks() -> int:
        total = 0
        for pid in processes_of(fleet.folder):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total

    time.sleep(0.5)
    before = ticks()
    time.sleep(2)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    fleet.stop()
    assert took < 3 and used < 0.1


def test_a_second_start_finds_the_same_machines_with_their_files_and_other_boots(tmp_path: Path):
    first = start(tmp_path / "fleet", machines=2, faults=["kunpeng-02=npu-hot"])
    run_in(first, "cat /proc/sys/kernel/random/boot_id >/var/boot; echo kept >/data/kept")
    first.stop()
    second = start(tmp_path / "fleet", machines=2)
    assert second.machines == first.machines
    assert (second.disk("kunpeng-01") / "data/kept").read_text() == "kept\n"
    run_in(second, "cat /proc/sys/kernel/random/boot_id >/var/boot-now")
    disk = second.disk("kunpeng-01")
    assert (disk / "var/boot").read_text() != (disk / "var/boot-now").read_text()
    assert (second.folder / "kunpeng-02/simulated/faults").read_text() == "npu-hot\n"
    second.stop()


def refusal(*arguments: str) -> str:
    """The one line that the fleet says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "hardware.simulator", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    return line


def test_what_keeps_a_fleet_from_starting_is_told_in_one_line(tmp_path: Path):
    fleet = start(tmp_path / "fleet")
    assert "a fleet already runs on" in refusal("--dir", str(fleet.folder), "--machines", "1", "--port", "0")
    fleet.stop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} of 127.0.0.1 is taken" in refusal("--dir", str(tmp_path / "x"), "--port", port)
    assert "no fault 'heat'" in refusal("--dir", str(tmp_path / "y"), "--port", "0", "--fault", "kunpeng-01=heat")
    assert "no machine called" in refusal("--dir", str(tmp_path / "z"), "--port", "0", "--fault", "other=npu-hot")
    assert "kunpeng-01 is not up" in refusal("reboot", str(fleet.folder), "kunpeng-01")
    assert is_gone(tmp_path)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare of util-linux is not here")
def test_where_namespaces_are_not_allowed_the_fleet_says_what_to_do(tmp_path: Path):
    forbid = 'echo 0 >/proc/sys/user/max_mnt_namespaces && exec "$@"'
    command = [
        sys.executable,
        "-m",
        "hardware.simulator",
        "--dir",
        str(tmp_path / "fleet"),
        "--machines",
        "1",
        "--port",
        "0",
    ]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if "unshare failed" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "make no namespaces" in done.stderr and "--privileged" in done.stderr
