"""The profile that lies beside a served model: what it answers with, and how text becomes its inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import read_start, replacing

SCHEMA = 1


def read_tokenizer(path: Path) -> dict[str, Any]:
    """The content of a tokenizer.json that the tokenizers library can load. Raises `tokenizer-invalid`."""
    try:
        read_start(path)
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Tokenizer.from_str(json.dumps(content))
    # tokenizers raises bare Exception for whatever it cannot read.
    except Exception as error:
        raise ConversionRefused(
            "tokenizer-invalid",
            f"The tokenizer {path.name} in {path.parent.name} is missing or cannot be read.",
            "Give the tokenizer.json that belongs to the model.",
        ) from error
    return content


def make_profile(
    name: str, labels: list[str], max_length: int, positions: int, inputs: tuple[str, ...], tokenizer: dict[str, Any]
) -> dict[str, Any]:
    """The profile of a classifier. `positions` is how many tokens the model can read at most."""
    if not labels:
        raise ConversionRefused(
            "profile-needs-head",
            "A profile needs the labels that the model gives a text, and there is no head.",
            "Give --head as well, or leave --profile out.",
        )
    if not 2 <= max_length <= positions:
        raise ConversionRefused(
            "max-length",
            f"--max-length {max_length} does not fit: the model reads 2 to {positions} tokens.",
            f"Choose a number from 2 to {positions}.",
        )
    return {
        "schema": SCHEMA,
        "task": "classify",
        "name": name,
        "labels": labels,
        "max_length": max_length,
        "inputs": list(inputs),
        "tokenizer": tokenizer,
    }


def write_profile(profile: dict[str, Any], destination: Path) -> None:
    """Writes the profile, whole or not at all."""
    with replacing(destination) as part:
        part.write_text(json.dumps(profile, ensure_ascii=False, sort_keys=True), encoding="utf-8")
