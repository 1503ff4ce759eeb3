"""The remedy of an alert as pages show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from hardware.telemetry.alerts.models import Alert
from jobs import registry
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.pages import figures, forms
from jobs.pages.causes import cause
from jobs.remedies.models import Remedy
from jobs.remedies.services import proposal
from jobs.states import ENDED, JobState

# Alerts that one job is for, and that an address names.
MOST = 200


@dataclass
class ShownJob:
    """``did`` says what a job that has ended did, and ``then`` whether the alert ended."""

    job: Job
    actor: str
    did: str = ""
    then: str = ""
    figures: list[figures.Figure] = field(default_factory=list)

    @property
    def under_way(self) -> bool:
        return self.job.state not in ENDED


@dataclass
class ShownRemedy:
    """``title`` is the kind's; ``address`` leads to its plan, empty while that is not to be launched."""

    alert: Alert
    title: str = ""
    address: str = ""
    refusal: str = ""
    jobs: list[ShownJob] = field(default_factory=list)


def of_alert(alert: Alert) -> ShownRemedy:
    """What would mend it, and what was tried."""
    rows = Remedy.objects.filter(alert=alert).select_related("job").defer("job__traceback")
    made = ShownRemedy(alert, jobs=[_job(row, alert) for row in rows])
    try:
        wanted = proposal(alert)
    except PlanRefused as refused:
        made.refusal = cause(refused.cause)
        return made
    if wanted is None:
        return made
    made.title = str(registry.get(wanted.kind).title)
    if alert.state == Alert.State.OPEN and not any(one.under_way for one in made.jobs):
        query = {"kind": wanted.kind, "alert": alert.pk, "machine": [machine.name for machine in wanted.machines]}
        made.address = f"{reverse('job-new')}?{urlencode(query | forms.query(wanted.params), doseq=True)}"
    return made


def of_job(job: Job) -> list[Alert]:
    """The alerts that a job was launched for."""
    rows = Remedy.objects.filter(job=job).select_related("alert__rule", "alert__machine").order_by("alert")
    return [row.alert for row in rows[:MOST]]


def named(data: QueryDict) -> list[Alert]:
    """The alerts that the New job page is opened for."""
    asked = [int(text) for text in data.getlist("alert")[:MOST] if text.isascii() and text.isdigit() and len(text) < 19]
    return list(Alert.objects.select_related("rule", "machine").filter(pk__in=asked).order_by("pk")) if asked else []


def _job(row: Remedy, alert: Alert) -> ShownJob:
    made = ShownJob(row.job, row.actor)
    if made.under_way:
        return made
    if row.job.state == JobState.SUCCEEDED:
        notes = "; ".join(str(note) for note in row.job.plan.get("notes", ()))
        made.did = _("It was carried out: %(what)s.") % {"what": notes} if notes else _("It was carried out.")
        made.figures = figures.of_result(row.job.result).figures
    else:
        made.did = cause(str(row.job.failure.get("cause", ""))) or _("It was not carried out to its end.")
    made.then = _outcome(alert, row.job)
    return made


def _outcome(alert: Alert, job: Job) -> str:
    if alert.ended_at is None:
        return _("The alert is still open.")
    if job.started_at is not None and alert.ended_at < job.started_at:
        return _("The alert had ended before it began.")
    return _("The alert ended.")
