"""Create the user and group HwHiAiUser on machines that lost them; an installation of the driver does so itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, ReadFacts, Stage, Step
from jobs.software.driver_user import create_user


class Params(serializers.Serializer[Any]):
    """It has none."""


class CreateDriverUser(Kind):
    slug = "create-driver-user"
    title = _("Create user HwHiAiUser")
    summary = _("User and group that the driver’s device nodes belong to; nothing where both are there.")
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        lanes = [Lane(target.name, [create_user(), Step("verify", "Read facts", ReadFacts())]) for target in targets]
        return Plan([Stage("Create", lanes)])
