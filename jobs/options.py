"""How a job is to be carried out, apart from what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.strict import Strict
from jobs.failures import PlanRefused

LOWEST, NORMAL, HIGHEST = 0, 50, 100
WEEK = 7 * 24 * 3600


@dataclass(frozen=True)
class Options:
    """What is left out is as usual.

    ``priority`` is 0 to 100, the higher goes first. ``timeout_s`` is for the whole job, ``step_timeout_s`` for each
    step, in seconds; ``None`` is what the plan says. ``parallel`` machines at a time; ``batch_size`` machines a batch,
    0 for all in one; ``tolerate`` machines may fail, as a number or a share (``10%``), before nothing more is begun.
    ``pause_before`` names steps by their keys. The job does not begin before ``not_before``.
    """

    priority: int = NORMAL
    timeout_s: int | None = None
    step_timeout_s: int | None = None
    parallel: int = 50
    batch_size: int = 0
    tolerate: str = "0"
    pause_before: tuple[str, ...] = ()
    not_before: datetime | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Options:
        """Options as they were stored."""
        given = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        given["pause_before"] = tuple(given.get("pause_before", ()))
        if isinstance(given.get("not_before"), str):
            given["not_before"] = parse_datetime(given["not_before"])
        return cls(**given)

    @classmethod
    def checked(cls, data: Mapping[str, Any]) -> Options:
        """Options as a person or a client gives them. Raises ``PlanRefused`` with the field."""
        asked = OptionsSerializer(data=data)
        if not asked.is_valid():
            field, problem = next(iter(asked.errors.items()))
            text = str(problem[0]) if isinstance(problem, list) else str(problem)
            raise PlanRefused("options-invalid", f"options.{field}: {text}", f"Correct {field}.", f"options.{field}")
        return cls.from_json(asked.validated_data)

    def to_json(self) -> dict[str, Any]:
        moment = self.not_before.isoformat() if self.not_before else None
        return {**vars(self), "pause_before": list(self.pause_before), "not_before": moment}

    def may_fail(self, machines: int) -> int:
        """How many of so many machines may fail, rounded down."""
        if self.tolerate.endswith("%"):
            return machines * int(self.tolerate[:-1]) // 100
        return int(self.tolerate)


class OptionsSerializer(Strict):
    """How the job is carried out; what is left out is as usual."""

    priority = serializers.IntegerField(
        min_value=LOWEST, max_value=HIGHEST, required=False, label=_("Priority"), help_text=_("The higher goes first.")
    )
    timeout_s = serializers.IntegerField(
        min_value=10, max_value=4 * WEEK, required=False, allow_null=True, label=_("Time for the whole job, in seconds")
    )
    step_timeout_s = serializers.IntegerField(
        min_value=1, max_value=WEEK, required=False, allow_null=True, label=_("Time for each step, in seconds")
    )
    parallel = serializers.IntegerField(min_value=1, max_value=500, required=False, label=_("Machines at a time"))
    batch_size = serializers.IntegerField(
        min_value=0,
        max_value=10_000,
        required=False,
        label=_("Machines in a batch"),
        help_text=_("The next batch begins when the one before it is done; 0 is one batch of all."),
    )
    tolerate = serializers.RegexField(
        r"^(\d{1,5}|\d{1,2}%|100%)$",
        required=False,
        label=_("Machines that may fail"),
        help_text=_("A number or a share such as 10%; when more fail, nothing more is begun."),
    )
    pause_before = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=50, required=False, label=_("Pause before")
    )
    not_before = serializers.DateTimeField(required=False, allow_null=True, label=_("Not before"))
