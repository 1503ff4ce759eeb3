"""What is different between two readings of the same machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hardware.inventory.facts.holders import held
from hardware.inventory.facts.records import NEW_IN, Facts

# What tells the items of a list apart, so that one that moved is not one that changed.
IDENTITY: dict[str, tuple[str, ...]] = {
    "filesystems": ("mount",),
    "disks": ("name",),
    "raids": ("name",),
    "npu_ports": ("npu",),
    "containers": ("name",),
    "nics": ("name",),
    "npus": ("npu_id", "chip_id"),
}
# Different at each reading, or at each start of the same thing: a container that was begun anew has another id, and a
# process another pid. Who holds which NPU is compared by name, and the clock by how far off it is, below.
RESTLESS = (
    "clock", "clock_skew_s", "memory_free", "filesystems.*.free", "schema_version", "holders",
    "containers.*.id", "containers.*.pid", "containers.*.state", "runtimes.docker", "npus.*.node",
)  # fmt: skip
# Seconds -> what the clock is said to be off by, where it is off by more.
_OFF = ((3600, "hours"), (60, "minutes"), (2, "seconds"))


@dataclass(frozen=True)
class Difference:
    """``path`` names the fact: ``driver.version``, ``nics.eth0.speed_mbps``. ``None`` is what was not there."""

    path: str
    before: Any
    after: Any


def differences(before: Facts, after: Facts) -> list[Difference]:
    """Every fact that changed, by path. Readings that always differ (the clock, free space) are left out, and so is
    what one of the two was too old to look for.
    """
    was, now = _flat(before), _flat(after)
    low, high = sorted((before.schema_version, after.schema_version))
    unasked = {name for version in range(low + 1, high + 1) for name in NEW_IN.get(version, ())}
    return [
        Difference(path, was.get(path), now.get(path))
        for path in sorted(was.keys() | now.keys())
        if was.get(path) != now.get(path) and path.partition(".")[0] not in unasked
    ]


def _flat(facts: Facts) -> dict[str, Any]:
    found = dict(_walk(facts.to_json(), "", ""))
    found |= {f"holders.{npu}": names for npu, names in held(facts).items()}
    if facts.clock_skew_s is not None:
        off = next((word for seconds, word in _OFF if abs(facts.clock_skew_s) > seconds), None)
        found["clock_skew_s"] = f"{'ahead' if facts.clock_skew_s > 0 else 'behind'} by {off}" if off else "in step"
    return found


def _walk(value: Any, path: str, pattern: str) -> Iterator[tuple[str, Any]]:
    """The leaves under their paths; ``pattern`` is the path with a star for what names an item."""
    if pattern in RESTLESS:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            # The names of packages and interpreters name an item, too, and may have dots.
            star = "*" if pattern in ("packages", "pythons") else name
            yield from _walk(inner, f"{path}.{name}".lstrip("."), f"{pattern}.{star}".lstrip("."))
    elif isinstance(value, list | tuple) and pattern in IDENTITY:
        for item in value:
            name = "/".join(str(item[key]) for key in IDENTITY[pattern] if item[key] is not None)
            rest = {key: inner for key, inner in item.items() if key not in IDENTITY[pattern]}
            yield from _walk(rest, f"{path}.{name}", f"{pattern}.*")
    elif isinstance(value, list | tuple):
        # An empty list says as little as a fact that is not there.
        yield path, [list(item) if isinstance(item, tuple) else item for item in value] or None
    else:
        yield path, value
