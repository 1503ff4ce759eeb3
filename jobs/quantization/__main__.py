"""``python -m jobs.quantization IN.onnx OUT.onnx --scheme int8-weight``: a smaller model, and what that did."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jobs.conversion.commandline import Parser, carry_out, refuse_place, say, write_report
from jobs.quantization.blocks import SIZES
from jobs.quantization.calibration.flags import add_flags, pictures_of
from jobs.quantization.fourbit import FORMS as INT4_FORMS
from jobs.quantization.options import Options
from jobs.quantization.qdq import FORMS as STATIC_FORMS
from jobs.quantization.quantizer import quantize
from jobs.quantization.report import WORST
from jobs.quantization.rewrite import FORMS, SCHEMES


def main() -> int:
    parser = Parser(prog="python -m jobs.quantization", description=__doc__)
    parser.add_argument("source", type=Path, metavar="IN.onnx")
    parser.add_argument("destination", type=Path, metavar="OUT.onnx")
    parser.add_argument("--scheme", required=True, help=" or ".join(SCHEMES))
    parser.add_argument(
        "--form",
        default="",
        help=f"int8-weight, -dynamic: {' or '.join(FORMS)}, atc reads plain only; int8-static: "
        f"{' or '.join(STATIC_FORMS)}; int4: {' or '.join(INT4_FORMS)}",
    )
    parser.add_argument("--block", type=int, default=128, help=f"int4: values to a scale, {SIZES}")
    parser.add_argument("--zero-points", action="store_true", help="int4: blocks need not lie about 0")
    parser.add_argument(
        "--method",
        default="rtn",
        help="int4: rtn, to the nearest step; hqq, on better steps, without data; gptq, corrected on the calibration",
    )
    parser.add_argument(
        "--memory",
        type=int,
        default=2048,
        metavar="MIB",
        help="gptq: for what is known of inputs; ONNX Runtime not counted",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        help=".jsonl of texts, .npz of inputs, .png, or a folder or zip of them, to compare both models on",
    )
    add_flags(parser)
    parser.add_argument("--profile", type=Path, help="the model's profile.json, which tokenizes the texts")
    parser.add_argument("--threads", type=_count, default=0, help="0: one for each core")
    parser.add_argument("--no-measure", action="store_true", help="do not run the models: no agreement, no latency")
    parser.add_argument(
        "--budget", type=float, help="share of accuracy that may be lost, 0.02: exit code 3 if it is not held"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the whole report there, every layer in it")
    parser.add_argument("--json", action="store_true", help="stdout is the report as JSON, progress goes to stderr")
    given = parser.parse_args()

    def work() -> dict[str, Any]:
        options = Options(
            calibration=given.calibration,
            profile=given.profile,
            threads=given.threads,
            measure=not given.no_measure,
            form=given.form,
            block=given.block,
            zero_points=given.zero_points,
            method=given.method,
            memory_mib=given.memory,
            budget=given.budget,
            calibrate=given.calibrate,
            percentile=given.percentile,
            reduce_range=given.reduce_range,
            pictures=pictures_of(given),
        )
        if given.report:
            refuse_place(given.report, given.source, given.destination, given.calibration, given.profile)
        made = quantize(given.source, given.destination, given.scheme, options, say)
        if given.report:
            write_report(given.report, made.to_json())
        return made.to_json(WORST)

    return carry_out(work, as_json=given.json)


def _count(text: str) -> int:
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


# argparse names a type in its refusal.
_count.__name__ = "number"


if __name__ == "__main__":
    sys.exit(main())
