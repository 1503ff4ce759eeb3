"""What went wrong in a job: once for each cause, with the machines that share it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from jobs.models import Job, JobStep
from jobs.pages import causes, forms, wording
from jobs.pages.grid import BROKEN
from jobs.pages.steps import Step, clock
from jobs.states import StepState

# Causes that a page tells one by one, and names that an address carries.
MOST, NAMES = 5, 40


@dataclass
class Fault:
    """One failed step and all the machines it failed on in the same way."""

    machines: list[str | None]
    title: str
    step: JobStep
    what: str
    cause: str
    mend: str
    code: str
    tried: list[str]
    retry_url: str = ""


@dataclass
class Faults:
    """``more`` causes are not told, on ``others`` machines."""

    told: list[Fault]
    more: int = 0
    others: int = 0


def of(job: Job, steps: list[Step]) -> Faults:
    """The faults of a job; of many causes those that most machines share."""
    if not any(step.state in BROKEN for step in steps):
        return Faults([])
    found: dict[tuple[str, str, str], Fault] = {}
    rows = JobStep.objects.filter(job=job, state__in=BROKEN).select_related("machine").defer("machine__facts", "action")
    for row in rows:
        if not row.failure:
            continue
        name = row.machine.name if row.machine else None
        # The cause names the machine it speaks of; without its name the causes of several can be the same.
        kind = row.failure["cause"].replace(name or "\0", "")
        made = found.get((row.key, row.failure["code"], kind))
        if made is not None:
            made.machines.append(name)
            continue
        found[row.key, row.failure["code"], kind] = Fault(
            machines=[name],
            title=wording.title(row.title),
            step=row,
            what=_what(row),
            cause=causes.cause(row.failure["cause"]),
            mend=causes.mend(row.failure["mend"]),
            code=row.failure["code"],
            tried=[],
        )
    told = list(found.values())
    if len(told) > MOST:
        told.sort(key=lambda fault: -len(fault.machines))
    rest = told[MOST:]
    for fault in told[:MOST]:
        fault.tried = _tried(job, fault.step, steps)
        fault.retry_url = _retry_url(job, fault)
    return Faults(told[:MOST], len(rest), sum(len(fault.machines) for fault in rest))


def _retry_url(job: Job, fault: Fault) -> str:
    names = [name for name in fault.machines if name] or [machine.name for machine in job.machines.all()]
    if len(names) > NAMES:
        return f"{reverse('job-new')}?{urlencode({'retry_of': job.pk, 'machines': 'failed'})}"
    query = {"kind": job.kind, "machine": names} | forms.query(job.params) | {"retry_of": job.pk}
    return f"{reverse('job-new')}?{urlencode(query, doseq=True)}"


def _what(step: JobStep) -> str:
    names = {"number": step.position + 1, "title": wording.title(step.title)}
    took = clock(step.ended_at - step.started_at) if step.started_at and step.ended_at else ""
    if step.exit_status is not None and took:
        ended = {"status": step.exit_status, "time": took}
        return _("Step %(number)s, %(title)s, ended with exit code %(status)s after %(time)s.") % (names | ended)
    if step.state == StepState.INTERRUPTED:
        return _("Step %(number)s, %(title)s, was cut by a restart of the machine.") % names
    return _("Step %(number)s, %(title)s, did not end as it must.") % names


def _tried(job: Job, step: JobStep, steps: list[Step]) -> list[str]:
    """What the console did about it, and what it left as it is."""
    lane = [other for other in steps if (other.stage, other.lane) == (step.stage, step.lane)]
    said = []
    if job.attempt > 1:
        said.append(
            _("The job was taken over %(count)s times; nothing was started twice.") % {"count": job.attempt - 1}
        )
    undone = [other for other in lane if other.compensates]
    for other in undone:
        said.append(f"{wording.title(other.title)}: {StepState(other.state).label}.")
    done = [other for other in lane if other.state == StepState.SUCCEEDED and not other.compensates]
    kept = [wording.title(other.title) for other in done]
    if kept:
        said.append(_("Done before and kept: %(steps)s.") % {"steps": "; ".join(kept)})
    if not undone:
        said.append(_("It was not tried again by itself, and nothing was taken back."))
    return said
