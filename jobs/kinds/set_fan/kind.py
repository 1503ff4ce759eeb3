"""Raise a machine's fans through its BMC while its chips are hot, and hand them back when they are cool.

What the board said when it was read last decides the level: the one that reaches the speed asked for, or the board's
own highest where that is lower. The step reads it again before it sets anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.bmc.models import Bmc
from hardware.bmc.redfish import Thermal, hand_back, hold
from hardware.inventory.preflight import Check, gettext_noop, say
from jobs.kind import DepotView, Kind, Target
from jobs.plan import HoldFans, Lane, Plan, Stage, Step

# How long the board holds its fans for us without hearing from us.
HOLD_S, SHORTEST_HOLD_S = 120, 10


class Params(serializers.Serializer[Any]):
    rpm = serializers.IntegerField(
        min_value=1000, max_value=30000, default=4500, label=_("Revolutions a minute"),
        help_text=_("The BMC’s own limit holds where it is lower."),
    )  # fmt: skip
    watch_minutes = serializers.FloatField(
        min_value=0.05, max_value=240, default=10, label=_("Minutes at most"),
        help_text=_("Then the fans go back to the BMC, cool or not."),
    )  # fmt: skip
    cool_c = serializers.FloatField(
        min_value=20, max_value=100, default=70, label=_("Cool is (°C)"),
        help_text=_("When no chip is hotter, the fans go back to the BMC at once."),
    )  # fmt: skip


class SetFan(Kind):
    slug = "set-fan"
    title = _("Raise the fans for a while")
    summary = _("Through the BMC, never above its own limit; watched, and handed back in every case.")
    Params = Params

    def preflight(self, params: dict[str, Any], target: Target, depot: DepotView) -> list[Check]:
        bmc = Bmc.objects.filter(machine__name=target.name).first()
        if bmc is None:
            return [
                say(
                    "bmc-missing",
                    "block",
                    gettext_noop("The console knows no BMC of this machine: give it one on the machine’s page."),
                )
            ]
        if not bmc.fingerprint:
            return [
                say(
                    "bmc-unconfirmed",
                    "block",
                    gettext_noop("Nobody has confirmed the BMC’s certificate: do so on the machine’s page."),
                )
            ]
        if not bmc.seen:
            return [
                say(
                    "bmc-unread",
                    "block",
                    gettext_noop("The BMC has not been read yet: read it on the machine’s page, for its limits."),
                )
            ]
        if bmc.seen.get("level") is None or not bmc.seen.get("full_rpm"):
            return [say("bmc-fans", "block", gettext_noop("The BMC does not let the fans of this machine be set."))]
        most = bmc.seen.get("most") or 100
        if bmc.seen.get("mode") == "Manual":
            return [
                say(
                    "bmc-fans",
                    "warn",
                    gettext_noop("Somebody held the fans at %(level)s %% when the BMC was read last."),
                    level=bmc.seen["level"],
                )
            ]
        reached = most * int(bmc.seen["full_rpm"]) // 100
        if reached < params["rpm"]:
            return [
                say(
                    "bmc-fans",
                    "warn",
                    gettext_noop("The BMC allows %(most)s %% at most, about %(rpm)s revolutions a minute."),
                    most=most,
                    rpm=reached,
                )
            ]
        return [say("bmc-fans", "pass", gettext_noop("The BMC lets the fans be set, up to %(most)s %%."), most=most)]

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        names = [target.name for target in targets]
        boards = {
            bmc.machine.name: bmc for bmc in Bmc.objects.filter(machine__name__in=names).select_related("machine")
        }
        return Plan([Stage("Hold the fans", [_lane(name, boards.get(name), params) for name in names])])

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A row a machine: before, after, and that the fans were handed back."""
        return {"artifacts": [], "report": {"machines": [one["report"] for one in results if one.get("report")]}}


def _lane(name: str, bmc: Bmc | None, params: dict[str, Any]) -> Lane:
    """Of a machine whose board is missing or unread it names none: preflight stops the job before it begins."""
    seen = bmc.seen if bmc else {}
    thermal = Thermal(
        None, None, 0, seen.get("least"), seen.get("most"), seen.get("full_rpm"), seen.get("maker") or "Huawei"
    )
    level = thermal.level_for(params["rpm"]) or 0
    seconds = max(1, round(params["watch_minutes"] * 60))
    hold_s = max(SHORTEST_HOLD_S, min(HOLD_S, seconds))
    action = HoldFans(
        address=f"{bmc.host}:{bmc.port}" if bmc else "",
        path=seen.get("path", ""),
        level=level,
        hold=hold(thermal.maker, level, hold_s),
        back=hand_back(thermal.maker),
        hold_s=hold_s,
        cool_c=params["cool_c"],
        seconds=seconds,
    )
    return Lane(name, [Step("fans", f"Hold the fans at {level} % until it is cool", action)])
