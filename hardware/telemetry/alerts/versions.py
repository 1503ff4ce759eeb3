"""Versions that do not agree: with those of like machines of the same site or label, or with the driver's own ranges.

They are judged when facts are stored, and once more with each minute's periods in case that was lost.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from hardware.events import AuditNote
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.inventory.preflight.versions import within
from hardware.statements import Prepared
from hardware.telemetry.alerts.judging import Judged
from hardware.telemetry.alerts.models import Alert, Rule, Software
from hardware.telemetry.alerts.opening import end, open_alert

METRIC = "version_conflicts"
# What is done to a machine after which its versions, or whom they are compared with, may be others.
_STORED = "machine.probe"
_MOVED = ("machine.update", "machine.retire", "machine.restore")
Conflict = dict[str, Any]
_NAMED = Prepared(Machine, lambda machines, name: machines.filter(name=name), str)
_OF = Prepared(Software, lambda software, machine: software.filter(machine=machine), int)


@dataclass(frozen=True)
class Like:
    """A machine as it is compared with others."""

    machine_id: int
    site: str
    labels: tuple[str, ...]
    chip: str
    parts: dict[str, str]
    outside: list[Conflict]


def heard(sender: Any, note: AuditNote, **_kwargs: Any) -> None:
    """In the transaction that stored the facts, or changed the machine."""
    if note.action == _STORED:
        machine = next(iter(_NAMED.objects(note.target.partition(":")[2])), None)
        facts = machine.read if machine is not None else None
        if machine is not None and facts is not None and _remember(machine, facts):
            transaction.on_commit(judge_fleet, robust=True)
    elif note.action in _MOVED:
        transaction.on_commit(judge_fleet, robust=True)


def _remember(machine: Machine, facts: Facts) -> bool:
    """Whether it is news."""
    found = {"chip": chip_of(facts), "parts": parts_of(facts), "outside": outside_of(facts)}
    there = next(iter(_OF.objects(machine.pk)), None)
    if there is not None and {name: getattr(there, name) for name in found} == found:
        return False
    Software.objects.update_or_create(machine=machine, defaults=found)
    return True


def chip_of(facts: Facts) -> str:
    return next((npu.generation or npu.name or "" for npu in facts.npus), "")


def parts_of(facts: Facts) -> dict[str, str]:
    packages = {"driver": facts.driver, "firmware": facts.firmware, "cann": facts.cann}
    parts = {name: package.version for name, package in packages.items() if package is not None}
    return parts | ({"npu-smi": facts.npu_smi} if facts.npu_smi else {})


def outside_of(facts: Facts) -> list[Conflict]:
    """Firmware that the driver's own ranges don't admit, and the other way round. No range says nothing."""
    found: list[Conflict] = []
    for part, package, other, by in (
        ("firmware", facts.firmware, facts.driver, "driver"), ("driver", facts.driver, facts.firmware, "firmware"),
    ):  # fmt: skip
        if package is None or other is None or not other.ranges:
            continue
        if not any(within(package.version, low, high) for low, high in other.ranges):
            ranges = [list(pair) for pair in other.ranges]
            found.append({"part": part, "has": package.version, "by": by, "version": other.version, "ranges": ranges})
            # The other way round is the same pair that does not fit.
            break
    return found


def conflicts(fleet: list[Like]) -> dict[int, list[Conflict]]:
    """By machine, for each one: what it has and most of its like have not. Where none has most, all are named."""
    found: dict[int, list[Conflict]] = {one.machine_id: list(one.outside) for one in fleet}
    for place, members in _groups(fleet):
        for part in sorted({part for one in members for part in one.parts}):
            having = [one for one in members if part in one.parts]
            counted = Counter(one.parts[part] for one in having)
            if len(counted) < 2:
                continue
            [(usual, count)] = counted.most_common(1)
            most = usual if count * 2 > len(having) else ""
            for one in having:
                if one.parts[part] == most:
                    continue
                if any(said["part"] == part and "among" in said for said in found[one.machine_id]):
                    continue
                found[one.machine_id].append(
                    {
                        "part": part, "has": one.parts[part], "others": most, "count": count if most else 0,
                        "of": len(having), "among": place, "versions": sorted(counted),
                    }
                )  # fmt: skip
    return found


def _groups(fleet: list[Like]) -> Iterator[tuple[str, list[Like]]]:
    """Machines with the same chip of one site, and those that carry one label."""
    groups: dict[tuple[str, str], list[Like]] = defaultdict(list)
    for one in fleet:
        groups[(f"site:{one.site}", one.chip)].append(one)
        for label in one.labels:
            groups[(f"label:{label}", one.chip)].append(one)
    for (place, _chip), members in groups.items():
        if len(members) > 1:
            yield place, members


def stored() -> list[Like]:
    """The machines in use whose facts were read."""
    fields = ("machine_id", "machine__site", "machine__labels", "chip", "parts", "outside")
    rows = Software.objects.exclude(machine__state=Machine.State.RETIRED).values_list(*fields)
    return [Like(pk, site, tuple(labels), chip, parts, outside) for pk, site, labels, chip, parts, outside in rows]


def judge_fleet() -> None:
    """Open and end the alerts of rules that rest on versions."""
    rules = [Judged.of(rule) for rule in Rule.objects.filter(enabled=True) if _rests_on_versions(rule)]
    if not rules:
        return
    found = conflicts(stored())
    there = {
        (alert.rule_id, alert.machine_id): alert
        for alert in Alert.objects.filter(state=Alert.State.OPEN, rule__in=[rule.rule_id for rule in rules])
    }
    now = timezone.now()
    for rule in rules:
        condition = rule.conditions[0]
        for machine_id, said in found.items():
            alert, values = there.get((rule.rule_id, machine_id)), {METRIC: len(said), "conflicts": said}
            if alert is None and condition.holds(len(said)):
                open_alert(rule.rule_id, machine_id, "", now, now, values)
            elif alert is not None and condition.clear(len(said)):
                end(Alert.objects.filter(pk=alert.pk), Alert.Ended.CLEARED, now)
            elif alert is not None and alert.values != values:
                Alert.objects.filter(pk=alert.pk, state=Alert.State.OPEN).update(values=values)


def _rests_on_versions(rule: Rule) -> bool:
    return any(isinstance(said, dict) and said.get("metric") == METRIC for said in rule.conditions)
