"""Maintenance windows and freezes: a job that changes machines begins only when all of them are open.

It is about beginning: what has begun goes on, over the end of a window and into a freeze, unless the window says that a
job must be expected to end inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from jobs.admission.models import Urgency, Window
from jobs.admission.obstacle import Obstacle
from jobs.admission.spans import Span, Weekly, both, first_in, union, without
from jobs.models import Job
from jobs.options import Options
from jobs.planning import forecast

HORIZON = timedelta(days=14)
# A waiting job names no more of them.
NAMED = 5


@dataclass(frozen=True)
class Opening:
    """When a set of machines can be changed. ``at`` is ``None`` when not within ``HORIZON``.

    ``closed`` are the names of machines that are closed now, ``windows`` the names of what closes them. ``unknown``: a
    window wants the job to end inside, and nothing says how long it takes.
    """

    at: datetime | None
    closed: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    unknown: bool = False


def closed(job: Job) -> Obstacle | None:
    """The windows that keep a job from beginning now."""
    if not job.mutates:
        return None
    windows = list(Window.objects.all())
    if not windows:
        return None
    machines = list(job.machines.values_list("name", "site", "labels"))
    now = timezone.now()
    takes = expected(job) if any(window.must_end_inside for window in windows) else None
    found = opening(windows, machines, now, takes)
    if found.at == now or Urgency.objects.filter(job=job).exists():
        return None
    values = {
        "machines": list(found.closed[:NAMED]),
        "closed": len(found.closed),
        "windows": list(found.windows[:NAMED]),
        "unknown": found.unknown,
        "days": HORIZON.days,
    }
    return Obstacle("window", until=found.at, values=values)


def opening(
    windows: Sequence[Window],
    machines: Iterable[tuple[str, str, list[str]]],
    now: datetime,
    takes: timedelta | None,
) -> Opening:
    """When all machines (name, site, labels) are open at once, from ``now`` on. ``takes``: how long the job will."""
    groups = _groups(windows, machines)
    groups.pop((), None)
    everywhere: list[Span] = [(now, now + HORIZON)]
    shut: list[str] = []
    by: dict[str, None] = {}
    for mine, names in groups.items():
        spans = _begin_spans([windows[number] for number in mine], now, takes)
        if first_in(spans, now) != now:
            shut += names
            by.update(
                dict.fromkeys(windows[number].name for number in mine if not _is_open(windows[number], now, takes))
            )
        everywhere = both(everywhere, spans)
    at = first_in(everywhere, now)
    unknown = takes is None and any(windows[number].must_end_inside for mine in groups for number in mine)
    if at == now:
        return Opening(now)
    return Opening(at, tuple(sorted(shut)), tuple(by), unknown)


def open_now(windows: Sequence[Window], machines: Iterable[tuple[str, str, list[str]]], now: datetime) -> int:
    """On how many of these machines a job that takes no time may begin now."""
    return sum(
        len(names)
        for mine, names in _groups(windows, machines).items()
        if first_in(_begin_spans([windows[number] for number in mine], now, timedelta()), now) == now
    )


def _groups(
    windows: Sequence[Window], machines: Iterable[tuple[str, str, list[str]]]
) -> dict[tuple[int, ...], list[str]]:
    """Machines by the windows that are about them, as places in ``windows``: each group is open at the same times."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, site, labels in machines:
        mine = tuple(number for number, window in enumerate(windows) if concerns(window, site, labels))
        groups.setdefault(mine, []).append(name)
    return groups


def concerns(window: Window, site: str, labels: Sequence[str]) -> bool:
    """Whether a window is about a machine."""
    return window.site in ("", site) and (not window.label or window.label in labels)


def _begin_spans(windows: Sequence[Window], now: datetime, takes: timedelta | None) -> list[Span]:
    """When a job may begin on a machine that these windows are about."""
    whole: list[Span] = [(now, now + HORIZON)]
    maintenance = [window for window in windows if window.kind == Window.Kind.OPEN]
    spans = union(span for window in maintenance for span in _spans(window, now, takes)) if maintenance else whole
    freezes = [_frozen(window) for window in windows if window.kind == Window.Kind.FREEZE]
    return both(without(spans, freezes), whole)


def _spans(window: Window, now: datetime, takes: timedelta | None) -> list[Span]:
    """When a job may begin in a maintenance window."""
    assert window.begins is not None and window.ends is not None
    weekly = Weekly(frozenset(window.weekdays), window.begins, window.ends, ZoneInfo(window.zone))
    spans = weekly.spans(now, now + HORIZON)
    if not window.must_end_inside:
        return spans
    if takes is None:
        return []
    return [(begin, end - takes) for begin, end in spans if begin < end - takes]


def _frozen(window: Window) -> Span:
    assert window.starts_at is not None and window.stops_at is not None
    return window.starts_at, window.stops_at


def _is_open(window: Window, now: datetime, takes: timedelta | None) -> bool:
    if window.kind == Window.Kind.FREEZE:
        begin, end = _frozen(window)
        return not begin <= now < end
    return first_in(_spans(window, now, takes), now) == now


def expected(job: Job) -> timedelta | None:
    """How long a job takes: its own time limit, or what nine in ten took; ``None`` with a step never run before."""
    limits = Options.from_json(job.options)
    if limits.timeout_s is not None:
        return timedelta(seconds=limits.timeout_s)
    foreseen = forecast.of_plan(job.kind, job.plan, limits.parallel)
    if foreseen.total is None or foreseen.unknown:
        return None
    return timedelta(seconds=foreseen.total.p90_s)
