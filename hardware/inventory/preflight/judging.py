"""Every rule that a machine's facts are held against, and the verdict in the order in which a person reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight import (
    account,
    building,
    bus,
    chips,
    clock,
    disks,
    holding,
    network,
    ports,
    software,
    space,
    system,
)
from hardware.inventory.preflight.records import ORDER, Check, Need

Rule = Callable[[Facts, Need], Iterator[Check]]

# A rule looks at facts alone: no clock, no database. One that does not apply yields nothing.
RULES: list[Rule] = [
    system.architecture,
    system.system,
    system.memory,
    building.kernel_headers,
    building.packages,
    building.tools,
    account.driver_user,
    space.free_space,
    bus.on_bus,
    bus.healthy,
    bus.nodes,
    holding.held,
    ports.links,
    clock.clock,
    software.already_there,
    chips.generation,
    chips.package_chip,
    software.driver_firmware,
    software.driver_cann,
    software.mindspore_cann,
    chips.image_chip,
    chips.image_driver,
    software.missing_parts,
    disks.raid,
    network.nics,
]


def evaluate(facts: Facts, need: Need) -> list[Check]:
    """Every check that applies, blocking ones first, then what is unknown, then warnings."""
    return in_order([check for rule in RULES for check in rule(facts, need)])


def in_order(checks: list[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: ORDER[check.severity])
