"""What the depot has for a machine, for preflight of machines as such (``settings.PREFLIGHT_STOCK``)."""

from __future__ import annotations

from hardware.inventory.preflight import Part
from jobs.depot.contents import parts
from jobs.depot.services import Depot


def stock() -> tuple[Part, ...]:
    """Every package that could be installed, as it is now: one question for each type."""
    return parts(Depot())
