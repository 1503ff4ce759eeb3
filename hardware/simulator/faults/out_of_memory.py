from __future__ import annotations

from hardware.simulator.faults.fault import Fault


class OutOfMemory(Fault):
    slug = "out-of-memory"
    summary = "in containers of the machine a model has memory for so many texts at once and no more"
    takes = "[texts, 1 to 1024], usually 32"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 1)
        return [str(self.whole(words, 0, 32, 1, 1024))]
