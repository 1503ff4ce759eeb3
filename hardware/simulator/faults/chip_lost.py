from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class ChipLost(Fault):
    slug = "chip-lost"
    summary = "an NPU has fallen off the PCI bus: neither lspci nor npu-smi lists it"
    takes = "[NPU 0 to 3], usually 3"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 1)
        return [str(self.npu(words, 3))]
