from __future__ import annotations

from hardware.simulator.faults.fault import Fault

MOUNTS = ("/", "/data")


class DiskNearlyFull(Fault):
    slug = "disk-nearly-full"
    summary = "a file system is nearly full, as df tells; nothing is written for it"
    takes = f"[percent in use, 1 to 100] [{'|'.join(MOUNTS)}], usually 97 /data"

    def value(self, words: list[str]) -> list[str]:
        self.at_most(words, 2)
        mount = words[1] if len(words) > 1 else "/data"
        if mount not in MOUNTS:
            raise self.refuse()
        return [str(self.whole(words, 0, 97, 1, 100)), mount]
