"""``python -m jobs.conversion.mend IN.onnx OUT.onnx``: another opset, fixed sizes, constants folded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jobs.conversion.checks.shapes import parse_input_shape
from jobs.conversion.commandline import Parser, carry_out, refuse_place, say, write_report
from jobs.conversion.mend.mended import Wish, mend


def main() -> int:
    parser = Parser(prog="python -m jobs.conversion.mend", description=__doc__)
    parser.add_argument("source", type=Path, metavar="IN.onnx")
    parser.add_argument("destination", type=Path, metavar="OUT.onnx")
    parser.add_argument("--opset", type=int, help="the opset of the result")
    parser.add_argument("--fold", action="store_true", help="compute now what is the same for every input")
    parser.add_argument("--int32", action="store_true", help="int64 constants as int32 where the operator takes either")
    parser.add_argument("--fix-shape", default="", help='"x:1,3,224,224;y:1,8"')
    parser.add_argument("--report", type=Path, help="a file for the whole report; --json then has the open shapes only")
    parser.add_argument("--json", action="store_true", help="stdout is the report as JSON, progress goes to stderr")
    given = parser.parse_args()

    def work() -> dict[str, Any]:
        shapes = parse_input_shape(given.fix_shape) if given.fix_shape else {}
        wish = Wish(given.opset, given.fold, given.int32, shapes)
        if given.report is not None:
            refuse_place(given.report, given.source, given.destination)
        report = mend(given.source, given.destination, wish, say)
        if given.report is None:
            return report.to_json()
        write_report(given.report, report.to_json())
        return report.brief()

    return carry_out(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
