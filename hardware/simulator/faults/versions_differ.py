from __future__ import annotations

import re

from hardware.simulator.faults.fault import Fault


class VersionsDiffer(Fault):
    slug = "versions-differ"
    summary = "npu-smi is of another version than the driver: half of an upgrade"
    takes = "[npu-smi's version], usually 23.0.rc3"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 1)
        version = words[0] if words else "23.0.rc3"
        if not re.fullmatch(r"[0-9A-Za-z.]{1,24}", version):
            raise self.refuse()
        return [version]
