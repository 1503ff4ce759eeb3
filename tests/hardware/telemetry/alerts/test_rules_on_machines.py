"""Each built-in rule on simulated machines: the fault is made from outside, the alert opens, it is cleared, it ends.

One fleet and one collector for all of them; the rules of serving have tests of their own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hardware.inventory.models import Machine
from hardware.inventory.services import probe
from hardware.simulator.faults import registry
from hardware.simulator.spec import Home
from hardware.ssh.command import execute
from hardware.ssh.pool import Pool
from hardware.telemetry import alerts
from hardware.telemetry.alerts.builtin import BUILTIN, ensure
from hardware.telemetry.alerts.models import Alert, Rule
from hardware.telemetry.collector import Collector
from hardware.telemetry.rollups.recorder import Rollups
from tests.hardware.telemetry.conftest import newest, until

# Rule -> machine and value.
FAULTS: dict[str, tuple[str, list[str]]] = {
    "npu-health": ("kunpeng-01", ["1", "Alarm", "8C084E00"]),
    "ecc-growth": ("kunpeng-01", ["0", "60000"]),
    "hbm-full-without-process": ("kunpeng-01", ["2"]),
    "disk-nearly-full": ("kunpeng-01", []),
    "link-down": ("kunpeng-01", ["0"]),
    "clock-skew": ("kunpeng-02", []),
    "chip-lost": ("kunpeng-02", []),
    "versions-differ": ("kunpeng-02", []),
    "machine-silent": ("kunpeng-03", []),
}
MADE = {(slug, name) for slug, (name, _value) in FAULTS.items()}
# As the installer leaves them.
DRIVER = (
    "mkdir -p /run/davinci /usr/local/Ascend/driver/tools; echo Version=24.1.0 >/run/davinci/driver; "
    "ln -sf /usr/local/simulated/software/npu-smi /usr/local/bin/npu-smi; "
    "ln -sf /usr/local/simulated/software/hccn_tool /usr/local/Ascend/driver/tools/hccn_tool"
)


def at_once() -> None:
    """A second instead of minutes."""
    ensure()
    Rule.objects.update(for_s=0, clear_for_s=0)


def of_faults(**where: Any) -> set[tuple[str, str]]:
    """Rule and machine of the alerts of the faults that are made here. That another machine was silent for a moment,
    too, says only how busy this box is.
    """
    found = set(Alert.objects.filter(**where).values_list("rule__slug", "machine__name"))
    return {one for one in found if one[0] in FAULTS and (one[0] != "machine-silent" or one in MADE)}


async def probe_again(pool: Pool, machines: list[Machine]) -> None:
    for machine in machines:
        await probe(pool, machine)


async def test_every_fault_opens_its_alert_with_cause_and_remedy_and_ends_it_when_it_is_gone(
    new_fleet: Any, redis_server: Any, transactional_db: None
) -> None:
    fleet = await asyncio.to_thread(new_fleet, machines=4)
    names = [f"kunpeng-{number:02d}" for number in (1, 2, 3, 4)]
    machines = [await asyncio.to_thread(fleet.enroll, name) for name in names]
    await asyncio.to_thread(at_once)
    pool = Pool()
    for name in names:
        await execute(pool, fleet.endpoint(name), DRIVER)
    await probe_again(pool, machines)
    rollups = Rollups(seconds=1, interval=0.5)
    task = asyncio.create_task(Collector(0.5, rollups=rollups, judge=alerts.evaluate, slow_seconds=1).run())
    try:
        await until(lambda: all("npus_listed" in newest(name).get("vitals", {}) for name in names), 30)
        assert await asyncio.to_thread(of_faults) == set()
        for kind, (name, value) in FAULTS.items():
            registry.begin(Home(fleet.folder / name), kind, value)
        await probe_again(pool, machines[:2] + machines[3:])
        await until(lambda: of_faults() >= MADE, 60)
        # On no other machine, and with what a person needs to know.
        assert await asyncio.to_thread(of_faults) == MADE
        for alert in await asyncio.to_thread(lambda: list(Alert.objects.select_related("rule"))):
            assert alert.rule.cause and alert.rule.advice
            assert alert.rule.remedy == BUILTIN[alert.rule.slug].get("remedy", {})
        for name in names:
            registry.end(Home(fleet.folder / name))
        await probe_again(pool, machines)
        await until(lambda: not of_faults(state="open"), 60)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pool.close()


def test_every_built_in_rule_has_a_fault_that_is_named_like_it() -> None:
    assert set(BUILTIN) - set(registry.kinds()) <= {"npu-idle-while-requests-wait", "out-of-memory"}
