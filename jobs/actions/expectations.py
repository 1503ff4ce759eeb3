"""What a step that reads facts holds them against.

================  ======================================================================================
key               the machine must have
================  ======================================================================================
``free``          NPUs that nobody else holds, as a ``Claim`` says (``jobs.planning.collision``)
``npus``          that many healthy chips in npu-smi's list
``nodes``         that many ``/dev/davinciN``, and ``/dev/davinci_manager``
``pair``          driver and firmware, the firmware within the driver's range
``cann``          that version of CANN, or any for ``"*"``
``mindspore``     that version of MindSpore, or any for ``"*"``
================  ======================================================================================
"""

from __future__ import annotations

import re
from typing import Any

from hardware.inventory.facts import Facts
from hardware.inventory.preflight import Claim, Need
from hardware.inventory.preflight.holding import held
from hardware.inventory.preflight.versions import within
from jobs.failures import JobFailed

ANY = "*"


def hold(machine: str, facts: Facts, expect: dict[str, Any]) -> dict[str, Any]:
    """What the step's result says of the machine. Raises ``JobFailed`` that names what is not as expected."""
    if "free" in expect:
        _free(machine, facts, expect["free"])
    if "npus" in expect:
        _npus(machine, facts, int(expect["npus"]))
    if "nodes" in expect:
        _nodes(machine, facts, int(expect["nodes"]))
    if expect.get("pair"):
        _pair(machine, facts)
    found = {
        "driver": facts.driver.version if facts.driver else None,
        "firmware": facts.firmware.version if facts.firmware else None,
        "cann": facts.cann.version if facts.cann else None,
        "mindspore": facts.mindspore.version if facts.mindspore else None,
    }
    for key, words in (("cann", "CANN"), ("mindspore", "MindSpore")):
        if key in expect and (found[key] is None or expect[key] not in (ANY, found[key])):
            wanted = words if expect[key] == ANY else f"{words} {expect[key]}"
            raise JobFailed(
                f"{key}-missing",
                f"{machine}: {wanted} was to be there, the machine has {found[key] or 'none'}.",
                f"Install {wanted}; after an installation, read its log.",
            )
    return {"machine": machine, "npus": len(facts.npus), **found}


def _free(machine: str, facts: Facts, claim: dict[str, Any]) -> None:
    need = Need(claim=Claim(tuple(claim["npus"]), claim["driver"], tuple(claim["replaces"])))
    for check in held(facts, need):
        if check.severity == "block":
            raise JobFailed(
                "npu-held",
                f"{machine}: {check.reason}",
                "Stop what holds it on the machine, then run the job again. Nothing was changed there.",
            )


def _npus(machine: str, facts: Facts, wanted: int) -> None:
    healthy = [npu for npu in facts.npus if npu.health == "OK"]
    if len(healthy) == wanted:
        return
    ill = ", ".join(f"NPU {npu.npu_id} is {npu.health}" for npu in facts.npus if npu.health != "OK")
    raise JobFailed(
        "npus-missing",
        f"{machine}: npu-smi lists {len(healthy)} healthy NPUs, not {wanted}"
        f" ({ill or facts.npu_error or 'no error given'}).",
        "Look at the installer's log; restart the machine if it has not been restarted since.",
    )


def _nodes(machine: str, facts: Facts, wanted: int) -> None:
    nodes = [node for node in facts.davinci_nodes if re.fullmatch(r"/dev/davinci\d+", node)]
    if len(nodes) == wanted and "/dev/davinci_manager" in facts.davinci_nodes:
        return
    raise JobFailed(
        "nodes-missing",
        f"{machine}: {len(nodes)} of {wanted} device nodes /dev/davinciN are there"
        f"{'' if '/dev/davinci_manager' in facts.davinci_nodes else ', /dev/davinci_manager is not'}.",
        "Restart the machine, so that its driver is loaded; then look at dmesg.",
    )


def _pair(machine: str, facts: Facts) -> None:
    missing = [name for name, part in (("driver", facts.driver), ("firmware", facts.firmware)) if part is None]
    if facts.driver is None or facts.firmware is None:
        raise JobFailed(
            "driver-missing", f"{machine} has no {' and no '.join(missing)}.", "Install driver and firmware."
        )
    driver, firmware = facts.driver, facts.firmware
    if driver.ranges and not any(within(firmware.version, low, high) for low, high in driver.ranges):
        raise JobFailed(
            "driver-firmware",
            f"{machine}: firmware {firmware.version} is outside the range of driver {driver.version}.",
            "Install a driver and a firmware that belong together.",
        )
