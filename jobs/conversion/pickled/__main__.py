"""``python -m jobs.conversion.pickled IN.pt OUT.safetensors``: a PyTorch checkpoint without its pickle."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from jobs.conversion.commandline import Parser, carry_out, say
from jobs.conversion.pickled.load import to_safetensors


def main() -> int:
    parser = Parser(prog="python -m jobs.conversion.pickled", description=__doc__)
    parser.add_argument("source", type=Path, metavar="IN.pt")
    parser.add_argument("destination", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--json", action="store_true", help="stdout is the report as JSON, progress goes to stderr")
    given = parser.parse_args()
    return carry_out(lambda: asdict(to_safetensors(given.source, given.destination, say)), as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
