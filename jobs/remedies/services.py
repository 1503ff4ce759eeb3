"""What can be done with the remedy of an alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hardware.events import announce, audit
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.telemetry.alerts import remedies
from hardware.telemetry.alerts.models import Alert
from jobs import registry
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.planning import dryrun
from jobs.remedies.filling import fill
from jobs.remedies.models import Remedy
from jobs.services import launch
from jobs.states import ENDED


@dataclass(frozen=True)
class Proposal:
    """The job that would mend an alert: what ``plan`` and ``launch`` take."""

    kind: str
    params: dict[str, Any]
    machines: list[Machine]


def proposal(alert: Alert) -> Proposal | None:
    """``None`` when its rule names none, or a kind that this console does not have. Raises ``PlanRefused``."""
    said = remedies.of(alert)
    kind = registry.all_kinds().get(str(said.get("kind", "")))
    if kind is None:
        return None
    machines = [] if kind.targets == "none" else [alert.machine]
    return Proposal(kind.slug, fill(said.get("params", {}), alert), machines)


def plan_of(alert: Alert) -> dict[str, Any]:
    """The dry run of the remedy. Raises ``PlanRefused``."""
    wanted = _required(alert)
    return dryrun.of_request(wanted.kind, wanted.params, wanted.machines)


def run(
    alert: Alert,
    *,
    actor: str,
    approved_hash: str = "",
    propose: bool = False,
    seen: Mapping[str, Facts] | None = None,
) -> Job:
    """Launch the remedy. With ``approved_hash`` only that very plan is run; ``seen`` is as for ``launch``.

    Raises ``PlanRefused``.
    """
    wanted = _required(alert)
    check(alert)
    return launch(
        wanted.kind,
        wanted.params,
        wanted.machines,
        actor=actor,
        approved_hash=approved_hash,
        propose=propose,
        arrange=link(alert, actor=actor),
        seen=seen,
    )


def check(alert: Alert) -> None:
    """Raises ``PlanRefused`` when the alert is over, or its remedy is under way."""
    if alert.state == Alert.State.ENDED:
        raise PlanRefused(
            "alert-ended", f"Alert {alert.pk} has ended.", "Launch the job by itself if it is still wanted.", "alert"
        )
    under_way = Remedy.objects.filter(alert=alert).exclude(job__state__in=ENDED).first()
    if under_way is not None:
        raise PlanRefused(
            "remedy-under-way",
            f"Job {under_way.job_id} is mending alert {alert.pk} already.",
            "Wait for its end, or cancel it.",
            "alert",
        )


def link(*alerts: Alert, actor: str) -> Callable[[Job], None]:
    """What to do with the job in the transaction that stores it: note which alerts it is for.

    Of several alerts those that are over, or that another job is mending, are left out.
    """

    def arrange(job: Job) -> None:
        # Of two launches at the same time the second finds what the first has stored.
        rows = Alert.objects.select_for_update(of=("self",)).select_related("rule", "machine")
        for held in rows.filter(pk__in=[alert.pk for alert in alerts]).order_by("pk"):
            try:
                check(held)
            except PlanRefused:
                if len(alerts) == 1:
                    raise
                continue
            Remedy.objects.create(alert=held, job=job, actor=actor)
            target = f"machine:{held.machine.name}"
            audit("alert.remedy", target, actor=actor, alert=held.pk, job=job.pk, kind=job.kind)
            announce("fleet", "alert", alert=held.pk)

    return arrange


def _required(alert: Alert) -> Proposal:
    wanted = proposal(alert)
    if wanted is None:
        raise PlanRefused(
            "no-remedy", f"The rule {alert.rule.slug} names no job that mends it.", "Do what its advice says.", "alert"
        )
    return wanted
