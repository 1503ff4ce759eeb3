"""NPUs: on the PCI bus, and in npu-smi's list."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.mends import another_driver
from hardware.inventory.preflight.records import Check, Mend, Need, Severity, gettext_noop, say
from hardware.npu import pci


def on_bus(facts: Facts, need: Need) -> Iterator[Check]:
    there, listed = len(facts.pci_npus), len(facts.npus)
    values = {"pci": there, "listed": listed}
    if not there:
        yield say("npus-on-bus", "block", gettext_noop("No Ascend NPU is on the PCI bus."), **values)
    elif listed and listed < there:
        missing = _missing(facts)
        sentence = gettext_noop("PCI lists %(pci)s NPUs, npu-smi %(listed)s.")
        if missing:
            sentence = gettext_noop("PCI lists %(pci)s NPUs, npu-smi %(listed)s: %(missing)s is missing there.")
        severity: Severity = "warn" if need.replaces_driver else "block"
        yield say("npus-on-bus", severity, sentence, **values, missing=", ".join(missing))
    elif there == 1:
        yield say("npus-on-bus", "pass", gettext_noop("1 NPU is on the PCI bus."), **values)
    else:
        yield say("npus-on-bus", "pass", gettext_noop("%(pci)s NPUs are on the PCI bus."), **values)


def _missing(facts: Facts) -> list[str]:
    """PCI slots that npu-smi lists no chip for; none where it does not tell slots."""
    told = {pci.short_slot(npu.bus_id) for npu in facts.npus if npu.bus_id}
    if len(told) < len(facts.npus):
        return []
    return [slot for slot, _ in facts.pci_npus if pci.short_slot(slot) not in told]


def healthy(facts: Facts, need: Need) -> Iterator[Check]:
    if not need.npus:
        return
    if not facts.npus:
        # With the depot at hand the job that mends it names its packages, or the one that is missing there.
        fitting, advice, values = another_driver(facts, need, lambda driver: True, "")
        mend = fitting or Mend("install-driver", {}, gettext_noop("Install driver and firmware"))
        sentence = gettext_noop("npu-smi lists no NPU and gives no reason.")
        if facts.driver is not None:
            # Not a bare machine: something is wrong with what is there.
            values = values | {"case": "driver"}
        if facts.npu_error:
            sentence, values = gettext_noop("npu-smi lists no NPU (%(why)s)."), values | {"why": facts.npu_error}
        yield say("npus-healthy", "block", (sentence, *advice), mend, **values)
        return
    ill = [f"NPU {npu.npu_id} {npu.health}" for npu in facts.npus if npu.health != "OK"]
    if ill:
        yield say("npus-healthy", "warn", gettext_noop("Not healthy: %(ill)s."), ill=", ".join(ill))
    elif len(facts.npus) == 1:
        yield say("npus-healthy", "pass", gettext_noop("1 NPU listed, healthy."))
    else:
        yield say("npus-healthy", "pass", gettext_noop("%(n)s NPUs listed, all healthy."), n=len(facts.npus))


def nodes(facts: Facts, need: Need) -> Iterator[Check]:
    """Each NPU that the job takes has its device node; without a driver there is none, which is said already."""
    if need.claim is None or not need.claim.npus or not facts.npus:
        return
    wanted = [f"/dev/davinci{number}" for number in need.claim.npus]
    missing = [node for node in wanted if node not in facts.davinci_nodes]
    if missing:
        sentence = gettext_noop("The machine has no %(missing)s, which the job takes.")
        yield say("npu-missing", "block", sentence, missing=", ".join(missing))
    else:
        yield say("npu-missing", "pass", gettext_noop("Every NPU that the job takes is there."))
