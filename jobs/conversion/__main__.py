"""``python -m jobs.conversion CHECKPOINT OUT.onnx``: a sentence encoder becomes one ONNX, without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jobs.conversion.bert import BertConfig, Head
from jobs.conversion.checkpoint import opened_checkpoint
from jobs.conversion.commandline import Parser, carry_out, say
from jobs.conversion.encoder import convert_encoder
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import sha256_of
from jobs.conversion.profile import make_profile, read_tokenizer, write_profile


def convert(
    checkpoint: Path, destination: Path, head: Path | None, profile: Path | None, name: str, max_length: int
) -> dict[str, Any]:
    """Converts, and writes the profile when one is asked for; the report of both. Raises ConversionRefused."""
    inputs = {path.resolve() for path in (checkpoint, head) if path}
    outputs = [path.resolve() for path in (destination, profile) if path]
    if inputs & set(outputs) or len(outputs) != len(set(outputs)):
        raise ConversionRefused(
            "output-is-input", "An output would overwrite an input or the other output.", "Name another output."
        )
    with opened_checkpoint(checkpoint, destination.parent) as folder:
        content = None
        if profile is not None:
            # Whatever the profile lacks is said before the work, not after it.
            config = BertConfig.read(folder / "config.json")
            labels = list(Head.read(head, config.hidden).labels) if head else []
            tokenizer = read_tokenizer(folder / "tokenizer.json")
            content = make_profile(name, labels, max_length, config.positions, tokenizer)
        report = convert_encoder(folder, destination, head=head, progress=say).to_json()
    if profile is not None and content is not None:
        write_profile(content, profile)
        report |= {"profile": str(profile), "profile_sha256": sha256_of(profile)}
    return report


def main() -> int:
    parser = Parser(prog="python -m jobs.conversion", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="model folder, or a tar of it")
    parser.add_argument("destination", type=Path, metavar="OUT.onnx")
    parser.add_argument("--head", type=Path, help="npz with weight, bias and labels of a classifier")
    parser.add_argument("--profile", type=Path, help="where the profile for serving is written")
    parser.add_argument("--name", default="", help="the model's name in the profile")
    parser.add_argument("--max-length", type=int, default=64, help="tokens that the served model reads (64)")
    parser.add_argument("--json", action="store_true", help="the last line is the report as JSON")
    given = parser.parse_args()
    name = given.name or given.destination.stem

    def work() -> dict[str, Any]:
        return convert(given.checkpoint, given.destination, given.head, given.profile, name, given.max_length)

    return carry_out(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
