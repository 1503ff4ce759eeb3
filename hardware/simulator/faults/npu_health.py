from __future__ import annotations

import re

from hardware.simulator.faults.fault import Fault

WORDS = ("Warning", "Alarm", "Critical")
# From a public sample of a card in this state.
USUAL_CODE = "A4025021"


class NpuHealth(Fault):
    slug = "npu-health"
    summary = "an NPU reports that it is not well, with a fault code"
    takes = f"[NPU 0 to 3] [{'|'.join(WORDS)}] [CODE in hexadecimal ...], usually 0 Alarm {USUAL_CODE}"

    def value(self, words: list[str]) -> list[str]:
        health = words[1] if len(words) > 1 else "Alarm"
        codes = [code.upper().removeprefix("0X") for code in words[2:]] or [USUAL_CODE]
        if health not in WORDS or not all(re.fullmatch("[0-9A-F]{8}", code) for code in codes):
            raise self.refuse()
        return [str(self.npu(words, 0)), health, *codes]
