"""Whether somebody else has the NPUs that a job takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hardware.inventory.facts import Facts, Holder
from hardware.inventory.preflight.records import Check, Claim, Need, gettext_noop, say

# The first version of facts that says who holds what.
KNOWN_SINCE = 2


@dataclass
class _Who:
    """A container, or a process outside of any."""

    container: str = ""
    npus: set[int] = field(default_factory=set)
    processes: list[Holder] = field(default_factory=list)


def held(facts: Facts, need: Need) -> Iterator[Check]:
    claim = need.claim
    if claim is None:
        return
    if facts.schema_version < KNOWN_SINCE:
        sentence = gettext_noop("Who holds the NPUs was not read yet; probe the machine again.")
        yield say("npu-held", "unknown", sentence)
        return
    strangers = _strangers(facts, claim)
    for who in strangers:
        yield _check(who, claim)
    if not strangers and claim.driver:
        yield say("npu-held", "pass", gettext_noop("Nobody has a device node of the driver open."))
    elif not strangers:
        sentence = gettext_noop("Nobody else holds NPU %(npus)s.")
        yield say("npu-held", "pass", sentence, npus=_numbers(claim.npus))


def _strangers(facts: Facts, claim: Claim) -> list[_Who]:
    """Whoever has something of what is claimed, and is not what the job takes away itself."""
    found: dict[str, _Who] = {}
    for container in facts.containers:
        taken = set(container.npus) if claim.driver else set(container.npus) & set(claim.npus)
        if taken and container.name not in claim.replaces:
            found[f"container {container.name}"] = _Who(container.name, taken)
    for holder in facts.holders:
        taken = set(holder.npus) if claim.driver else set(holder.npus) & set(claim.npus)
        if holder.container in claim.replaces or not (taken or claim.driver):
            continue
        key = f"container {holder.container}" if holder.container else f"process {holder.pid}"
        who = found.setdefault(key, _Who(holder.container or ""))
        who.npus |= taken
        who.processes.append(holder)
    return list(found.values())


def _check(who: _Who, claim: Claim) -> Check:
    first = who.processes[0] if who.processes else None
    values = {
        "npus": _numbers(sorted(who.npus)),
        "container": who.container,
        "process": first.name if first else "",
        "pid": first.pid if first else 0,
    }
    if not who.npus:
        # Only the manager's node: no NPU, but the driver can't be exchanged under it.
        if who.container:
            sentence = gettext_noop(
                "Container %(container)s (%(process)s, pid %(pid)s) has the NPU driver open: stop it."
            )
        else:
            sentence = gettext_noop("Process %(process)s (pid %(pid)s) has the NPU driver open: stop it.")
    elif not who.container:
        sentence = gettext_noop("NPU %(npus)s is held by process %(process)s (pid %(pid)s): stop it.")
        if not claim.driver:
            sentence = gettext_noop(
                "NPU %(npus)s is held by process %(process)s (pid %(pid)s): stop it, or choose other NPUs."
            )
    elif claim.driver:
        sentence = gettext_noop("NPU %(npus)s is held by container %(container)s: stop it.")
    elif first is not None:
        sentence = gettext_noop(
            "NPU %(npus)s is held by container %(container)s (%(process)s, pid %(pid)s): stop it, or choose other NPUs."
        )
    else:
        sentence = gettext_noop("NPU %(npus)s is held by container %(container)s: stop it, or choose other NPUs.")
    return say("npu-held", "block", sentence, **values)


def _numbers(npus: Sequence[int]) -> str:
    return ", ".join(map(str, npus))
