from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class LinkDown(Fault):
    slug = "link-down"
    summary = "the RoCE link of an NPU is down, as hccn_tool tells"
    takes = "[NPU 0 to 3], usually 0"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 1)
        return [str(self.npu(words, 0))]
