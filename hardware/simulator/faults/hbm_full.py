from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class HbmFull(Fault):
    slug = "hbm-full-without-process"
    summary = "an NPU's HBM is nearly full though no process holds it"
    takes = "[NPU 0 to 3] [MB in use, 1 to 32768], usually 0 32100"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 2)
        return [str(self.npu(words, 0)), str(self.whole(words, 1, 32100, 1, 32768))]
