"""What a person takes out of the depot and carries elsewhere: rank tables, launch parameters, reports.

Packages, models and images go to machines by jobs, which check them there.
"""

from __future__ import annotations

from django.http import HttpResponse

from jobs.depot.models import Artifact
from jobs.depot.services import verify

TYPES = frozenset({"launch-parameters", "manifest", "parallel-plan", "quantization-report", "rank-table", "shard-list"})
MOST_BYTES = 64 << 20


def can_be_taken(type: str, size: int) -> bool:
    """Whether it is one of the files that ``answer`` gives."""
    return type in TYPES and size <= MOST_BYTES


def answer(artifact: Artifact) -> HttpResponse:
    """The file, held against its SHA-256 first. Raises ``JobFailed`` when its bytes are gone or changed."""
    verify(artifact)
    plain = "text/plain; charset=utf-8" if artifact.type == "manifest" else "application/json; charset=utf-8"
    made = HttpResponse(artifact.path.read_bytes(), content_type=plain)
    safe = "".join(c for c in artifact.name if c.isascii() and (c.isalnum() or c in "-._"))
    made["Content-Disposition"] = f'attachment; filename="{safe or "artifact"}"'
    made["X-Content-Type-Options"] = "nosniff"
    return made
