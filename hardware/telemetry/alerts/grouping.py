"""Alerts as pages show them: those of one rule together, so that a rack that overheats is one line and not 64."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hardware.inventory.standing import new_job
from hardware.telemetry.alerts import remedies, wording
from hardware.telemetry.alerts.models import Alert, Rule

NAMED = 8
LISTED = 100


@dataclass
class Line:
    """Open alerts of one rule."""

    rule: Rule
    alerts: list[Alert] = field(default_factory=list)

    @property
    def title(self) -> str:
        return wording.said(self.rule.title)

    @property
    def cause(self) -> str:
        return wording.said(self.rule.cause)

    @property
    def advice(self) -> str:
        return wording.said(self.rule.advice)

    @property
    def state(self) -> str:
        return wording.chip_state(self.rule)

    @property
    def severity(self) -> str:
        return wording.severity(self.rule.severity)

    @property
    def since(self) -> datetime:
        return min(alert.since for alert in self.alerts)

    @property
    def machines(self) -> list[str]:
        return list(dict.fromkeys(alert.machine.name for alert in self.alerts))

    @property
    def named(self) -> list[str]:
        return self.machines[:NAMED]

    @property
    def more(self) -> int:
        return max(0, len(self.machines) - NAMED)

    @property
    def sites(self) -> list[str]:
        return sorted({alert.machine.site for alert in self.alerts if alert.machine.site})

    @property
    def npus(self) -> int:
        return sum(1 for alert in self.alerts if alert.npu)

    @property
    def listed(self) -> list[Alert]:
        return self.alerts[:LISTED]

    @property
    def unlisted(self) -> int:
        return max(0, len(self.alerts) - LISTED)

    @property
    def known(self) -> list[wording.Reason]:
        """What is known of all of them, each said once."""
        found = {reason.what: reason for alert in self.listed for reason in wording.reasons(alert.values)}
        return list(found.values())[:5]

    @property
    def unacknowledged(self) -> int:
        return sum(1 for alert in self.alerts if alert.acknowledged_at is None)

    @property
    def acknowledged_by(self) -> list[str]:
        return sorted({alert.acknowledged_by for alert in self.alerts if alert.acknowledged_by})

    @property
    def remedy(self) -> dict[str, Any]:
        return remedies.of(self.alerts[0])

    @property
    def plan_url(self) -> str:
        """Where the remedy's plan for all of these machines is shown; empty without one."""
        return plan_url(self.alerts)


def lines(alerts: list[Alert]) -> list[Line]:
    """In the order in which the first of each rule comes."""
    made: dict[int, Line] = {}
    for alert in alerts:
        made.setdefault(alert.rule_id, Line(alert.rule)).alerts.append(alert)
    return list(made.values())


def plan_url(alerts: list[Alert]) -> str:
    """The New job page with the remedy filled in. Of several alerts it is one job on all of their machines."""
    remedy = remedies.of(alerts[0])
    if not remedy:
        return ""
    params = {
        name: value
        for name, value in remedy["params"].items()
        if not (isinstance(value, str) and ("{" in value or (len(alerts) > 1 and value == alerts[0].npu)))
    }
    machines = list(dict.fromkeys(alert.machine.name for alert in alerts))
    # So that the job is linked to them; an address names no more than it has room for.
    named = "".join(f"&alert={alert.pk}" for alert in alerts[:200])
    return new_job(remedy["kind"], machines, **params) + named
