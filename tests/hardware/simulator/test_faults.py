"""Faults set from outside show on the machine in what its own tools print, and are gone when they are cleared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.npu import parse
from hardware.simulator.chips import BUSES
from hardware.simulator.faults import FaultRefused, registry, standing
from hardware.simulator.spec import Home
from hardware.ssh.command import execute
from hardware.ssh.errors import SSHFailure
from hardware.ssh.pool import Pool
from tests.fleet import Fleet

NAME = "kunpeng-01"


@pytest.fixture
def home(fleet: Fleet) -> Home:
    # A driver that is installed and loaded: the stand-ins look for no more.
    home = Home(fleet.folder / NAME)
    bin = fleet.disk(NAME) / "usr/local/bin"
    for tool in ("npu-smi", "hccn_tool"):
        (bin / tool).unlink(missing_ok=True)
        (bin / tool).symlink_to(f"/usr/local/simulated/software/{tool}")
    say(fleet, "mkdir -p /run/davinci; echo Version=24.1.0 >/run/davinci/driver")
    yield home
    registry.end(home)
    say(fleet, "rm -r /run/davinci")
    for tool in ("npu-smi", "hccn_tool"):
        (bin / tool).unlink()


def say(fleet: Fleet, *commands: str, timeout: float = 20) -> list[str]:
    """What each command prints on the machine."""

    async def ask() -> list[str]:
        pool = Pool()
        try:
            endpoint = fleet.endpoint(NAME)
            return [(await execute(pool, endpoint, command, timeout=timeout)).stdout for command in commands]
        finally:
            await pool.close()

    return asyncio.run(ask())


SHOWN: dict[str, tuple[list[str], str, Callable[[str], bool]]] = {
    "npu-health": (
        ["1", "alarm".title(), "8C084E00"], "npu-smi info; npu-smi info -t health -i 1",
        lambda text: "Alarm" in text and "8C084E00" in text and "Heartbeat Lost" in text,
    ),
    "chip-lost": (
        ["2"], "npu-smi info; lspci",
        lambda text: BUSES[2][5:10].lower() not in text.lower() and BUSES[1][5:10].lower() in text.lower(),
    ),
    "ecc-growth": (
        ["0", "60000"], "npu-smi info -t ecc -i 0",
        lambda text: int(parse(text).fields.get("HBM Single Bit Error Count") or 0) > 0,
    ),
    "hbm-full-without-process": (
        ["0", "32000"], "npu-smi info",
        lambda text: (report := parse(text)).chips[0].hbm_used_mb == 32000 and not report.processes,
    ),
    "disk-nearly-full": (["98", "/data"], "df -P -k /data", lambda text: "98% /data" in text),
    "link-down": (["3"], "hccn_tool -i 3 -link -g", lambda text: "DOWN" in text),
    "versions-differ": (
        [], "npu-smi info",
        lambda text: (report := parse(text)).tool_version == "23.0.rc3" and report.driver_version == "24.1.0",
    ),
    "clock-skew": (["-600"], "date +%s", lambda text: -640 < int(text) - time.time() < -560),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHOWN)
def test_a_fault_shows_in_what_the_machines_tools_print_until_it_is_cleared(
    fleet: Fleet, home: Home, kind: str
) -> None:
    words, command, shows = SHOWN[kind]
    [before] = say(fleet, command)
    registry.begin(home, kind, words)
    [during] = say(fleet, command)
    registry.end(home, kind)
    [after] = say(fleet, command)
    assert [shows(text) for text in (before, during, after)] == [False, True, False], during


def test_a_silent_machine_answers_nothing_and_goes_on_when_it_is_cleared(fleet: Fleet, home: Home) -> None:
    registry.begin(home, "machine-silent")
    with pytest.raises(SSHFailure):
        say(fleet, "true", timeout=1)
    registry.end(home, "machine-silent")
    assert say(fleet, "echo here") == ["here\n"]


def test_a_fault_outlives_a_restart_of_the_fleet(new_fleet: Callable[..., Fleet]) -> None:
    made = new_fleet(machines=1)
    registry.begin(Home(made.folder / NAME), "clock-skew", ["500"])
    made.stop()
    again = new_fleet(machines=1)
    [text] = say(again, "date +%s")
    assert 460 < int(text) - time.time() < 540


def test_a_kind_that_is_not_there_is_refused_in_one_line_that_lists_them(tmp_path: Path) -> None:
    with pytest.raises(FaultRefused) as wrong:
        registry.begin(Home(tmp_path), "on-fire")
    assert str(wrong.value).startswith("there is no fault 'on-fire'; there are: bmc-away, chip-lost, clock-skew")


def test_a_value_that_can_not_be_is_refused_with_those_that_can(tmp_path: Path) -> None:
    with pytest.raises(FaultRefused, match=r"chip-lost: --value is \[NPU 0 to 3\], usually 3"):
        registry.begin(Home(tmp_path), "chip-lost", ["7"])
    assert standing(tmp_path / "simulated") == {}
