"""``python -m console.bench [--quick] [--only NAME]``: a line for each figure, and all of them as JSON at the end."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from console.bench import facts, first_line, history, log_lines, rate, ssh_rate, telemetry, waiting, wide
from console.bench.figure import HEAD, Figure, machine
from console.bench.rig import Rig, RigFailed, running

PARTS: dict[str, Callable[[Rig, bool], Iterator[Figure]]] = {
    "rate": rate.measure,
    "ssh": ssh_rate.measure,
    "facts": facts.measure,
    "first-line": first_line.measure,
    "log": log_lines.measure,
    "telemetry": telemetry.measure,
    "waiting": waiting.measure,
    "wide": wide.measure,
    "history": history.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m console.bench", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller: whether it works, not how well")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be given several times")
    given = parser.parse_args()
    figures: list[Figure] = []
    where, began = machine(), time.monotonic()
    print(f"{where['cpu']}, {where['cores']} cores, load {where['load']}, {where['at']}\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder)) as rig:
        for name in given.only or PARTS:
            try:
                for figure in PARTS[name](rig, given.quick):
                    figures.append(figure)
                    print(figure.line(), flush=True)
            except RigFailed as wrong:
                figures.append(Figure(name, f"not measured: {wrong}", ok=False))
                print(figures[-1].line(), flush=True)
    result = {"machine": where, "load_after": machine()["load"], "seconds": round(time.monotonic() - began),
              "quick": given.quick, "figures": [asdict(figure) for figure in figures]}  # fmt: skip
    print(json.dumps(result, ensure_ascii=False, default=float))
    return 1 if any(figure.ok is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
