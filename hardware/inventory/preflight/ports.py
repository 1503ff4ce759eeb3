"""The NPUs' own network ports."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.records import Check, Need, gettext_noop, say


def links(facts: Facts, need: Need) -> Iterator[Check]:
    """A port without an address is one that nobody uses: it may be without a cable."""
    used = [port for port in facts.npu_ports if port.address and port.link]
    down = [str(port.npu) for port in used if port.link == "DOWN"]
    if down:
        sentence = gettext_noop("The network port of NPU %(npus)s is down: check cable, optics and switch.")
        yield say("npu-links", "warn", sentence, npus=", ".join(down))
    elif used:
        yield say("npu-links", "pass", gettext_noop("Network ports of NPUs that are up: %(n)s."), n=len(used))
