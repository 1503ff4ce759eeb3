"""The probe's text in real shells, on a machine whose tools are known: its PATH is one folder that the test fills."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.inventory.facts import LOOK, PROBE, Facts, read, read_held
from hardware.inventory.facts.probe import MARK
from tests.probe_text import npu_smi_text, probe_text

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
HOSTS_OWN = ("date", "grep", "df", "sed", "id", "uname")
LSCPU = "Architecture:        aarch64\nCPU(s):              128\nModel name:          Kunpeng-920\n"
ADDRESSES = (
    "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n"
    "2: enp1: <BROADCAST,UP> mtu 1500\n    inet 10.1.1.5/24 brd 10.1.1.255 scope global enp1\n"
)
NUMBERS = (
    "01:00.0 1200: 19e5:d801 (rev 20)\n02:00.0 0104: 1000:005d (rev 02)\n7d:00.0 0200: 19e5:a222 (rev 21)\n"
    "81:05.0 0200: 15b3:1015\n"
)
NAMES = "02:00.0 RAID bus controller: Broadcom / LSI MegaRAID SAS-3 3108 (rev 02)"


class Machine:
    """Tools by name; each writes down that it was called, and with what."""

    def __init__(self, folder: Path) -> None:
        self.home, self.tools, self.log = folder / "home", folder / "bin", folder / "called"
        self.home.mkdir()
        self.tools.mkdir()
        for name in HOSTS_OWN:
            self.has(name, f'exec {shutil.which(name)} "$@"')
        for name, text in (("lscpu", LSCPU), ("ip", ADDRESSES), ("lsblk", 'NAME="sda" TYPE="disk" SIZE="1000"')):
            self.says(name, text)
        self.has("lspci", f"case $* in -n) cat <<'END'\n{NUMBERS}END\n;; *) echo '{NAMES}' ;; esac")
        self.says("python3", "Python 3.9.9")
        (self.tools / "python3.9").symlink_to("python3")
        self.says("rpm", "gcc 7.3.0-1")
        self.says("docker", "Docker version 18.09.0, build 172f8da")

    def has(self, name: str, body: str) -> None:
        file = self.tools / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.log}\nPATH=/usr/bin:/bin\n{body}\n')
        file.chmod(0o755)

    def says(self, name: str, text: str) -> None:
        self.has(name, f"cat <<'END'\n{text.rstrip()}\nEND")

    def asked(self, text: str = PROBE, shell: tuple[str, ...] = ("/bin/sh",)) -> str:
        command = [shutil.which(shell[0]) or shell[0], *shell[1:], "-c", text]
        environment = {"PATH": str(self.tools), "HOME": str(self.home)}
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=environment).stdout

    def read(self) -> Facts:
        return read(self.asked())

    @property
    def called(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_is_asked_with_few_programs_and_each_fact_is_there(machine: Machine):
    facts = machine.read()
    # Each costs a machine a millisecond or more. lspci is asked twice where there is a RAID controller to name.
    assert len(machine.called) <= 12, machine.called
    assert facts.hostname and facts.kernel and facts.boot_id and facts.os_id and facts.memory_total and facts.clock
    assert (facts.architecture, facts.cpu.model, facts.cpu.threads) == ("aarch64", "Kunpeng-920", 128)
    assert [(nic.name, nic.addresses) for nic in facts.nics] == [("enp1", ("10.1.1.5/24",))]
    assert facts.pci_npus == (("01:00.0", "d801"),)
    assert facts.raid_controllers == ("Broadcom / LSI MegaRAID SAS-3 3108",)
    assert facts.pythons == {"python3": "3.9.9", "python3.9": "3.9.9"} and facts.packages == {"gcc": "7.3.0-1"}
    assert facts.docker == "Docker version 18.09.0, build 172f8da" and facts.runtimes == {"docker": "18.09.0"}
    assert facts.filesystems and facts.disks and "npu-smi-missing" in (facts.npu_error or "")
    assert not facts.hwhiaiuser and facts.missing_tools and "lscpu" not in facts.missing_tools


@pytest.mark.parametrize("name", SHELLS)
def test_every_shell_that_a_machine_may_have_gives_the_same_facts(machine: Machine, name: str):
    if shutil.which(SHELLS[name][0]) is None:
        pytest.skip(f"there is no {name} here")

    def still(facts: Facts) -> Facts:
        # busybox brings an ip and an rpm of its own, and what is free changes by the moment.
        return replace(facts, clock=0, memory_free=0, filesystems=(), missing_tools=None, nics=(), packages={})

    assert still(read(machine.asked(shell=tuple(SHELLS[name])))) == still(machine.read())


@pytest.mark.parametrize("broken", ["ip", "lscpu", "lsblk", "lspci", "rpm", "docker", "python3", "df", "date"])
def test_a_tool_that_fails_or_is_not_there_hides_nothing_else(machine: Machine, broken: str):
    whole = machine.read()
    machine.has(broken, "echo broken >&2; exit 3")
    (machine.tools / broken).rename(machine.tools / f"{broken}.gone") if broken in ("ip", "rpm") else None
    facts = machine.read()
    of_tool: dict[str, object] = {
        "ip": facts.nics, "lsblk": facts.disks, "lspci": facts.pci_npus, "rpm": facts.packages,
        "docker": facts.runtimes, "python3": facts.pythons, "df": facts.filesystems, "date": facts.clock,
        "lscpu": facts.cpu.model,
    }  # fmt: skip
    assert not of_tool.pop(broken) and all(of_tool.values())
    assert (facts.hostname, facts.os_name, facts.memory_total) == (whole.hostname, whole.os_name, whole.memory_total)


def test_npu_smi_is_asked_beside_the_rest_and_read(machine: Machine):
    machine.says("npu-smi", npu_smi_text())
    machine.has("timeout", f'shift; exec {machine.tools}/"$@"')
    facts = machine.read()
    assert len(facts.npus) == 4 and facts.npu_error is None and facts.hostname and facts.runtimes


@pytest.mark.skipif(Path("/var/run/docker.sock").exists(), reason="docker's daemon runs here")
def test_docker_without_a_daemon_is_asked_for_its_version_alone_and_another_that_needs_none_for_all(machine: Machine):
    machine.read()
    assert [call for call in machine.called if call.startswith("docker")] == ["docker --version"]
    machine.says("docker", "podman version 4.9.4")
    machine.read()
    assert "docker ps -q --no-trunc" in machine.called


def test_a_look_tells_who_holds_the_npus_with_even_fewer(machine: Machine):
    machine.has("docker", "exit 0")
    assert read_held(machine.asked(LOOK)) == ((), ())
    assert machine.called == ["docker ps -q --no-trunc"]


def test_files_are_sections_of_their_own_and_the_newer_place_of_cann_counts():
    file = "x86_64-linux/ascend_toolkit_install.info"
    text = (
        f"{MARK} files\n/etc/kylin-release:Kylin release V10 (Lance): x\n/usr/local/Ascend/cann/{file}:version=8.5.0\n"
        f"/usr/local/Ascend/ascend-toolkit/latest/{file}:version=8.0.0\n/etc/hccn.conf:address_0=10.0.0.1\n"
        f"{MARK} = 0\n"
    )
    facts = read(text)
    assert facts.cann is not None and facts.cann.version == "8.5.0"
    assert facts.npu_ports[0].address == "10.0.0.1" and (facts.os_name or "").startswith("Kylin release V10")


def test_the_clock_at_the_end_is_told_by_how_long_the_machine_has_been_up():
    up = "".join(f"{MARK} {name}\n{value}\n{MARK} = 0\n" for name, value in (("uptime", 50.0), ("uptime-after", 59.5)))
    assert read(probe_text() + up, 1763999970.0, 1763999979.6).clock_skew_s == pytest.approx(29.95)
