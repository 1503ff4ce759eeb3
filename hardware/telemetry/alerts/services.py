"""What can be done with rules, alerts and silences. Each is in the audit trail, in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from hardware.events import announce, audit
from hardware.inventory.models import Machine
from hardware.telemetry.alerts import checking, news
from hardware.telemetry.alerts.builtin import fields_of
from hardware.telemetry.alerts.checking import Refused
from hardware.telemetry.alerts.models import Alert, Rule, Silence
from hardware.telemetry.alerts.opening import end
from hardware.telemetry.alerts.versions import judge_fleet

EDITABLE = (
    "title", "severity", "scope", "conditions", "for_s", "clear_for_s", "enabled", "cause", "advice", "remedy",
)  # fmt: skip
# A change of one of these is another question: what was found by the old one is no answer to it.
_JUDGED = ("scope", "conditions", "for_s")


def make_rule(*, actor: str, **fields: Any) -> Rule:
    """A person's own rule. Raises ``Refused``."""
    given = {name: fields[name] for name in EDITABLE if name in fields}
    slug = fields.get("slug") or slugify(fields.get("title", ""))[:60]
    rule = Rule(slug=slug, created_by=actor, updated_by=actor, **given)
    _check(rule)
    if not slug:
        raise Refused({"slug": [_("Give a slug of small letters, digits and hyphens; the title makes none.")]})
    with transaction.atomic():
        if Rule.objects.filter(slug=slug).exists():
            raise Refused({"slug": [_("There is a rule %(slug)s already.") % {"slug": slug}]})
        rule.save()
        audit("rule.create", f"rule:{slug}", actor=actor, **_said(rule))
        transaction.on_commit(judge_fleet, robust=True)
    return rule


def change_rule(rule: Rule, *, actor: str, **fields: Any) -> Rule:
    """What is given takes the place of what was. Raises ``Refused``.

    Another question ends what the old one found; so does switching the rule off.
    """
    before = {name: getattr(rule, name) for name in EDITABLE}
    for name in EDITABLE:
        if name in fields:
            setattr(rule, name, fields[name])
    _check(rule, before["remedy"])
    different = {name: getattr(rule, name) for name in EDITABLE if getattr(rule, name) != before[name]}
    if not different:
        return rule
    with transaction.atomic():
        rule.edited = rule.builtin and any(
            getattr(rule, name) != value for name, value in fields_of(rule.slug).items() if name != "enabled"
        )
        rule.updated_by = actor
        asked_anew = any(name in different for name in _JUDGED)
        rule.version += asked_anew
        rule.save()
        was = {name: before[name] for name in different}
        audit("rule.update", f"rule:{rule.slug}", actor=actor, before=was, after=different)
        now = timezone.now()
        if not rule.enabled:
            end(rule.alerts, Alert.Ended.DISABLED, now)
        elif asked_anew:
            end(rule.alerts, Alert.Ended.RULE_CHANGED, now)
        announce("fleet", "alert", alert=0)
        transaction.on_commit(judge_fleet, robust=True)
    return rule


def reset_rule(rule: Rule, *, actor: str) -> Rule:
    """A built-in rule as this console has it. Raises ``Refused`` for a person's own."""
    if not rule.builtin:
        raise Refused({"slug": [_("Only a built-in rule can be reset; this one is somebody’s own.")]})
    return change_rule(rule, actor=actor, **fields_of(rule.slug))


def delete_rule(rule: Rule, *, actor: str) -> None:
    """Raises ``Refused`` for a built-in rule, and for one that has fired: its alerts name it."""
    if rule.builtin:
        raise Refused({"slug": [_("A built-in rule stays; switch it off instead.")]})
    with transaction.atomic():
        if rule.alerts.exists():
            raise Refused({"slug": [_("Alerts of the past name this rule; switch it off instead.")]})
        audit("rule.delete", f"rule:{rule.slug}", actor=actor)
        rule.delete()


def acknowledge(alert: Alert, *, actor: str, note: str = "") -> Alert:
    """Somebody knows. Who was first stands; a note replaces the one before."""
    with transaction.atomic():
        first = Alert.objects.filter(pk=alert.pk, acknowledged_at=None).update(
            acknowledged_by=actor, acknowledged_at=timezone.now(), note=note
        )
        if not first and note:
            Alert.objects.filter(pk=alert.pk).update(note=note)
        alert = Alert.objects.select_related("rule", "machine").get(pk=alert.pk)
        if first or note:
            news.tell("acknowledged", alert, actor=actor, note=note)
    return alert


def silence(
    *,
    actor: str,
    reason: str,
    ends_at: datetime | None,
    starts_at: datetime | None = None,
    rule: Rule | None = None,
    machine: Machine | None = None,
    label: str = "",
    site: str = "",
) -> Silence:
    """Raises ``Refused``."""
    scope: dict[str, Any] = {"rule": rule, "machine": machine, "label": label, "site": site}
    checking.silence({**scope, "reason": reason, "ends_at": ends_at, "starts_at": starts_at})
    assert ends_at is not None
    with transaction.atomic():
        made = Silence.objects.create(
            **scope, reason=reason.strip(), starts_at=starts_at or timezone.now(), ends_at=ends_at, created_by=actor
        )
        detail = {"silence": made.pk, "reason": made.reason, "ends_at": ends_at.isoformat()}
        audit("silence.create", _target(made), actor=actor, **detail, **_scope(made))
        announce("fleet", "alert", alert=0)
    return made


def end_silence(silence: Silence, *, actor: str) -> Silence:
    """Before its time; one that is over stays as it was."""
    with transaction.atomic():
        now = timezone.now()
        mine = Silence.objects.filter(pk=silence.pk, ends_at__gt=now)
        if mine.update(ends_at=now, ended_by=actor):
            audit("silence.end", _target(silence), actor=actor, silence=silence.pk)
            announce("fleet", "alert", alert=0)
        silence.refresh_from_db()
    return silence


def _check(rule: Rule, remedy_before: dict[str, Any] | None = None) -> None:
    checking.rule({name: getattr(rule, name) for name in EDITABLE}, remedy_before)


def _said(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in EDITABLE}


def _target(silence: Silence) -> str:
    if silence.machine is not None:
        return f"machine:{silence.machine.name}"
    return f"rule:{silence.rule.slug}" if silence.rule is not None else "fleet"


def _scope(silence: Silence) -> dict[str, Any]:
    said = {
        "rule": silence.rule.slug if silence.rule else "",
        "machine": silence.machine.name if silence.machine else "",
        "label": silence.label,
        "site": silence.site,
    }
    return {name: value for name, value in said.items() if value}
