"""``python -m jobs.conversion.checks MODEL.onnx``: what atc would refuse after minutes, said at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jobs.conversion.checks.model import check_model
from jobs.conversion.checks.profiles import FORMS, read_profiles
from jobs.conversion.commandline import Parser, carry_out


def main() -> int:
    parser = Parser(prog="python -m jobs.conversion.checks", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--input_shape", "--input-shape", help='"input_ids:1,64;attention_mask:1,64"')
    parser.add_argument("--cann", help="version of CANN on the machine, 8.0.0 for example")
    parser.add_argument("--soc_version", "--soc-version", help="what atc is to be told, Ascend910A for example")
    parser.add_argument("--npu-name", help="the chip's name as npu-smi shows it")
    for option, form in FORMS.items():
        parser.add_argument(f"--{option}", f"--{option.replace('_', '-')}", default="", help=f'"{form}"')
    parser.add_argument("--input_format", "--input-format", default="ND", help="as atc is told: ND, NCHW or NHWC")
    parser.add_argument("--dynamic", action="store_true", help="atc gets one of its --dynamic flags")
    parser.add_argument("--json", action="store_true", help="stdout is the report as JSON, progress goes to stderr")
    given = parser.parse_args()

    def work() -> dict[str, Any]:
        return check_model(
            given.model,
            input_shape=given.input_shape,
            cann=given.cann,
            soc_version=given.soc_version,
            npu_name=given.npu_name,
            dynamic=given.dynamic,
            profiles=read_profiles(given.dynamic_batch_size, given.dynamic_image_size, given.dynamic_dims),
            input_format=given.input_format,
        ).to_json()

    return carry_out(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
