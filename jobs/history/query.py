"""Which jobs match, newest first, by their ids alone; every path walks an index that ends in the job's id.

The statements are written out, because at a million jobs each must have one good plan and no other: SQLite is told the
index by name, on PostgreSQL the same index is the cheapest. What each filter costs is in docs/decisions/0010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from django.db import connection

from hardware.inventory.models import Machine
from jobs.models import Job

# Counting ends here: a person needs no more than "10,000+". Where causes have to be looked through, it ends earlier.
COUNTED = 10_000
COUNTED_TEXT = 1_000
# Of a machine's jobs, or of those that the other filters leave: when both are more, either may be walked.
_COMPARED = 20_000
# Ids rise with the time of creation, but for clocks that were set back by no more than this.
_SLACK = timedelta(hours=1)
_END = 2**62
# Machines whose jobs are walked one beside the other; with more, the others' walk asks each job for its machines.
WALKS = 100
# Of so few jobs all may be sorted; walked by the others' index, they would be looked for among a million.
SORTED = 5_000
# The index that holds exactly these columns and then the id.
_INDEXES = {
    ("kind",): "job_kind",
    ("state",): "job_state",
    ("created_by",): "job_person",
    ("kind", "state"): "job_kind_state",
    ("kind", "created_by"): "job_kind_person",
    ("state", "created_by"): "job_state_person",
    ("kind", "state", "created_by"): "job_kind_state_person",
}

Part = tuple[str, list[Any]]


@dataclass(frozen=True)
class Slice:
    """A page of ids, newest first; whether ``newer`` and ``older`` ones are there; the count, and if it ends early."""

    ids: list[int]
    newer: bool
    older: bool
    count: int
    more: bool


@dataclass(frozen=True)
class Query:
    """What is asked for; an empty filter lets everything through, several values of one filter are alternatives.

    ``label`` is one that a machine of the job has now; with ``machine``, that machine. ``since`` is the first moment,
    ``until`` the first one that is too late. ``text`` is looked for anywhere in the cause of a failure, in small or
    capital letters.
    """

    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    machine: str = ""
    label: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""

    def ids(self, limit: int, *, before: int | None = None, after: int | None = None) -> list[int]:
        """The newest ids first, those below ``before``; with ``after`` the next ones above it, the oldest first."""
        statement = _Statement.of(self)
        if statement is None:
            return []
        return statement.ids(limit, before, after)

    @property
    def bound(self) -> int:
        """Where counting ends."""
        return COUNTED_TEXT if self.text else COUNTED

    def count(self, bound: int | None = None) -> tuple[int, bool]:
        """How many there are, and whether there are more than the ``bound`` that was counted to."""
        bound = self.bound if bound is None else bound
        statement = _Statement.of(self)
        if statement is None:
            return 0, False
        if self == Query(since=self.since, until=self.until):
            found = _count_of_time(self.since, self.until, bound + 1)
        else:
            found = statement.count(bound + 1)
        return min(found, bound), found > bound

    def slice(self, size: int, *, before: int | None = None, after: int | None = None) -> Slice:
        """One page of ids, newest first, and what a reader wants to know around it."""
        if after is not None:
            ids = self.ids(size + 1, after=after)
            return Slice(ids[:size][::-1], len(ids) > size, True, *self.count())
        if before is None and self.text:
            # Looking through the causes is what takes the time: once for the page and for the count.
            ids = self.ids(self.bound + 1)
            return Slice(ids[:size], False, len(ids) > size, min(len(ids), self.bound), len(ids) > self.bound)
        ids = self.ids(size + 1, before=before)
        older = len(ids) > size
        counted = (len(ids), False) if before is None and not older else self.count()
        return Slice(ids[:size], before is not None, older, *counted)

    def explain(self) -> list[str]:
        """How the database goes about it, a line a step."""
        statement = _Statement.of(self)
        return statement.explain() if statement is not None else []


@dataclass
class _Statement:
    """A query whose names and times have become ids."""

    facets: list[tuple[str, tuple[str, ...]]]
    text: str
    # ``None``: whatever the job works on.
    machines: tuple[int, ...] | None
    low: int
    high: int
    time: Part

    @classmethod
    def of(cls, query: Query) -> _Statement | None:
        """``None`` when nothing can match."""
        machines = None
        if query.machine or query.label:
            machines = _machines(query.machine, query.label)
            if not machines:
                return None
        given = (("kind", query.kinds), ("state", query.states), ("created_by", query.people))
        return cls(
            [(name, values) for name, values in given if values], query.text, machines, *_span(query.since, query.until)
        )

    def ids(self, limit: int, before: int | None, after: int | None) -> list[int]:
        low = self.low if after is None else max(self.low, after + 1)
        high = self.high if before is None else min(self.high, before - 1)
        return [row[0] for row in _run(*self._sql(low, high, limit, "ASC" if after is not None else "DESC"))]

    def count(self, limit: int) -> int:
        if self.machines is not None and len(self.machines) > 1 and not self.text and self._machine_is_rarer():
            sql, args = self._distinct(self.low, self.high)
            sql = f"{sql} LIMIT {limit:d}"
        else:
            sql, args = self._sql(self.low, self.high, limit, "DESC")
        return int(_run(f"SELECT COUNT(*) FROM ({sql}) AS counted", args)[0][0])

    def explain(self) -> list[str]:
        sql, args = self._sql(self.low, self.high, 50, "DESC")
        word = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN (ANALYZE)"
        return [str(row[-1]) for row in _run(f"{word} {sql}", args)]

    def _sql(self, low: int, high: int, limit: int, order: str) -> Part:
        if self.text:
            return self._by_text(low, high, limit, order)
        if self.machines is not None and self._machine_is_rarer():
            if len(self.machines) <= WALKS:
                return self._by_machine(low, high, limit, order)
            if self._targets_at_most(SORTED) <= SORTED:
                return self._sorted(low, high, limit, order)
        return self._by_facets(low, high, limit, order)

    def _by_facets(self, low: int, high: int, limit: int, order: str) -> Part:
        """One walk for each combination of values, each in the order of ids; then the first of all of them."""
        columns = tuple(name for name, _values in self.facets)
        hint = _indexed_by(_INDEXES[columns]) if columns else ""
        machine = self._on_machines()
        same = "".join(f"j.{name} = %s AND " for name in columns)
        walk = (
            f"SELECT j.id FROM jobs_job AS j{hint} WHERE {same}j.id BETWEEN %s AND %s"
            f"{self.time[0]}{machine[0]} ORDER BY j.id {order} LIMIT {limit:d}"
        )
        args = [
            [*values, low, high, *self.time[1], *machine[1]] for values in product(*(v for _name, v in self.facets))
        ]
        if len(args) == 1:
            return walk, args[0]
        every = " UNION ALL ".join(f"SELECT id FROM ({walk}) AS w{number:d}" for number in range(len(args)))
        flat = [value for each in args for value in each]
        return f"SELECT id FROM ({every}) AS w ORDER BY id {order} LIMIT {limit:d}", flat

    def _by_machine(self, low: int, high: int, limit: int, order: str) -> Part:
        """The machines' jobs, those of each in the order of ids, held against the other filters."""
        assert self.machines is not None
        where, args = self._of_targets(low, high)
        walk = (
            f"SELECT t.job_id AS id FROM jobs_job_machines AS t{_indexed_by('jobs_of_machine')} "
            f"WHERE t.machine_id = %s AND {where} ORDER BY t.job_id {order} LIMIT {limit:d}"
        )
        if len(self.machines) == 1:
            return walk, [self.machines[0], *args]
        every = " UNION ALL ".join(f"SELECT id FROM ({walk}) AS w{number:d}" for number in range(len(self.machines)))
        flat = [value for machine in self.machines for value in (machine, *args)]
        # A job on several of them is one job.
        return f"SELECT DISTINCT id FROM ({every}) AS w ORDER BY id {order} LIMIT {limit:d}", flat

    def _sorted(self, low: int, high: int, limit: int, order: str) -> Part:
        """Jobs of several machines, all of them put in order.

        Not in one statement with the machines: SQLite 3.40 then loses rows where its figures of the table are those of
        a smaller one (it leaves a machine at the first job that is below the limit, in the midst of a ``SeekScan``).
        """
        sql, args = self._distinct(low, high)
        return f"SELECT id FROM ({sql}) AS every ORDER BY id {order} LIMIT {limit:d}", args

    def _distinct(self, low: int, high: int) -> Part:
        """Jobs of several machines, each once, in no order."""
        assert self.machines is not None
        where, args = self._of_targets(low, high)
        marks = ", ".join(["%s"] * len(self.machines))
        return (
            f"SELECT DISTINCT t.job_id AS id FROM jobs_job_machines AS t{_indexed_by('jobs_of_machine')} "
            f"WHERE t.machine_id IN ({marks}) AND {where}",
            [*self.machines, *args],
        )

    def _of_targets(self, low: int, high: int) -> Part:
        """What a row of the table of targets has to be, its machine apart."""
        matches: Part = ("", [])
        if self.facets:
            hint = _indexed_by(_INDEXES[tuple(name for name, _values in self.facets)])
            inside, args = self._inside()
            matches = (f" AND EXISTS (SELECT 1 FROM jobs_job AS j{hint} WHERE j.id = t.job_id{inside})", args)
        time = self.time[0].replace("j.id", "t.job_id")
        return f"t.job_id BETWEEN %s AND %s{time}{matches[0]}", [low, high, *self.time[1], *matches[1]]

    def _on_machines(self) -> Part:
        """That a job ``j`` works on one of the machines."""
        if self.machines is None:
            return "", []
        if len(self.machines) == 1:
            one = "m.machine_id = %s"
        else:
            # The sum keeps the database from looking for each machine in turn: a job has few, a label has many.
            one = f"m.machine_id + 0 IN ({', '.join(['%s'] * len(self.machines))})"
        return (
            f" AND EXISTS (SELECT 1 FROM jobs_job_machines m WHERE m.job_id = j.id AND {one})",
            list(self.machines),
        )

    def _by_text(self, low: int, high: int, limit: int, order: str) -> Part:
        """The jobs that have a cause, out of an index that holds no others."""
        inside, args = self._inside()
        machine = self._on_machines()
        escaped = self.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return (
            f"SELECT j.id FROM jobs_job AS j{_indexed_by('job_cause')} WHERE NOT (j.cause = '') "
            f"AND j.id BETWEEN %s AND %s{inside} AND j.cause LIKE LOWER(%s) ESCAPE '\\'"
            f"{self.time[0]}{machine[0]} ORDER BY j.id {order} LIMIT {limit:d}",
            [low, high, *args, f"%{escaped}%", *self.time[1], *machine[1]],
        )

    def _inside(self) -> Part:
        sql = "".join(f" AND j.{name} IN ({', '.join(['%s'] * len(values))})" for name, values in self.facets)
        return sql, [value for _name, values in self.facets for value in values]

    def _machine_is_rarer(self) -> bool:
        """Whether to walk the machines' jobs: there are fewer of them than the other filters leave."""
        assert self.machines is not None
        if not self.facets:
            return True
        mine = self._targets_at_most(_COMPARED)
        rest = _Statement(self.facets, "", None, self.low, self.high, ("", []))
        return mine <= rest.count(mine + 1)

    def _targets_at_most(self, bound: int) -> int:
        """How often the machines are targets of a job, counted until there are more than ``bound``."""
        assert self.machines is not None
        marks = ", ".join(["%s"] * len(self.machines))
        sql = (
            f"SELECT COUNT(*) FROM (SELECT 1 FROM jobs_job_machines WHERE machine_id IN ({marks}) "
            f"AND job_id BETWEEN %s AND %s LIMIT {bound + 1:d}) AS counted"
        )
        return int(_run(sql, [*self.machines, self.low, self.high])[0][0])


