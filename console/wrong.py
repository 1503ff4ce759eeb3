"""What is wrong now, worst first, grouped by cause, each with the one button that mends it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis import RedisError

from console.fleetmap import Site
from console.health import served
from console.notifications.models import Delivery
from hardware.inventory.standing import Row, Standing, new_job
from hardware.telemetry.alerts.finding import open_now, told_of
from hardware.telemetry.alerts.grouping import lines
from hardware.telemetry.alerts.models import Alert, Rule
from jobs import registry
from jobs.models import Job
from jobs.pages.causes import cause
from jobs.states import HELD, UNSTARTED, JobState

RECENT = timedelta(hours=24)
# A worker takes a job at once; one that is just being started needs some seconds.
SOON = timedelta(seconds=30)
# Rule -> codes of preflight that say the same of a machine.
_SAME = {
    "npu-health": ("npus-healthy",),
    "chip-lost": ("npus-on-bus",),
    "versions-differ": ("driver-firmware",),
    "disk-nearly-full": ("free-space",),
}
BAD_ENDS = (JobState.FAILED, JobState.ERRORED, JobState.INTERRUPTED)
NAMED = 6


@dataclass
class Trouble:
    """One cause. ``state`` is that of its chip; ``rank`` orders them, worst first."""

    rank: int
    state: str
    title: str
    why: str = ""
    machines: list[str] = field(default_factory=list)
    since: datetime | None = None
    button: str = ""
    url: str = ""

    @property
    def names(self) -> str:
        rest = len(self.machines) - NAMED
        return ", ".join(self.machines[:NAMED]) + (_(" and %(n)s more") % {"n": rest} if rest > 0 else "")


def troubles(fleet: Iterable[Standing], sites: Iterable[Site]) -> list[Trouble]:
    """``sites`` are the same machines with what their NPUs read last."""
    machines = list(fleet)
    alerts, _silent = told_of(open_now())
    found = [
        *_contact(machines), *_preflight(machines), *_alerts(machines, alerts), *_readings(sites, alerts), *_jobs(),
        *_untold(), *_unserved(),
    ]  # fmt: skip
    return sorted(found, key=lambda trouble: (trouble.rank, trouble.state != "failed", str(trouble.title)))


def _contact(machines: list[Standing]) -> Iterable[Trouble]:
    silent: dict[str, list[Standing]] = {}
    new: list[str] = []
    unprobed: list[str] = []
    for standing in machines:
        machine, state = standing.machine, standing.state
        page = reverse("machine", args=[machine.name])
        if state == "blocked":
            yield Trouble(
                0, "blocked", _("%(machine)s offers another host key") % {"machine": machine.name},
                _("Nothing logs in there until a person confirms a key again."), [machine.name],
                button=_("Compare the keys"), url=page,
            )  # fmt: skip
        elif state == "silent":
            silent.setdefault(machine.trouble.get("code", ""), []).append(standing)
        elif state == "new":
            new.append(machine.name)
        elif state == "unprobed":
            unprobed.append(machine.name)
    for group in silent.values():
        names = [standing.machine.name for standing in group]
        why = group[0].trouble_cause if len(group) == 1 else group[0].trouble_mend
        yield Trouble(
            1, "silent", group[0].trouble_title, why, names, button=_("Look at it"), url=_page_of(names, "silent")
        )
    if new:
        title = ngettext(
            "%(n)s machine waits for its fingerprint", "%(n)s machines wait for their fingerprints", len(new)
        )
        why = _("Nothing logs in to a machine before a person has compared it.")
        yield Trouble(
            4, "new", title % {"n": len(new)}, why, new, button=_("Compare the fingerprint"), url=_page_of(new, "new")
        )
    if unprobed:
        title = ngettext("%(n)s machine was never probed", "%(n)s machines were never probed", len(unprobed))
        yield Trouble(
            5, "unprobed", title % {"n": len(unprobed)}, "", unprobed, button=_("Look at it"),
            url=_page_of(unprobed, "unprobed"),
        )  # fmt: skip


def _page_of(names: list[str], state: str) -> str:
    return reverse("machine", args=names) if len(names) == 1 else f"{reverse('machines')}?state={state}"


def _preflight(machines: list[Standing]) -> Iterable[Trouble]:
    groups: dict[str, list[Row]] = {}
    for standing in machines:
        if standing.state == "attention":
            first_things = [row for row in standing.blocks if row.code != "npus-healthy"]
            for row in standing.rows:
                # A driver can't be installed before what blocks it is mended: one thing after the other.
                if row.code == "npus-healthy" and first_things:
                    continue
                if row.severity == "block" or (row.code, row.severity) == ("npus-healthy", "warn"):
                    shared = json.dumps(
                        [row.code, row.severity, row.case, row.mend and [row.mend.kind, row.mend.params]]
                    )
                    groups.setdefault(shared, []).append(row)
    at_work = _at_work()
    for rows in groups.values():
        first, names = rows[0], [row.machine for row in rows]
        mender = {at_work.get((first.mend.kind, name)) for name in names} if first.mend else {None}
        if len(mender) == 1 and (pk := mender.pop()):
            why = _("Job %(id)s is mending it now.") % {"id": pk}
            yield Trouble(3, "warning", first.cause, why, names, button=_("Look at the job"), url=link("job", pk))
            continue
        url = new_job(first.mend.kind, names, **first.mend.params) if first.mend else ""
        # A missing driver is what a bare machine looks like: not a failure, the next thing to do.
        bare = (first.code, first.severity, first.case) == ("npus-healthy", "block", "")
        yield Trouble(
            3 if bare else 2,
            "warning" if bare or first.severity == "warn" else "failed",
            first.cause,
            first.reason if len(names) == 1 else "",
            names,
            button=first.button or _("Look at it"),
            url=url or _page_of(names, "attention"),
        )


def _alerts(machines: list[Standing], alerts: list[Alert]) -> Iterable[Trouble]:
    """One line a rule; without what contact or preflight says of the same machine already."""
    by_name = {standing.machine.name: standing for standing in machines}
    for line in lines([alert for alert in alerts if not _said_already(alert, by_name.get(alert.machine.name))]):
        kind = registry.all_kinds().get(line.remedy.get("kind", ""))
        mends = kind is not None and bool(line.plan_url)
        page = link("alert", line.alerts[0].pk) if len(line.alerts) == 1 else link("alerts")
        grave = line.rule.severity == Rule.Severity.CRITICAL
        yield Trouble(
            # What somebody has acknowledged comes after what nobody has.
            (1 if grave else 2) if line.unacknowledged else 3,
            "failed" if grave else "warning",
            line.title,
            next((reason.what for reason in line.known), "") or line.cause,
            line.machines,
            line.since,
            _("Look at the plan") if mends else _("Look at the alerts"),
            line.plan_url if mends else page,
        )


def _said_already(alert: Alert, standing: Standing | None) -> bool:
    if standing is None:
        return False
    slug = alert.rule.slug
    if slug == "machine-silent":
        return standing.state in ("silent", "blocked")
    codes = _SAME.get(slug, ())
    if standing.state != "attention" or not codes:
        return False
    return any(
        row.code in codes
        for row in (*standing.blocks, *standing.warns)
        if row.severity == "block" or row.code == "npus-healthy"
    )


def _readings(sites: Iterable[Site], alerts: list[Alert]) -> Iterable[Trouble]:
    """NPUs that say now that they are ill, where neither the last probe nor an alert says it yet."""
    told = {alert.machine.name for alert in alerts if alert.rule.slug == "npu-health"}
    for row in (row for site in sites for row in site.rows if row.name not in told):
        ill = [cell for cell in row.cells if cell.bad and cell.load is not None]
        if ill and row.standing.state == "ready":
            worst = "failed" if any(cell.health == "failed" for cell in ill) else "warning"
            why = "; ".join(cell.words for cell in ill[:3])
            page = reverse("machine", args=[row.name]) + "#npus"
            title = ngettext("%(n)s NPU is not healthy", "%(n)s NPUs are not healthy", len(ill)) % {"n": len(ill)}
            yield Trouble(2, worst, title, why, [row.name], button=_("Look at it"), url=page)


def _unserved() -> Iterable[Trouble]:
    """Jobs that no worker takes: nothing will happen to them before a person starts one."""
    queued = Job.objects.filter(state=JobState.QUEUED, created_at__lt=timezone.now() - SOON).order_by("created_at")
    oldest = queued.defer("plan").first()
    if oldest is None:
        return
    try:
        queues = [queue for queue, has_worker in served().items() if not has_worker]
        why = _("No worker takes jobs of: %(queues)s. Start one; nothing is lost.") % {"queues": ", ".join(queues)}
        queued = queued.filter(queue__in=queues)
    except RedisError:
        why = _("Redis does not answer, so no worker is told of them. Start it again; nothing is lost.")
    if count := queued.count():
        title = ngettext("%(n)s job waits for a worker", "%(n)s jobs wait for a worker", count) % {"n": count}
        page = f"{reverse('jobs')}?state={JobState.QUEUED}"
        yield Trouble(0, "failed", title, why, since=oldest.created_at, button=_("Look at them"), url=page)


def _untold() -> Iterable[Trouble]:
    """News that nobody took: whoever relies on them must not believe that all is well."""
    dead = Delivery.objects.filter(state=Delivery.State.DEAD)
    if count := dead.count():
        title = ngettext("%(n)s notification was not delivered", "%(n)s notifications were not delivered", count)
        names = sorted(set(dead.values_list("destination__name", flat=True)))
        yield Trouble(
            2, "failed", title % {"n": count}, ", ".join(names[:NAMED]), since=dead.last().created_at,  # type: ignore[union-attr]
            button=_("Look at them"), url=link("notifications"),
        )  # fmt: skip


def _at_work() -> dict[tuple[str, str], int]:
    """(kind, machine) -> the job of that kind that has not ended there."""
    jobs = Job.objects.filter(state__in=(*UNSTARTED, *HELD)).values_list("kind", "machines__name", "pk")
    return {(kind, name): pk for kind, name, pk in jobs if name}


def _jobs() -> Iterable[Trouble]:
    by_time = Job.objects.filter(created_at__gte=timezone.now() - RECENT).order_by("-created_at")
    recent = list(by_time.prefetch_related("machines")[:200])
    mended: set[tuple[str, str]] = set()
    for job in recent:  # newest first: what went well later has mended what went wrong before
        places = {(job.kind, machine.name) for machine in job.machines.all()} or {(job.kind, "")}
        if job.state == JobState.SUCCEEDED:
            mended |= places
        elif job.state in BAD_ENDS and not places <= mended:
            mended |= places
            yield Trouble(
                1 if job.state == JobState.ERRORED else 2,
                str(job.state),
                _("%(kind)s, job %(id)s") % {"kind": title(job), "id": job.pk},
                cause(job.failure.get("cause", "")),
                sorted(machine.name for machine in job.machines.all()),
                job.ended_at,
                _("Look at the job"),
                link("job", job.pk),
            )


def title(job: Job) -> Any:
    """The title of a job's kind; the slug of one that is gone."""
    kind = registry.all_kinds().get(job.kind)
    return kind.title if kind else job.kind


def link(name: str, *arguments: object) -> str:
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""
