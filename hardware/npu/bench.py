"""``python -m hardware.npu.bench [--quick]``: how long one ``npu-smi info`` takes to read, per layout and as pasted.

The figure is the middle one of many readings of the same text, each of which begins with bytes and ends with records.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

from hardware.npu import parse

CHIPS = 8
# A collector reads 1,000 tables a second beside everything else.
BAR_MICROSECONDS = 300.0
_RULE = "+===========================+===============+====================================================+"
_BAR = "+---------------------------+---------------+----------------------------------------------------+"


def hbm(chips: int = CHIPS) -> str:
    """``npu-smi info`` of a server with Atlas A2 chips, each of which runs a process."""
    rows = "".join(
        f"| {npu:<6}910B3               | OK            | {91.4 + npu:<12.1f}{44 + npu:<18}0    / 0             |\n"
        f"| 0                         | 0000:{0xC1 + npu:02X}:00.0  "
        f"| {npu * 7:<12}0    / 0          {30710 + npu}/ 65536         |\n"
        f"{_RULE}\n"
        for npu in range(chips)
    )
    processes = "".join(
        f"| {npu:<8}0                 | {139000 + npu:<14}| VLLMWorker_TP            | 30780{'':19}|\n{_RULE}\n"
        for npu in range(chips)
    )
    return (
        f"+{'-' * 96}+\n| npu-smi 25.5.1                   Version: 25.5.1{'':47}|\n{_BAR}\n"
        "| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|\n"
        "| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |\n"
        f"{_RULE}\n{rows}{_BAR}\n"
        "| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |\n"
        f"{_RULE}\n{processes}"
    )


def microseconds(work: Callable[[], object], times: int) -> float:
    """The middle of ``times`` turns."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hardware.npu.bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns: whether it works, not how well")
    times = 20 if parser.parse_args().quick else 3000
    table = hbm()
    pasted = f"[root@kunpeng-01 ~]# npu-smi info\n{table}[root@kunpeng-01 ~]# \n".replace("OK", "\x1b[32mOK\x1b[0m")
    texts = {"as the tool prints it": table.encode(), "pasted with a prompt and colours": pasted.encode()}
    assert all(len(parse(text).chips) == len(parse(text).processes) == CHIPS for text in texts.values())
    figures = {}
    print("what | measured | bar | verdict")
    for name, text in texts.items():
        taken = microseconds(lambda text=text: parse(text), times)  # type: ignore[misc]
        figures[name] = round(taken, 1)
        verdict = "ok" if taken < BAR_MICROSECONDS else "missed"
        print(f"npu-smi info of {CHIPS} chips, {name} | {taken:.0f} µs | {BAR_MICROSECONDS:.0f} µs | {verdict}")
    print(json.dumps({"microseconds": figures, "chips": CHIPS}, ensure_ascii=False))
    return 1 if max(figures.values()) >= BAR_MICROSECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
