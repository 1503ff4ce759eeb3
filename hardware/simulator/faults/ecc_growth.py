from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class EccGrowth(Fault):
    slug = "ecc-growth"
    summary = "an NPU counts more and more corrected errors of its HBM"
    takes = "[NPU 0 to 3] [errors a minute, 1 to 60000], usually 0 60"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 2)
        return [str(self.npu(words, 0)), str(self.whole(words, 1, 60, 1, 60000))]
