"""``python -m hardware.npu [FILE|-]``: one JSON object for an output that was pasted into a ticket.

Exit status 0: the object was printed, whatever it says. 2: wrong arguments, or the file can't be read.
"""

from __future__ import annotations

import json
import os
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
    try:
        sys.stdout.buffer.write(json.dumps(parse(data).to_json(), ensure_ascii=False).encode() + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Who reads has seen enough; the interpreter must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
