"""What keeps a job from beginning."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Reason = Literal["dependency", "time", "window", "limit", "ahead", "machine"]


@dataclass(frozen=True)
class Obstacle:
    """``job`` is the id of the job that is in the way, if it is one; the waiting job is woken when that one ends.

    ``until`` is when it is worth looking again. ``values`` is JSON: what a page says of it.
    """

    reason: Reason
    job: int | None = None
    until: datetime | None = None
    values: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**self.values, "reason": self.reason, "until": self.until.isoformat() if self.until else None}
