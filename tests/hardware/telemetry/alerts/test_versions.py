"""Versions that differ, judged when facts are stored."""

from __future__ import annotations

import pytest

from hardware.events import audit
from hardware.inventory.facts import Facts
from hardware.inventory.facts.records import Npu, Package
from hardware.inventory.models import Machine
from hardware.telemetry.alerts.models import Alert
from hardware.telemetry.alerts.wording import reasons
from tests.hardware.telemetry.alerts.made import machine

pytestmark = pytest.mark.django_db
NPU = Npu(0, 0, "910A", "OK", "0000:01:00.0", 32768, "910")


@pytest.fixture(autouse=True)
def committed(django_capture_on_commit_callbacks):
    """Each probe commits."""
    return django_capture_on_commit_callbacks


def probed(committed, there: Machine, driver: str, firmware: Package | None = None, ranges=(), **more) -> None:
    facts = Facts(driver=Package(driver, tuple(ranges)), firmware=firmware, npus=(NPU,), **more)
    there.facts = facts.to_json()
    there.save()
    with committed(execute=True):
        audit("machine.probe", f"machine:{there.name}")


def said() -> dict[str, list[str]]:
    found = Alert.objects.filter(state="open").select_related("rule", "machine")
    return {alert.machine.name: [one.what for one in reasons(alert.values)] for alert in found}


def test_the_machine_that_differs_from_most_of_its_site_is_named_and_it_ends_when_it_no_longer_does(committed):
    fleet = [machine(f"n1-0{number}", site="lab") for number in range(1, 5)]
    for there in fleet[:3]:
        probed(committed, there, "24.1.0")
    assert said() == {}
    probed(committed, fleet[3], "23.0.6")
    assert said() == {"n1-04": ["driver 23.0.6; 3 of 4 like machines (site lab) have 24.1.0."]}
    probed(committed, fleet[3], "24.1.0")
    assert said() == {} and Alert.objects.get().why_ended == "cleared"


def test_machines_of_another_site_or_with_another_chip_are_not_alike(committed):
    probed(committed, machine("n1-01", site="lab"), "24.1.0")
    probed(committed, machine("n2-01", site="plant"), "23.0.6")
    assert said() == {}


def test_a_label_makes_machines_alike_across_sites(committed):
    for number, driver in enumerate(("24.1.0", "24.1.0", "23.0.6")):
        probed(committed, machine(f"n{number}-01", site=f"s{number}", labels=["serving"]), driver)
    assert said() == {"n2-01": ["driver 23.0.6; 2 of 3 like machines (label serving) have 24.1.0."]}


def test_where_none_has_most_all_are_named(committed):
    probed(committed, machine("n1-01"), "24.1.0")
    probed(committed, machine("n1-02"), "23.0.6")
    assert said().keys() == {"n1-01", "n1-02"}
    assert "none of them most" in said()["n1-01"][0]


def test_firmware_outside_the_drivers_own_range_and_a_tool_of_another_version_are_named(committed):
    there = machine("n1-01")
    probed(committed, there, "24.1.0", Package("6.4.0"), [("7.0.0", "7.9.99")])
    assert said() == {"n1-01": ["firmware 6.4.0 is outside what driver 24.1.0 runs with (7.0.0–7.9.99)."]}
    probed(committed, there, "24.1.0", Package("7.5.0"), [("7.0.0", "7.9.99")], npu_smi="24.1.0")
    assert said() == {}
    for number in (2, 3):
        firmware = Package("7.5.0")
        probed(committed, machine(f"n1-0{number}"), "24.1.0", firmware, [("7.0.0", "7.9.99")], npu_smi="23.0.6")
    assert said() == {"n1-01": ["npu-smi 24.1.0; 2 of 3 like machines (no site) have 23.0.6."]}


def test_a_machine_that_moves_to_another_site_is_compared_anew(committed):
    fleet = [machine(f"n1-0{number}", site="lab") for number in range(1, 4)]
    for there, driver in zip(fleet, ("24.1.0", "24.1.0", "23.0.6"), strict=True):
        probed(committed, there, driver)
    assert said().keys() == {"n1-03"}
    Machine.objects.filter(pk=fleet[2].pk).update(site="old")
    with committed(execute=True):
        audit("machine.update", "machine:n1-03")
    assert said() == {}
