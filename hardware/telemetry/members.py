"""Which collectors there are: a row each in the database, with a heartbeat by the database's clock.

``leaving``: it samples on, and owns nothing any more.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from django.db.models import Q
from django.db.models.functions import Now

from hardware.telemetry.models import CollectorMember

BEAT_SECONDS = 2.0
# A collector whose heart has not beaten for so long is dead. Its machines are sampled again within 15 s: by then the
# others have looked, logged in and read.
DEAD_SECONDS = 8.0
# A row that nobody will miss.
FORGET_SECONDS = 3600.0


@dataclass(frozen=True)
class Others:
    """The collectors that live, oneself not among them, and whether one's own row was still there."""

    living: frozenset[str]
    known: bool


def name() -> str:
    """One for this process: who reads a list of collectors finds host and process in it."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid4().hex[:8]}"


def beat(mine: str, machines: int, leaving: bool) -> Others:
    """Say that one lives, and see who else does."""
    found = CollectorMember.objects.filter(name=mine)
    known = bool(found.update(beat_at=Now(), machines=machines, leaving=leaving))
    if not known:
        CollectorMember.objects.filter(beat_at__lt=Now() - timedelta(seconds=FORGET_SECONDS)).delete()
        CollectorMember.objects.create(name=mine, machines=machines, leaving=leaving)
        found.update(beat_at=Now())
    return Others(living(mine), known)


def living(mine: str) -> frozenset[str]:
    """The others whose heart beats and who stay. A beat in the future is one from before the clock was set back."""
    fresh = Q(beat_at__gt=Now() - timedelta(seconds=DEAD_SECONDS)) & Q(beat_at__lt=Now() + timedelta(seconds=60))
    others = CollectorMember.objects.filter(fresh, leaving=False).exclude(name=mine)
    return frozenset(others.values_list("name", flat=True))


def leave(mine: str) -> None:
    """Take one's row back."""
    CollectorMember.objects.filter(name=mine).delete()
