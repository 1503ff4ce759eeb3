"""Hours out of minutes. Each is made from the samples in its minutes, so that every figure of it, the 95th percentile
too, is that of the samples; making it again gives the same, and a minute that comes late has its hour made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from django.db.models import Max, Min

from hardware.database import on_db
from hardware.telemetry.rollups import packing
from hardware.telemetry.rollups.models import Hour, Minute
from hardware.telemetry.rollups.records import SILENT
from hardware.writing import write_once

# So long after its end: a takeover, and what it finds in Redis, is over then.
GRACE_SECONDS = 120
# Machines a second: each costs some milliseconds.
AT_A_TIME = 20


class Hours:
    """Closes the hours of a collector's machines. ``seconds`` is what an hour has, but in tests."""

    def __init__(self, seconds: int = 3600, grace: float = GRACE_SECONDS) -> None:
        self.seconds = seconds
        self.grace = grace
        # Machine -> up to when its hours are made.
        self._made: dict[int, int] = {}

    def changed(self, machine_id: int, at: int) -> None:
        """A minute was stored; one of an hour that is made already has it made again."""
        made = self._made.get(machine_id)
        if made is not None and at < made:
            self._made[machine_id] = at // self.seconds * self.seconds

    async def tend(self, now: float, machine_ids: Iterable[int]) -> None:
        """Make the hours that are over of some of the machines. Database errors are raised."""
        until = int(now - self.grace) // self.seconds * self.seconds
        due = [one for one in machine_ids if self._made.get(one, 0) < until][:AT_A_TIME]
        if not due:
            return
        hours = await on_db(self._hours, {one: self._made.get(one) for one in due}, until)
        if hours:
            await write_once(save, hours)
        self._made |= dict.fromkeys(due, until)

    def _hours(self, made: Mapping[int, int | None], until: int) -> list[Hour]:
        unknown = [machine_id for machine_id, at in made.items() if at is None]
        begin = {machine_id: at for machine_id, at in made.items() if at is not None}
        # The newest may have been made before its last minute came, by a collector that has died since.
        for rows, which in ((Minute.objects, Min("at")), (Hour.objects, Max("at"))):
            found = rows.filter(machine_id__in=unknown).values("machine_id").annotate(first=which)
            begin |= {row["machine_id"]: row["first"] // self.seconds * self.seconds for row in found}
        return [hour for machine_id, at in begin.items() for hour in made_of(machine_id, at, until, self.seconds)]


def made_of(machine_id: int, begin: int, end: int, seconds: int = 3600) -> Iterator[Hour]:
    """The hours of a machine in [begin, end) of which there are minutes; not stored."""
    rows = Minute.objects.filter(machine_id=machine_id, at__gte=begin, at__lt=end).order_by("at")
    for at, those in groupby(rows.values_list("at", "data"), lambda row: row[0] // seconds * seconds):
        samples = packing.joined([(began, packing.unpack(data)) for began, data in those], at)
        data = packing.pack_stats(samples.layout, samples.stats()) if samples.states else b""
        yield Hour(machine_id=machine_id, at=at, state=samples.state if data else SILENT, data=data)


def save(hours: list[Hour]) -> None:
    """Write hours, over those that are there."""
    Hour.objects.bulk_create(
        hours, update_conflicts=True, unique_fields=["machine", "at"], update_fields=["state", "data"]
    )
