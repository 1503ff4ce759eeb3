"""What the demo has done, kept in its folder: a second start goes on where the first one was stopped."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class StageRow:
    """A line of the report. ``seconds`` is wall time; ``machines`` how many it worked on; ``proof`` one sentence."""

    name: str
    machines: int
    seconds: float
    ok: bool
    proof: str


@dataclass
class Ledger:
    """``run`` names this demo in Idempotency-Keys; ``jobs`` are the jobs launched, by stage."""

    path: Path
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    jobs: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    stages: list[StageRow] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """The ledger of an earlier start, or a new one."""
        if not path.exists():
            return cls(path)
        data = json.loads(path.read_text(encoding="utf-8"))
        stages = [StageRow(**row) for row in data.pop("stages")]
        return cls(path, stages=stages, **data)

    def save(self) -> None:
        """Put in place by a rename: a stop in the midst of it leaves the one before."""
        data = asdict(self)
        del data["path"]
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
        part.replace(self.path)

    def done(self, name: str) -> StageRow | None:
        return next((row for row in self.stages if row.name == name and row.ok), None)

    def enter(self, row: StageRow) -> None:
        self.stages = [other for other in self.stages if other.name != row.name] + [row]
        self.save()
