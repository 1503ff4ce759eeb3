"""The collector's part: periods in, alerts opened and ended.

Nothing is kept in the process between two calls: what was pending and what is open is read from the database each
time, so a collector that starts anew or takes machines over goes on where the other one was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from hardware.database import on_db
from hardware.inventory.models import Machine
from hardware.telemetry.alerts.judging import Clearing, Event, Firing, Judged, Opened, Over, Past, forget, judge
from hardware.telemetry.alerts.models import Alert, Memory, Rule
from hardware.telemetry.alerts.opening import end, open_alert
from hardware.telemetry.alerts.versions import judge_fleet
from hardware.writing import write

log = logging.getLogger(__name__)

# Machines judged in one go: the event loop samples in between, and a transaction stays short.
TOGETHER = 250
# What of ``Past`` is stored in ``Memory``.
KEPT = ("pending", "counters", "rises")


@dataclass
class Findings:
    """What judging some machines gave; the events with their machine's id."""

    events: list[tuple[int, Event]] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.events or self.memories)


async def evaluate(periods: Sequence[Any]) -> None:
    """Judge periods, the oldest of each machine first; see ``hardware.telemetry.alerts.evaluate``."""
    by_machine: dict[int, list[Any]] = {}
    for period in sorted(periods, key=lambda one: one.at):
        by_machine.setdefault(period.machine_id, []).append(period)
    rules = await on_db(rules_on)
    ids = list(by_machine)
    for first in range(0, len(ids), TOGETHER):
        some = {machine_id: by_machine[machine_id] for machine_id in ids[first : first + TOGETHER]}
        findings = await on_db(judged, rules, some)
        if findings:
            await write(store, findings)
    await on_db(judge_fleet)
    if await on_db(_left_behind):
        await write(end_retired)


def rules_on() -> list[Judged]:
    """The rules that are on; one that can't be judged by (any more) is left out, and logged."""
    found = []
    for rule in Rule.objects.filter(enabled=True):
        try:
            found.append(Judged.of(rule))
        except (KeyError, TypeError, ValueError) as wrong:
            log.error("rule %s can't be judged by (%r); it is left out", rule.slug, wrong)
    return found


def judged(rules: Sequence[Judged], periods: dict[int, list[Any]]) -> Findings:
    """By machine id. Writes nothing."""
    ids = list(periods)
    memories = {memory.pk: memory for memory in Memory.objects.filter(pk__in=ids)}
    silent = set(Machine.objects.filter(pk__in=ids, state=Machine.State.SILENT).values_list("pk", flat=True))
    retired = set(Machine.objects.filter(pk__in=ids, state=Machine.State.RETIRED).values_list("pk", flat=True))
    there: dict[int, dict[tuple[int, str], Firing]] = {}
    rows = Alert.objects.filter(state=Alert.State.OPEN, machine__in=ids)
    fields = ("pk", "machine", "rule", "npu", "clearing_since", "opened_at")
    for pk, machine, rule, npu, clearing, opened in rows.values_list(*fields):
        standing = Firing(pk, clearing.timestamp() if clearing else None, opened.timestamp())
        there.setdefault(machine, {})[(rule, npu)] = standing
    keys = {rule.key for rule in rules}
    findings = Findings()
    for machine_id in ids:
        if machine_id in retired:
            continue
        memory = memories.get(machine_id)
        past = Past(dict(memory.pending), dict(memory.counters), dict(memory.rises)) if memory else Past()
        forget(past, keys)
        standing_here = there.get(machine_id, {})
        for period in periods[machine_id]:
            for event in judge(rules, period, past, standing_here, silent=machine_id in silent):
                findings.events.append((machine_id, event))
                _follow(standing_here, event)
        if past.changed:
            kept = {name: getattr(past, name) for name in KEPT}
            findings.memories.append(Memory(machine_id=machine_id, **kept))
    return findings


def _follow(standing: dict[tuple[int, str], Firing], event: Event) -> None:
    """Let the next period of the same call know."""
    if isinstance(event, Opened):
        # It has no id before it is stored; that it ends again in the same call is found in the next one.
        standing[(event.rule_id, event.npu)] = Firing(0, opened_at=event.at)
    elif isinstance(event, Over):
        standing.pop((event.rule_id, event.npu), None)
    else:
        for one in standing.values():
            if one.alert_id == event.alert_id:
                one.clearing_since = event.since


def store(findings: Findings) -> None:
    """Write what was found; what another collector has written meanwhile stands."""
    if findings.memories:
        # A machine may have been deleted since it was sampled.
        left = set(Machine.objects.filter(pk__in=[m.pk for m in findings.memories]).values_list("pk", flat=True))
        kept = [memory for memory in findings.memories if memory.pk in left]
        with transaction.atomic():
            Memory.objects.bulk_create(kept, update_conflicts=True, unique_fields=["machine"], update_fields=KEPT)
    for machine_id, event in findings.events:
        if isinstance(event, Opened):
            open_alert(event.rule_id, machine_id, event.npu, _at(event.since), _at(event.at), event.values)
        elif isinstance(event, Clearing) and event.alert_id:
            since = _at(event.since) if event.since is not None else None
            Alert.objects.filter(pk=event.alert_id, state=Alert.State.OPEN).update(clearing_since=since)
        elif isinstance(event, Over) and event.alert_id:
            end(Alert.objects.filter(pk=event.alert_id), Alert.Ended.CLEARED, _at(event.at))


def _of_retired() -> Any:
    return Alert.objects.filter(state=Alert.State.OPEN, machine__state=Machine.State.RETIRED)


def _left_behind() -> bool:
    return _of_retired().exists() or Memory.objects.filter(machine__state=Machine.State.RETIRED).exists()


def end_retired() -> None:
    """Nobody asks a retired machine any more, and what it was like does not matter when it comes back."""
    end(_of_retired(), Alert.Ended.RETIRED, datetime.now(UTC))
    Memory.objects.filter(machine__state=Machine.State.RETIRED).delete()


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
