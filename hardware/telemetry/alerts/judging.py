"""Judging periods by rules: pure, so that a try-out over the last day does what the collector does each minute.

A *subject* is an NPU of a machine (``0-0``), or the machine itself (empty). What is not known in a period proves
nothing: conditions that rest on it neither hold nor are clear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hardware.telemetry.alerts.metrics import METRICS, Metric

Values = dict[str, Any]
# A pending state bridges so many periods, and so many seconds, of which nothing was heard: a collector that takes over
# may have missed one.
GAP_PERIODS = 3
GAP_SECONDS = 60.0
# What a counter rose by is kept in so many spans of a rule's duration, however often it rises.
SPANS = 60
_EXPECTED = "npus|"


@dataclass(frozen=True)
class Condition:
    """``holds`` and ``clear`` get the statistic's value; of a counter it is by how much it rose over the rule's
    duration, or since the period before where that has none.
    """

    metric: Metric
    stat: str
    op: str
    value: float
    clear_at: float

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Condition:
        value, clear = float(said["value"]), said.get("clear")
        return cls(
            METRICS[said["metric"]], said.get("stat", "mean"), said["op"], value, value if clear is None else clear
        )

    @property
    def rises(self) -> bool:
        return self.op == "rises"

    def holds(self, value: float) -> bool:
        if self.op == ">":
            return value > self.value
        return value < self.value if self.op == "<" else value >= self.value

    def clear(self, value: float) -> bool:
        if self.op == ">":
            return value <= self.clear_at
        return value >= self.clear_at if self.op == "<" else value < self.value


@dataclass(frozen=True)
class Judged:
    """A rule, ready to be judged by. ``key`` tells a version of a rule apart from the one before."""

    rule_id: int
    key: str
    of_npu: bool
    conditions: tuple[Condition, ...]
    for_s: float
    clear_for_s: float

    @classmethod
    def of(cls, rule: Any) -> Judged:
        """From a ``models.Rule``, saved or not."""
        conditions = tuple(Condition.of(said) for said in rule.conditions)
        return cls(
            rule.pk or 0, f"{rule.pk or 0}.{rule.version}", rule.scope == "npu", conditions, rule.for_s,
            rule.clear_for_s,
        )  # fmt: skip

    @property
    def only_rises(self) -> bool:
        """By how much a counter rose is of the whole duration already; nothing has to last besides."""
        return all(condition.rises for condition in self.conditions)

    @property
    def of_facts(self) -> bool:
        return any(condition.metric.of == "facts" for condition in self.conditions)


@dataclass
class Past:
    """What is known of a machine from the periods before, as ``models.Memory`` keeps it; ``changed`` once judging has
    written in it.
    """

    pending: dict[str, list[float]] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)
    rises: dict[str, list[list[float]]] = field(default_factory=dict)
    changed: bool = False


@dataclass
class Firing:
    """An open alert. Times in seconds since 1970."""

    alert_id: int
    clearing_since: float | None = None
    opened_at: float = 0


@dataclass(frozen=True)
class Opened:
    rule_id: int
    npu: str
    since: float
    at: float
    values: Values


@dataclass(frozen=True)
class Clearing:
    """An open alert that begins to be well, or (``since`` is ``None``) is no longer."""

    alert_id: int
    since: float | None


@dataclass(frozen=True)
class Over:
    alert_id: int
    rule_id: int
    npu: str
    at: float


Event = Opened | Clearing | Over


def judge(
    rules: Sequence[Judged], period: Any, past: Past, standing: dict[tuple[int, str], Firing], *, silent: bool = False
) -> list[Event]:
    """What a ``rollups.Period`` of one machine changes. ``past`` is written on; ``standing`` is the caller's to change.

    A period may come again, or late: a collector that takes a machine over rolls up what it finds in Redis.

    ``silent``: the machine's state says that it can't be reached, whatever the period says.
    """
    began = period.at.timestamp()
    ended = began + period.seconds
    readings = _Readings(period, past, silent or period.state == "silent")
    found: list[Event] = []
    for rule in rules:
        for npu, values in readings.subjects(rule):
            there = standing.get((rule.rule_id, npu))
            key = f"{rule.key}|{npu}"
            if there is None:
                if _hold(rule, values, rising=False):
                    since = began if rule.only_rises else _pending(past, key, began, ended, period.seconds)
                    lasted = rule.only_rises or ended - since >= rule.for_s
                    if lasted and _hold(rule, values, rising=True):
                        past.pending.pop(key, None)
                        found.append(Opened(rule.rule_id, npu, since, ended, readings.told(rule, values)))
                elif key in past.pending:
                    del past.pending[key]
                    past.changed = True
            elif ended <= there.opened_at:
                # From before it was opened: that it was well then ends nothing.
                continue
            elif _well(rule, values):
                since = began if there.clearing_since is None else there.clearing_since
                if ended - since >= rule.clear_for_s:
                    found.append(Over(there.alert_id, rule.rule_id, npu, ended))
                elif there.clearing_since is None:
                    found.append(Clearing(there.alert_id, since))
            elif there.clearing_since is not None and _known(values):
                found.append(Clearing(there.alert_id, None))
    return found


def forget(past: Past, keys: Iterable[str]) -> None:
    """Drop what is kept for versions of rules that are not among ``keys``."""
    known = set(keys)
    kept: tuple[dict[str, Any], ...] = (past.pending, past.rises)
    for of_rules in kept:
        for key in [key for key in of_rules if key.partition("|")[0] not in known]:
            del of_rules[key]
            past.changed = True


def _pending(past: Past, key: str, began: float, ended: float, seconds: float) -> float:
    """Since when it holds; it is remembered that it does until now."""
    since, until = past.pending.get(key, (began, began))
    if began - until > max(GAP_SECONDS, GAP_PERIODS * seconds):
        since = began
    past.pending[key] = [min(since, began), max(until, ended)]
    past.changed = True
    return min(since, began)


def _hold(rule: Judged, values: Sequence[float | None], *, rising: bool) -> bool:
    """Whether the conditions about counters hold, or the others."""
    return all(
        value is not None and condition.holds(value)
        for condition, value in zip(rule.conditions, values, strict=True)
        if condition.rises == rising
    )


def _well(rule: Judged, values: Sequence[float | None]) -> bool:
    return any(
        value is not None and condition.clear(value) for condition, value in zip(rule.conditions, values, strict=True)
    )


def _known(values: Sequence[float | None]) -> bool:
    return all(value is not None for value in values)


class _Readings:
    """The values of a period as conditions ask for them."""

    def __init__(self, period: Any, past: Past, silent: bool) -> None:
        self.npus: dict[str, dict[str, Any]] = {f"{npu}-{chip}": stats for (npu, chip), stats in period.npus.items()}
        self.vitals: Mapping[str, Any] = period.vitals
        self.past = past
        self.ended = period.at.timestamp() + period.seconds
        self.seconds = float(period.seconds)
        self.more: dict[str, float] = {"silent": float(silent)}
        if (skew := self.vitals.get("clock_skew_s")) is not None:
            self.more["clock_off_s"] = max(abs(skew.min), abs(skew.max))
        if (missing := self._missing()) is not None:
            self.more["npus_missing"] = missing
        self._rises: dict[str, float | None] = {}

    def subjects(self, rule: Judged) -> Iterator[tuple[str, list[float | None]]]:
        """Each NPU, or the machine (empty), with the value of each of the rule's conditions."""
        if rule.of_facts:
            return
        if rule.of_npu:
            for npu, stats in self.npus.items():
                yield npu, [self._value(rule, condition, npu, stats) for condition in rule.conditions]
        else:
            yield "", [self._worst(rule, condition) for condition in rule.conditions]

    def told(self, rule: Judged, values: Sequence[float | None]) -> Values:
        """What an alert keeps of the moment when it was opened."""
        return {
            condition.metric.name: round(value, 2)
            for condition, value in zip(rule.conditions, values, strict=True)
            if value is not None
        }

    def _value(self, rule: Judged, condition: Condition, npu: str, stats: Mapping[str, Any]) -> float | None:
        metric = condition.metric
        if metric.of == "npu":
            return self._stat(rule, condition, npu, stats.get(metric.name))
        if metric.name in self.more:
            return self.more[metric.name]
        return self._stat(rule, condition, "", self.vitals.get(metric.name))

    def _worst(self, rule: Judged, condition: Condition) -> float | None:
        """Of a metric of NPUs, in a rule about the machine, that of the NPU that is nearest to firing."""
        if condition.metric.of != "npu":
            return self._value(rule, condition, "", {})
        values = [self._value(rule, condition, npu, stats) for npu, stats in self.npus.items()]
        known = [value for value in values if value is not None]
        pick: Callable[[list[float]], float] = min if condition.op == "<" else max
        return pick(known) if known else None

    def _stat(self, rule: Judged, condition: Condition, npu: str, stat: Any) -> float | None:
        if stat is None:
            return None
        if condition.rises:
            return self._rise_over(rule, f"{condition.metric.name}|{npu}", stat)
        return float(getattr(stat, condition.stat))

    def _rise_over(self, rule: Judged, counter: str, stat: Any) -> float | None:
        """By how much a counter grew over the rule's duration, at least since the period before; None as ``_rise``."""
        rise = self._rise(counter, stat)
        if rule.for_s <= self.seconds:
            return rise
        key, span = f"{rule.key}|{counter}", max(self.seconds, rule.for_s / SPANS)
        before = self.past.rises.get(key, [])
        kept = [[at, more] for at, more in before if at > self.ended - rule.for_s]
        # A period that two rules, or two conditions of one, look at is counted once.
        if rise and not (kept and kept[-1][0] >= self.ended):
            if kept and kept[-1][0] // span == self.ended // span:
                kept[-1] = [self.ended, kept[-1][1] + rise]
            else:
                kept.append([self.ended, rise])
        if kept != before:
            self.past.changed = True
            if kept:
                self.past.rises[key] = kept
            else:
                del self.past.rises[key]
        return sum(more for _at, more in kept)

    def _rise(self, key: str, stat: Any) -> float | None:
        """By how much a counter grew since the period before, or in this one if it is the first. None for a period that
        was looked at already, or is older than one that was: what it says is in the value, and that it says nothing new
        is no sign that the counter stands.
        """
        if key not in self._rises:
            known = self.past.counters.get(key)
            # What was stored by an older console is the value alone.
            before, changed_at = known if isinstance(known, list) else (known, 0.0)
            if changed_at >= self.ended:
                self._rises[key] = None
                return None
            now = float(stat.max)
            # A driver that was started again counts from nothing: the lowest value is what to go on from then.
            self._rises[key] = now - float(stat.min) if before is None else max(0.0, now - before)
            if before is not None and float(stat.min) < before:
                now = float(stat.min)
            if before != now:
                self.past.counters[key] = [now, self.ended]
                self.past.changed = True
        return self._rises[key]

    def _missing(self) -> float | None:
        """How many NPUs are gone, from the bus or from ``npu-smi``'s list, of the most that were ever seen there."""
        seen = [self.vitals[name].min for name in ("npus_on_bus", "npus_listed") if name in self.vitals]
        if not seen:
            return None
        most = max([self.vitals[name].max for name in ("npus_on_bus", "npus_listed") if name in self.vitals])
        expected = self.past.counters.get(_EXPECTED, 0.0)
        if most > expected:
            expected = self.past.counters[_EXPECTED] = float(most)
            self.past.changed = True
        return float(expected - min(seen))
