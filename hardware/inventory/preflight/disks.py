"""The array that models and images lie on: RAID5 of NVMe drives, 2 TB and more."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts, Raid
from hardware.inventory.preflight.records import TB, Check, Need, gettext_noop, say

WANTED = 2 * TB


def raid(facts: Facts, need: Need) -> Iterator[Check]:
    arrays = [one for one in facts.raids if one.level == "raid5"]
    array = max(arrays, key=lambda one: (one.size >= WANTED, one.healthy, one.size), default=None)
    if array is None:
        yield _without_array(facts)
        return
    values = {"array": array.name, "size": f"{array.size / TB:.1f}"}
    if array.size < WANTED:
        yield say("raid", "warn", gettext_noop("%(array)s is RAID5 of %(size)s TB; 2 TB are asked for."), **values)
    elif array.failed:
        sentence = gettext_noop("%(array)s (RAID5) has lost %(failed)s: replace it.")
        yield say("raid", "warn", sentence, failed=", ".join(array.failed), **values)
    elif not array.healthy:
        yield say("raid", "warn", gettext_noop("%(array)s (RAID5) has a missing member."), **values)
    elif array.rebuilding:
        yield say("raid", "warn", gettext_noop("%(array)s (RAID5) is being rebuilt; until then it is slow."), **values)
    elif not _of_nvme(array):
        yield say("raid", "warn", gettext_noop("%(array)s (RAID5, %(size)s TB) is not of NVMe drives alone."), **values)
    else:
        yield say("raid", "pass", gettext_noop("%(array)s: RAID5, %(size)s TB."), **values)


def _without_array(facts: Facts) -> Check:
    """A controller shows its volumes as drives and keeps their level to itself."""
    volume = max((disk.size or 0 for disk in facts.disks if disk.transport != "nvme"), default=0)
    if facts.raid_controllers and volume >= WANTED:
        sentence = gettext_noop("%(controller)s has a volume of %(size)s TB; only its own tool tells the RAID level.")
        return say("raid", "unknown", sentence, controller=facts.raid_controllers[0], size=f"{volume / TB:.1f}")
    return say("raid", "warn", gettext_noop("No RAID5 array of 2 TB or more was found."))


def _of_nvme(array: Raid) -> bool:
    # Facts of an earlier version do not name members.
    return all(member.startswith("nvme") for member in array.members)
