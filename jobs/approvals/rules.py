"""The rules that ask for a second person: which concern a job, and changing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from hardware.events import audit
from hardware.inventory.models import Machine
from hardware.statements import Prepared
from jobs.approvals.models import ApprovalRule
from jobs.kind import Kind

# Every launch comes by here.
_RULES = Prepared(ApprovalRule, lambda rules: rules.order_by("pk"))


def concerning(kind: Kind, machines: Sequence[Machine]) -> list[ApprovalRule]:
    """The rules that a job of this kind on these machines falls under."""
    return [rule for rule in _RULES.objects() if _concerns(rule, kind, machines)]


def _concerns(rule: ApprovalRule, kind: Kind, machines: Sequence[Machine]) -> bool:
    if rule.kind and rule.kind != kind.slug:
        return False
    if not rule.kind and not kind.mutates:
        return False
    if not rule.label and not rule.site:
        return True
    return any(
        (not rule.label or rule.label in machine.labels) and (not rule.site or rule.site == machine.site)
        for machine in machines
    )


def make(*, actor: str, **fields: Any) -> ApprovalRule:
    with transaction.atomic():
        rule = ApprovalRule.objects.create(created_by=actor, **fields)
        audit("approval-rule.create", f"approval-rule:{rule.pk}", actor=actor, **fields)
    return rule


def change(rule: ApprovalRule, *, actor: str, **fields: Any) -> ApprovalRule:
    with transaction.atomic():
        before = {name: getattr(rule, name) for name in fields}
        for name, value in fields.items():
            setattr(rule, name, value)
        rule.save(update_fields=list(fields))
        audit("approval-rule.update", f"approval-rule:{rule.pk}", actor=actor, before=before, after=fields)
    return rule


def remove(rule: ApprovalRule, *, actor: str) -> None:
    """What waits for approval because of it goes on waiting: it was asked for while the rule held."""
    with transaction.atomic():
        audit("approval-rule.delete", f"approval-rule:{rule.pk}", actor=actor, rule=str(rule))
        rule.delete()
