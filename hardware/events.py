"""News that goes up. ``hardware`` and ``jobs`` send; ``console`` listens.

``audited`` is sent inside the transaction that does the thing, so its listener's row stands or falls with it.
``changed`` is sent inside it too; its listener waits for the commit before it tells a browser.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.dispatch import Signal


@dataclass(frozen=True)
class AuditNote:
    """Who (a user name, or ``console``) did what (``machine.enroll``) to what (``machine:sim-01``)."""

    action: str
    target: str
    actor: str = "console"
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """Something that a page shows is different now. ``topic`` is ``fleet``, ``job:7``, ``job-log:7``, ``machine:3``."""

    topic: str
    type: str
    payload: dict[str, Any] = field(default_factory=dict)


audited = Signal(use_caching=True)
changed = Signal(use_caching=True)


def audit(action: str, target: str, *, actor: str = "console", **detail: Any) -> None:
    """Record an event in the trail. Secrets are the caller's to leave out."""
    audited.send(AuditNote, note=AuditNote(action, target, actor or "console", detail))


def announce(topic: str, type: str, **payload: Any) -> None:
    """Tell whoever watches ``topic``."""
    changed.send(Change, change=Change(topic, type, payload))
