from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class BmcAway(Fault):
    slug = "bmc-away"
    summary = "the machine's BMC drops every connection"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 0)
        return []