def _machines(name: str, label: str) -> tuple[int, ...]:
    """The machines of that name, with that label. Labels are JSON: no database of ours has an index for them."""
    found = Machine.objects.filter(name=name) if name else Machine.objects.all()
    return tuple(pk for pk, labels in found.order_by("pk").values_list("pk", "labels") if not label or label in labels)


def _span(since: datetime | None, until: datetime | None) -> tuple[int, int, Part]:
    """The ids between which the jobs of a time lie, and the exact condition for the few at its edges.

    Of two jobs the one with the lower id was created at most ``_SLACK`` later, so a job that is older than a time by
    that much has no younger one below it.
    """
    if since is None and until is None:
        return 0, _END, ("", [])
    by_time = Job.objects.order_by("created_at").values_list("pk", flat=True)
    low, high, sure_low, sure_high = 0, _END, 0, _END
    if since is not None:
        low = by_time.filter(created_at__lt=_before(since)).last() or 0
        sure_low = by_time.filter(created_at__gte=_after(since)).first() or _END
    if until is not None:
        high = by_time.filter(created_at__gte=_after(until)).first() or _END
        sure_high = by_time.filter(created_at__lt=_before(until)).last() or 0
    exact, args = _moments(since, until)
    edges: list[tuple[int, int]] = [(low, min(sure_low, high))] if since is not None else []
    edges += [(max(sure_high, low), high)] if until is not None else []
    # Rows are read only at the edges, where the ids don't settle it: the other filters' indexes have no time.
    # By the ids, not by the time, which is also open towards the other end.
    hint = " NOT INDEXED" if connection.vendor == "sqlite" else ""
    one = f"SELECT e.id FROM jobs_job AS e{hint} WHERE e.id BETWEEN %s AND %s AND {exact}"
    at_edge = " UNION ALL ".join([one] * len(edges))
    values = [value for edge in edges for value in (*edge, *args)]
    return low, high, (f" AND (j.id BETWEEN %s AND %s OR j.id IN ({at_edge}))", [sure_low, sure_high, *values])


def _before(moment: datetime) -> datetime:
    """``_SLACK`` earlier, or the first moment that there is."""
    first = datetime.min.replace(tzinfo=UTC)
    return moment - _SLACK if moment > first + _SLACK else first


def _after(moment: datetime) -> datetime:
    last = datetime.max.replace(tzinfo=UTC)
    return moment + _SLACK if moment < last - _SLACK else last


def _moments(since: datetime | None, until: datetime | None) -> Part:
    given = [(sign, moment) for sign, moment in ((">=", since), ("<", until)) if moment is not None]
    return (
        " AND ".join(f"created_at {sign} %s" for sign, _moment in given),
        [connection.ops.adapt_datetimefield_value(moment) for _sign, moment in given],
    )


def _count_of_time(since: datetime | None, until: datetime | None, limit: int) -> int:
    """By the index of the time alone, or by whichever is the smallest: the rows with their plans stay unread."""
    exact, args = _moments(since, until)
    where = f" WHERE {exact}" if exact else ""
    sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM jobs_job{where} LIMIT {limit:d}) AS counted"
    return int(_run(sql, args)[0][0])


def _indexed_by(name: str) -> str:
    return f" INDEXED BY {name}" if connection.vendor == "sqlite" else ""


def _run(sql: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall()
