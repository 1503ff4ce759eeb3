"""`python -m jobs.kinds.package_image --base B --model M --profile P --name N --tag T --output O`.

Progress lines on stdout, the report as one JSON object on the last; exit status 2 and one line on stderr when refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from jobs.kinds.package_image.archive import build
from jobs.kinds.package_image.errors import ImageRefused


def main() -> int:
    """Exit status: 0 built, 2 refused."""
    parser = argparse.ArgumentParser(prog="package-image", description="Base image, serving code and model: one image.")
    parser.add_argument("--base", type=Path, required=True, help="OCI archive, or what docker save wrote")
    parser.add_argument("--model", type=Path, required=True, help=".onnx or .om")
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--architecture", default="arm64", help="arm64 (the default) or amd64")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    try:
        report = build(
            asked.base,
            asked.model,
            asked.profile,
            asked.output,
            name=asked.name,
            tag=asked.tag,
            architecture=asked.architecture,
            progress=lambda line: print(line, flush=True),
        )
    except ImageRefused as refused:
        print(f"{refused.code}: {refused}", file=sys.stderr, flush=True)
        return 2
    print(json.dumps(report.to_json(), ensure_ascii=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
