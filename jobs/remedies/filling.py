"""The words in braces of a remedy's params, filled in with what is known of its alert.

``{release}`` is the id of the release that the machine serves; ``{driver}`` and ``{firmware}`` are the depot's packages
of the versions that like machines have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hardware.inventory.compatibility.services import refresh
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.inventory.preflight.compatibility import judge
from hardware.inventory.preflight.mends import newest
from hardware.inventory.preflight.records import Part
from hardware.inventory.preflight.versions import key
from hardware.telemetry.alerts.models import Alert
from jobs.depot.contents import parts
from jobs.depot.services import Depot
from jobs.failures import PlanRefused
from jobs.rollout.models import Deployment


def fill(params: dict[str, Any], alert: Alert) -> dict[str, Any]:
    """Raises ``PlanRefused`` when what a word stands for is not there."""
    known: dict[str, Callable[[], Any]] = {
        "{release}": lambda: release_of(alert.machine),
        "{driver}": lambda: packages_for(alert)[0].artifact,
        "{firmware}": lambda: packages_for(alert)[1].artifact,
    }

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(one) for name, one in value.items()}
        if isinstance(value, list):
            return [filled(one) for one in value]
        if not isinstance(value, str):
            return value
        if value in ("{driver}", "{firmware}"):
            return known[value]()
        for word, find in known.items():
            if word in value:
                value = value.replace(word, str(find()))
        return value

    made: dict[str, Any] = filled(params)
    return made


def release_of(machine: Machine) -> int:
    release = Deployment.objects.filter(machine=machine).values_list("release_id", flat=True).first()
    if release is None:
        raise PlanRefused(
            "nothing-served",
            f"{machine.name}: no release is served there.",
            "Roll a release out first, or take it out of the targets.",
            "targets",
        )
    return release


def packages_for(alert: Alert) -> tuple[Part, Part]:
    """The driver and the firmware that like machines have; where they agree on those, the machine's own once more."""
    machine, conflicts = alert.machine, alert.values.get("conflicts", ())
    facts = machine.read
    if facts is None:
        raise PlanRefused("no-facts", f"{machine.name}: its facts have not been read.", "Probe it first.", "targets")
    usual = {one["part"]: one["others"] for one in conflicts if one.get("others")}
    if conflicts and {one["part"] for one in conflicts} <= {"cann"}:
        raise PlanRefused(
            "only-cann-differs",
            f"{machine.name}: driver and firmware agree; it is CANN that differs.",
            "Install CANN there instead.",
            "driver",
        )
    if undecided := next((one for one in conflicts if one["part"] != "cann" and one.get("others") == ""), None):
        raise PlanRefused(
            "no-version-most-have",
            f"{machine.name}: like machines have {undecided['part']} {', '.join(undecided['versions'])}, none of them "
            "most.",
            "Choose the packages: install driver and firmware from the machine's page.",
            "driver",
        )
    # npu-smi comes with the driver, under the same version.
    version = usual.get("driver") or (facts.driver.version if facts.driver else usual.get("npu-smi", ""))
    depot = parts(Depot())
    refresh()
    driver = _required(depot, "driver", facts, machine.name, version)
    if "firmware" in usual:
        return driver, _required(depot, "firmware", facts, machine.name, usual["firmware"])
    firmware = next((one for one in newest(depot, "firmware", facts) if judge(driver, one).fits), None)
    if firmware is None:
        raise _missing(machine.name, f"firmware that goes with driver {driver.version}", "firmware")
    return driver, firmware


def _required(depot: tuple[Part, ...], what: str, facts: Facts, name: str, version: str) -> Part:
    there = next((one for one in newest(depot, what, facts) if key(one.version) == key(version)), None)
    if there is None:
        raise _missing(name, f"{what} {version}", what)
    return there


def _missing(name: str, package: str, field: str) -> PlanRefused:
    cause = f"{name}: the depot has no {package} for it."
    return PlanRefused("package-missing", cause, "Put the package into the depot first.", field)
