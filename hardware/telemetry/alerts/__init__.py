"""Alerts: rules over what the collector reads, and what they found.

``evaluate`` is what the collector calls with the periods that it has just closed. ``listeners`` are called after the
commit with every piece of news about an alert, in the process that made it; one that fails is logged and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from hardware.telemetry.alerts.models import Alert

What = Literal["opened", "ended", "acknowledged"]
Listener = Callable[[What, "Alert"], None]

listeners: list[Listener] = []


async def evaluate(periods: Sequence[Any]) -> None:
    """Judge ``rollups.Period`` objects by every rule that is on; opens and ends alerts."""
    # Imported here: the models are there only once Django has set up its applications.
    from hardware.telemetry.alerts.evaluation import evaluate as judge

    await judge(periods)
