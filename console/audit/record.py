"""Writes the trail: in the transaction that does the thing, so that neither is there without the other."""

from __future__ import annotations

from typing import Any

from hardware.events import AuditNote, audited
from hardware.statements import insert


def _record(sender: Any, note: AuditNote, **_: Any) -> None:
    from console.audit.models import AuditEvent

    insert(AuditEvent, actor=note.actor, action=note.action, target=note.target, detail=note.detail)


def listen() -> None:
    audited.connect(_record, dispatch_uid="console.audit")
