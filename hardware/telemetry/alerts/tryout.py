"""What a rule would have found: the periods that are stored, judged as the collector would have judged them.

A rule that rests on facts is judged by those that are stored now: what they were before is not gone through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hardware.inventory.models import Machine
from hardware.telemetry.alerts import checking, versions
from hardware.telemetry.alerts.judging import Clearing, Firing, Judged, Opened, Over, Past, judge
from hardware.telemetry.alerts.models import Rule
from hardware.telemetry.rollups.reading import MINUTE, read

LONGEST_HOURS = 24
# Machines whose periods are read at once.
TOGETHER = 25


@dataclass
class Found:
    """``fired``: how often each machine would have had an alert, those that had most first. ``now``: how many of them
    would be open at the end. ``machines``: of how many there was anything to judge.
    """

    since: datetime
    until: datetime
    machines: int = 0
    periods: int = 0
    now: int = 0
    fired: list[tuple[str, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(count for _name, count in self.fired)


def try_out(rule: Rule, hours: int = LONGEST_HOURS, until: datetime | None = None) -> Found:
    """Judge the last ``hours`` by a rule that may not be stored. Raises ``Refused``."""
    checking.rule({name: getattr(rule, name) for name in ("title", "severity", "scope", "conditions", "remedy")}
                  | {"for_s": rule.for_s, "clear_for_s": rule.clear_for_s}, rule.remedy)  # fmt: skip
    until = until or datetime.now(UTC)
    found = Found(until - timedelta(hours=hours), until)
    judged = Judged.of(rule)
    counted: Counter[str] = Counter()
    if judged.of_facts:
        _by_facts(judged, found)
        return found
    machines = list(Machine.objects.exclude(state=Machine.State.RETIRED).defer("facts"))
    for first in range(0, len(machines), TOGETHER):
        periods = read(machines[first : first + TOGETHER], found.since, found.until, MINUTE)
        _replay(judged, periods, found, counted)
    found.fired = counted.most_common()
    return found


def _by_facts(rule: Judged, found: Found) -> None:
    said = versions.conflicts(versions.stored())
    firing = [machine_id for machine_id, one in said.items() if rule.conditions[0].holds(len(one))]
    names = Machine.objects.filter(pk__in=firing).order_by("name").values_list("name", flat=True)
    found.machines, found.now, found.fired = len(said), len(firing), [(name, 1) for name in names]


def _replay(rule: Judged, periods: Sequence[Any], found: Found, counted: Counter[str]) -> None:
    pasts: dict[int, Past] = {}
    firing: dict[int, dict[tuple[int, str], Firing]] = {}
    for period in periods:
        past = pasts.setdefault(period.machine_id, Past())
        there = firing.setdefault(period.machine_id, {})
        found.periods += 1
        for event in judge([rule], period, past, there):
            if isinstance(event, Opened):
                counted[period.machine] += 1
                there[(event.rule_id, event.npu)] = Firing(counted.total(), opened_at=event.at)
            elif isinstance(event, Over):
                del there[(event.rule_id, event.npu)]
            elif isinstance(event, Clearing):
                next(one for one in there.values() if one.alert_id == event.alert_id).clearing_since = event.since
    found.machines += len(pasts)
    found.now += sum(len(there) for there in firing.values())
