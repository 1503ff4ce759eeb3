"""The machine as such: architecture, operating system, memory."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.records import GIB, Check, Need, gettext_noop, say

# What every service pack of Kylin V10 comes with.
KERNEL = "4.19.90"
# Of the memory that was asked for, the kernel keeps some for itself before MemTotal is reckoned.
KEPT_BY_KERNEL = 0.06


def architecture(facts: Facts, need: Need) -> Iterator[Check]:
    values = {"wanted": need.architecture, "architecture": facts.architecture}
    if facts.architecture is None:
        sentence = gettext_noop("The machine did not say its architecture; the packages are for %(wanted)s.")
        yield say("architecture", "unknown", sentence, **values)
    elif facts.architecture == need.architecture:
        yield say("architecture", "pass", gettext_noop("The architecture is %(architecture)s."), **values)
    else:
        sentence = gettext_noop("The packages are for %(wanted)s; the machine is %(architecture)s.")
        yield say("architecture", "block", sentence, **values)


def system(facts: Facts, need: Need) -> Iterator[Check]:
    values = {"system": facts.os_name or facts.os_id, "kernel": facts.kernel or "?", "id": facts.os_id}
    if facts.os_name is None and facts.os_id is None:
        yield say("system", "unknown", gettext_noop("The machine did not say which system it runs."), **values)
    elif facts.os_id == "kylin" and "V10" in (facts.os_name or "V10"):
        if facts.kernel and not facts.kernel.startswith(KERNEL):
            sentence = gettext_noop("Kernel %(kernel)s is not the %(usual)s of Kylin V10; nobody has tried it.")
            yield say("system", "warn", sentence, **values, usual=KERNEL)
            return
        yield say("system", "pass", gettext_noop("%(system)s, kernel %(kernel)s."), **values)
    else:
        yield say("system", "warn", gettext_noop("%(system)s is not Kylin V10; nobody has tried it."), **values)


def memory(facts: Facts, need: Need) -> Iterator[Check]:
    if not need.memory:
        return
    values = {"wanted": need.memory, "wanted_gib": f"{need.memory / GIB:.0f}"}
    if facts.memory_total is None:
        sentence = gettext_noop("The machine did not say how much memory it has; the job needs %(wanted_gib)s GiB.")
        yield say("memory", "unknown", sentence, **values)
        return
    values |= {"total": facts.memory_total, "total_gib": f"{facts.memory_total / GIB:.0f}"}
    if facts.memory_total < need.memory * (1 - KEPT_BY_KERNEL):
        sentence = gettext_noop("%(total_gib)s GiB of memory; the job needs %(wanted_gib)s GiB.")
        yield say("memory", "block", sentence, **values)
    else:
        yield say("memory", "pass", gettext_noop("%(total_gib)s GiB of memory."), **values)
