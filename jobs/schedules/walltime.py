"""Times as a client writes them beside the zone that they are meant in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers

from jobs.schedules.recurrence import read_zone

_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?")


class Moment(serializers.DateTimeField):
    """A time with its offset, or one without that ``in_zone`` reads on the clock of the zone beside it."""

    def enforce_timezone(self, value: datetime) -> datetime:
        return value if timezone.is_naive(value) else super().enforce_timezone(value)


def in_zone(given: dict[str, Any], names: tuple[str, ...], zone: str) -> None:
    """Read the named times that came without an offset on the clock of ``zone``. Raises a ``ValidationError``."""
    for name in names:
        moment = given.get(name)
        if moment is not None and timezone.is_naive(moment):
            try:
                given[name] = moment.replace(tzinfo=read_zone(zone)).astimezone(UTC)
            except OverflowError:
                raise serializers.ValidationError({name: [_("There is no such time.")]}) from None


class ClockTime(serializers.TimeField):
    """A time of day in the zone beside it; one with an offset of its own is refused, which would be left out."""

    def to_internal_value(self, value: Any) -> time:
        if isinstance(value, str) and not _CLOCK.fullmatch(value):
            raise serializers.ValidationError(_("Write the time of day as 22:30; the zone stands beside it."))
        return super().to_internal_value(value)


def unread(given: dict[str, Any], names: set[str], instance: Any) -> dict[str, list[str]]:
    """Errors for what is given and would not be read; what stands there already may come back."""
    said = [_("It is not read here: leave it out.")]
    return {name: said for name in sorted(names) if given.get(name) and given[name] != getattr(instance, name, None)}
