"""``python -m jobs.quantization IN.onnx OUT.onnx --scheme int8-weight``: a smaller model, and what that did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jobs.conversion.commandline import Parser, carry_out, say
from jobs.quantization.quantizer import quantize
from jobs.quantization.rewrite import FORMS, SCHEMES

# A log's last line should stay readable: with more layers than this, only those that lost most are in it.
WORST = 60


def main() -> int:
    parser = Parser(prog="python -m jobs.quantization", description=__doc__)
    parser.add_argument("source", type=Path, metavar="IN.onnx")
    parser.add_argument("destination", type=Path, metavar="OUT.onnx")
    parser.add_argument("--scheme", required=True, help=" or ".join(SCHEMES))
    parser.add_argument("--form", default="plain", help=f"{' or '.join(FORMS)}; atc reads plain only")
    parser.add_argument("--calibration", type=Path, help=".jsonl of texts or .npz of inputs to compare both models on")
    parser.add_argument("--profile", type=Path, help="the model's profile.json, which tokenizes the texts")
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    parser.add_argument("--no-measure", action="store_true", help="do not run the models: no agreement, no latency")
    parser.add_argument("--json", action="store_true", help="the last line is the report as JSON")
    given = parser.parse_args()

    def work() -> dict[str, Any]:
        return quantize(
            given.source,
            given.destination,
            given.scheme,
            given.calibration,
            say,
            profile=given.profile,
            threads=given.threads,
            measure=not given.no_measure,
            form=given.form,
        ).to_json(WORST)

    return carry_out(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
