"""What the simulated NPUs of a machine measure: derived from the real processes that use them, idle otherwise.

A container that was given a device has a file under /var/lib/docker/containers, and any process may have a node open;
their processes' CPU time stands for AI core load, their resident memory for HBM. Power and temperature follow the load,
slowly. None of these is a figure of an NPU.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardware.simulator.bmc import cooling
from hardware.simulator.faults.standing import Standing, standing

BUSES = ("0000:C1:00.0", "0000:81:00.0", "0000:41:00.0", "0000:01:00.0")
HBM_MB, DDR_MB = 32768, 15038
# From samples of idle cards of this type: watts, degrees, DDR in use.
_IDLE = ((65.7, 38.0, 2382), (62.3, 33.0, 2378), (64.9, 34.0, 2382), (62.9, 40.0, 2384))
# The card's own limit is 310 W.
_WATTS_AT_FULL_LOAD, _DEGREES_AT_FULL_LOAD, _HOT_DEGREES = 220.0, 34.0, 55.0
# A reading spans the time since the one before, if that is neither too short to measure nor long ago.
_SPAN, _SAMPLE_SECONDS = (0.2, 15.0), 0.2
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Held:
    """A process on an NPU; memory in MB."""

    pid: int
    name: str
    memory_mb: int


@dataclass
class Chip:
    """One NPU: watts, degrees Celsius, percent, MB."""

    npu: int
    bus: str
    health: str
    power_w: float
    temperature: float
    aicore: int
    ddr_used_mb: int
    hbm_used_mb: int
    processes: list[Held] = field(default_factory=list)
    ecc_errors: int = 0
    fault_codes: tuple[str, ...] = ()


@dataclass
class _Process:
    name: str
    parent: int
    ticks: int
    rss_mb: int


class Chips:
    """``root`` is the machine's root folder, another one in tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.faults = self._faults()
        self.standing = standing(root / "usr/local/simulated")
        self.fans = cooling.read(root / "usr/local/simulated")

    def _faults(self) -> dict[str, int]:
        found = {}
        with suppress(OSError):
            for line in (self.root / "usr/local/simulated/faults").read_text().split():
                name, _, npu = line.partition("=")
                found[name] = int(npu) if npu else 3
        return found

    def driver(self) -> str | None:
        """Version of the driver that runs since the last boot, if one does."""
        with suppress(OSError):
            found = re.search(r"^Version=(\S+)", (self.root / "run/davinci/driver").read_text(), re.M)
            return found[1] if found else None
        return None

    def tool(self) -> str | None:
        """Version of ``npu-smi`` itself: the driver's, unless only half of an upgrade was done since that came."""
        half = self.standing.get("versions-differ")
        if half is None:
            return self.driver()
        with suppress(OSError):
            if (self.root / "usr/local/Ascend/driver/version.info").stat().st_mtime > half.since:
                return self.driver()
        return half.value

    def firmware(self) -> str | None:
        with suppress(OSError):
            text = (self.root / "usr/local/Ascend/firmware/version.info").read_text()
            found = re.search(r"^Version=(\S+)", text, re.M)
            return found[1] if found else None
        return None

    def present(self) -> list[int]:
        """NPUs that the driver lists."""
        lost = {self.faults.get("npu-lost"), self.faults.get("npu-silent")}
        if fallen := self.standing.get("chip-lost"):
            lost.add(fallen.npu)
        return [npu for npu in range(len(BUSES)) if npu not in lost]

    def read(self) -> list[Chip]:
        """Measure now; takes a fifth of a second when nobody measured a moment ago."""
        before = self._state()
        now, users = time.monotonic(), self._users()
        if before is None or not _SPAN[0] <= now - before["at"] <= _SPAN[1]:
            warm = before["warm"] if before else {}
            before = {"at": now, "ticks": _ticks(users), "warm": warm, "since": before["at"] if before else now}
            if any(users.values()):
                time.sleep(_SAMPLE_SECONDS)
            now, users = time.monotonic(), self._users()
        chips = [self._chip(npu, users.get(npu, {}), before, now) for npu in self.present()]
        warm = {str(chip.npu): chip.temperature - _IDLE[chip.npu][1] for chip in chips}
        self._store({"at": now, "ticks": _ticks(users), "warm": warm})
        self._tell_bmc(chips)
        return chips

    def _chip(self, npu: int, users: dict[int, _Process], before: dict[str, Any], now: float) -> Chip:
        watts, degrees, ddr = _IDLE[npu]
        span = max(now - before["at"], 0.05)
        used = sum(
            max(0, process.ticks - before["ticks"].get(str(pid), process.ticks)) for pid, process in users.items()
        )
        load = min(100.0, 100 * used / _TICKS / span)
        hot = self.faults.get("npu-hot") == npu
        drift = math.sin(time.time() / 41 + npu * 1.7)
        fault = self.standing.get("latency-varies-when-hot")
        pace = float(fault.words[1]) if fault else cooling.WARMING_SECONDS
        heat = load / 100 * _DEGREES_AT_FULL_LOAD + (_HOT_DEGREES if hot else 0) + (int(fault.words[0]) if fault else 0)
        warm = before["warm"].get(str(npu), 0.0)
        elapsed = now - before.get("since", before["at"])
        hottest = max(
            (degrees + float(before["warm"].get(str(number), 0.0)) for number, (_, degrees, _) in enumerate(_IDLE)),
        )
        warm = cooling.warmed(warm, heat, self.fans.percent(hottest), elapsed, pace)
        if hot:
            # It is hot at once when a test says so; it cools as slowly as any.
            warm = max(warm, _HOT_DEGREES)
        memory = sum(process.rss_mb for process in users.values())
        held = [Held(pid, process.name, process.rss_mb) for pid, process in users.items() if process.rss_mb >= 1]
        unwell, growth, full = (
            self._of(npu, kind) for kind in ("npu-health", "ecc-growth", "hbm-full-without-process")
        )
        return Chip(
            npu=npu,
            bus=BUSES[npu],
            health=unwell.words[1] if unwell else "Warning" if hot else "OK",
            power_w=round(watts + load / 100 * _WATTS_AT_FULL_LOAD + (12 if hot else 0) + drift, 1),
            temperature=degrees + warm + drift * 0.6,
            aicore=round(load),
            ddr_used_mb=ddr,
            hbm_used_mb=min(max(memory, int(full.words[1]) if full else 0), HBM_MB),
            processes=held[:8],
            ecc_errors=int(growth.seconds * int(growth.words[1]) / 60) + 1 if growth else 0,
            fault_codes=unwell.words[2:] if unwell else (),
        )

    def _of(self, npu: int, kind: str) -> Standing | None:
        """The fault of that kind, if this NPU has it."""
        fault = self.standing.get(kind)
        return fault if fault and fault.npu == npu else None

    def _users(self) -> dict[int, dict[int, _Process]]:
        """NPU -> the processes of the containers that hold it, and those that have its device node open."""
        found: dict[int, dict[int, _Process]] = {}
        holders, opened = list(self._containers()), self._opened()
        if not holders and not opened:
            return found
        processes = self._processes()
        for pid, npu in opened:
            if pid in processes:
                found.setdefault(npu, {})[pid] = processes[pid]
        for pid, devices in holders:
            tree = _tree(pid, processes)
            for npu in devices:
                found.setdefault(npu, {}).update(tree)
        return found

    def _opened(self) -> list[tuple[int, int]]:
        """Process and NPU of every open ``/dev/davinciN``."""
        found = []
        for entry in (self.root / "proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    for file in (entry / "fd").iterdir():
                        with suppress(OSError):
                            node = re.fullmatch(r"/dev/davinci(\d+)", str(file.readlink()))
                            if node:
                                found.append((int(entry.name), int(node[1])))
        return found

    def _containers(self) -> list[tuple[int, list[int]]]:
        found = []
        # What a container says of a boot before this one is no longer so.
        boot = (self.root / "proc/sys/kernel/random/boot_id").read_text().strip()
        for path in sorted((self.root / "var/lib/docker/containers").glob("*.json")):
            with suppress(OSError, ValueError, TypeError, AttributeError):
                said = json.loads(path.read_text())
                devices = [re.search(r"(\d+)$", str(device)) for device in said.get("devices") or []]
                numbers = [int(device[1]) for device in devices if device]
                ended = said.get("state", "running") != "running" or said.get("boot_id") not in (None, "", boot)
                if said.get("pid") and numbers and not ended:
                    found.append((int(said["pid"]), numbers))
        return found

    def _processes(self) -> dict[int, _Process]:
        page_mb = os.sysconf("SC_PAGE_SIZE") / 2**20
        found = {}
        for entry in (self.root / "proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    text = (entry / "stat").read_text()
                    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
                    ticks = int(rest[11]) + int(rest[12])
                    found[int(entry.name)] = _Process(name, int(rest[1]), ticks, int(int(rest[21]) * page_mb))
        return found

    def _state(self) -> dict[str, Any] | None:
        with suppress(OSError, ValueError, KeyError):
            state = json.loads((self.root / "run/npu-smi.state").read_text())
            return {"at": float(state["at"]), "ticks": state["ticks"], "warm": state["warm"]}
        return None

    def _store(self, state: dict[str, Any]) -> None:
        with suppress(OSError):
            new = self.root / f"run/.npu-smi.{os.getpid()}"
            new.write_text(json.dumps(state))
            new.replace(self.root / "run/npu-smi.state")

    def _tell_bmc(self, chips: list[Chip]) -> None:
        """What the board reads off the chips: kept on the disk, which it sees from outside."""
        said = {
            "at": time.time(),
            "warm": {str(chip.npu): round(chip.temperature - _IDLE[chip.npu][1], 2) for chip in chips},
            "load": {str(chip.npu): chip.aicore for chip in chips},
        }
        with suppress(OSError):
            new = self.root / f"var/lib/.npus.{os.getpid()}"
            new.write_text(json.dumps(said))
            new.replace(self.root / "var/lib/simulated-npus")


def temperatures(disk: Path, simulated: Path) -> dict[int, float]:
    """The chips' temperatures now, as the BMC reads them, also of a machine that nobody asks."""
    fault = standing(simulated).get("latency-varies-when-hot")
    pace = float(fault.words[1]) if fault else cooling.WARMING_SECONDS
    more = int(fault.words[0]) if fault else 0
    said: dict[str, Any] = {"at": fault.since if fault else time.time(), "warm": {}, "load": {}}
    with suppress(OSError, ValueError):
        said = json.loads((disk / "var/lib/simulated-npus").read_text())
    warm = [float(said["warm"].get(str(npu), 0.0)) for npu in range(len(_IDLE))]
    heat = [said["load"].get(str(npu), 0) / 100 * _DEGREES_AT_FULL_LOAD + more for npu in range(len(_IDLE))]
    percent = cooling.read(simulated).percent(max(_IDLE[npu][1] + warm[npu] for npu in range(len(_IDLE))))
    seconds = max(0.0, time.time() - said["at"])
    return {
        npu: degrees + cooling.warmed(warm[npu], heat[npu], percent, seconds, pace)
        for npu, (_, degrees, _) in enumerate(_IDLE)
    }


def _ticks(users: dict[int, dict[int, _Process]]) -> dict[str, int]:
    return {str(pid): process.ticks for processes in users.values() for pid, process in processes.items()}


def _tree(pid: int, processes: dict[int, _Process]) -> dict[int, _Process]:
    """A process and all that descend from it."""
    found = {}
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        if one in processes and one not in found:
            found[one] = processes[one]
            waiting += [child for child, process in processes.items() if process.parent == one]
    return found
