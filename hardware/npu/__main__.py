"""``python -m hardware.npu [FILE|-]``: one JSON object for an output that was pasted into a ticket."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hardware.npu import parse


def main(arguments: list[str]) -> int:
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print("usage: python -m hardware.npu [FILE|-]", file=sys.stderr)
        return 2
    try:
        data = sys.stdin.buffer.read() if arguments in ([], ["-"]) else Path(arguments[0]).read_bytes()
    except OSError as wrong:
        print(f"hardware.npu: {arguments[0]} can't be read: {wrong.strerror}", file=sys.stderr)
        return 2
    print(json.dumps(parse(data).to_json(), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
