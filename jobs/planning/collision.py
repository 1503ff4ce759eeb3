"""Whether a job would collide with whoever holds its machines' NPUs.

It is judged three times: by the last facts while a plan is looked at, by a fresh look at the machines when the job is
launched, and once more on each machine as the job's first step there, before anything is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.db import connection
from django.utils import timezone

from hardware.inventory.facts import Facts
from hardware.inventory.look import look
from hardware.inventory.models import Machine
from hardware.inventory.preflight import Check, Claim
from hardware.ssh import background
from jobs.failures import PlanRefused
from jobs.kind import Kind, Target
from jobs.plan import ReadFacts, Step

# All machines of a launch together; a person waits for it.
LOOK_SECONDS = 5
MEND = "Stop what holds it on the machine, or take the machine out of the targets; then launch again."


def first_step(claim: Claim) -> Step:
    """The step that looks on the machine itself."""
    title = "Nobody holds the NPU driver"
    if not claim.driver:
        title = f"Nobody else holds NPU {', '.join(map(str, claim.npus))}"
    return Step("free", title, ReadFacts({"free": {**asdict(claim), "replaces": sorted(claim.replaces)}}))


def look_at(kind: Kind, params: dict[str, Any], machines: Sequence[Machine]) -> dict[str, Facts]:
    """The facts of the machines whose NPUs the job takes, with who holds these now.

    A machine that gives no answer in time is not there. Within a transaction nobody is asked: a database that others
    wait for must not wait for a machine.
    """
    if connection.in_atomic_block:
        return {}
    known = {machine.name: machine.read for machine in machines}
    taken = [
        machine for machine in machines if kind.claim(params, Target(machine.name, known[machine.name])) is not None
    ]
    if not taken:
        return {}
    seen = background.call(look, {machine.name: machine.endpoint() for machine in taken}, LOOK_SECONDS)
    found: dict[str, Facts] = {}
    for name, held in seen.items():
        facts = known[name]
        if facts is not None:
            newest = Facts().schema_version
            found[name] = replace(facts, schema_version=newest, containers=held.containers, holders=held.holders)
    return found


def look_ahead(kind: Kind, params: Mapping[str, Any], machines: Sequence[Machine]) -> dict[str, Facts]:
    """``look_at`` for a request as it came, before a transaction begins; what is wrong with it is for others to say."""
    asked = kind.Params(data=dict(params))
    if not asked.is_valid():
        return {}
    try:
        return look_at(kind, dict(asked.validated_data), machines)
    except PlanRefused:
        return {}


def refusal(machine: Machine, check: Check, fresh: bool) -> PlanRefused:
    """What a job is refused with whose NPUs somebody holds. Of what is not fresh its age is told."""
    said = f"{machine.name}: {check.reason}"
    if not fresh:
        said += f" (So it was {_age(machine)}; the machine gave no answer just now.)"
    return PlanRefused("npu-held", said, MEND, "targets")


def _age(machine: Machine) -> str:
    if machine.facts_at is None:
        return "when it was read"
    minutes = int((timezone.now() - machine.facts_at).total_seconds() // 60)
    for size, word in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = minutes // size
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "less than a minute ago"
