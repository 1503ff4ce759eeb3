from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class NpuIdle(Fault):
    slug = "npu-idle-while-requests-wait"
    summary = "data comes slowly: in containers of the machine every text waits before it is tokenised"
    takes = "[milliseconds a text, 1 to 10000], usually 50"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 1)
        return [str(self.whole(words, 0, 50, 1, 10000))]
