"""`python3 -m serving --model DIR [--host H] [--port N] [--device N]`: serves the release in DIR until told to end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from .server import serve


def main() -> int:
    """Exit status: 0 after TERM, 2 when the release or the port cannot be served; one line on stderr then."""
    parser = argparse.ArgumentParser(prog="serving", description="Serves a text classifier over HTTP.")
    parser.add_argument("--model", type=Path, required=True, help="folder with model.onnx or model.om and profile.json")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--device", type=int, default=0, help="logic id of the NPU")
    # `docker stop` kills after ten seconds.
    parser.add_argument("--grace", type=float, default=8.0, help="seconds for what is in flight when told to end")
    asked = parser.parse_args()
    # One batch at a time on one thread: the tokenizer's own pool would only compete with the engine's.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    # Not asyncio.run: it would wait for a model that is still loading, on a thread that nothing can interrupt.
    return asyncio.new_event_loop().run_until_complete(
        serve(asked.model, asked.host, asked.port, asked.device, asked.grace)
    )


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
