from __future__ import annotations

from hardware.simulator.faults.fault import Fault

DAY = 86400


class ClockSkew(Fault):
    slug = "clock-skew"
    summary = "the machine's clock is wrong, as date tells; the kernel's own is the host's"
    takes = "[seconds ahead; negative: behind], a day at most, usually 300"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 1)
        return [str(self.whole(words, 0, 300, -DAY, DAY))]
