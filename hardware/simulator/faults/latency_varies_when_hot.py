from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class LatencyVariesWhenHot(Fault):
    """The heat's part; how much of it reaches the chips is for the fans (``hardware.simulator.bmc.cooling``)."""

    slug = "latency-varies-when-hot"
    summary = "the chips run hot, and what is served on them answers unevenly"
    takes = "[degrees more at the fans' usual level, 1 to 70] [seconds that it takes, 1 to 600], usually 55 20"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 2)
        return [str(self.whole(words, 0, 55, 1, 70)), str(self.whole(words, 1, 20, 1, 600))]
