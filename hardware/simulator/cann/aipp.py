"""The file of `--insert_op_conf`: static AIPP in protobuf's text form, as the ATC guide shows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hardware.simulator.cann import refusals

_BLOCK = re.compile(r"aipp_op\s*\{([^{}]*)\}")
_FIELD = re.compile(r"^\s*([a-z]\w*)\s*:\s*\"?([^\s\"]+)\"?\s*$")


def insert_aipp(path: Path, inputs: list[dict[str, Any]]) -> None:
    """The input that a block is for becomes an image of bytes. Refuses what is no such file or names no such input."""
    option = "--insert_op_conf"
    if not path.is_file():
        raise refusals.invalid(option, str(path), "No such file or directory.")
    blocks = _BLOCK.findall(re.sub(r"#.*", "", path.read_text(errors="replace")))
    if not blocks:
        raise refusals.invalid(option, str(path), "It has no aipp_op.")
    for block in blocks:
        lines = [line for line in block.splitlines() if line.strip()]
        fields: dict[str, str] = {found[1]: found[2] for line in lines if (found := _FIELD.match(line))}
        if fields.get("aipp_mode") not in ("static", "dynamic"):
            raise refusals.invalid(option, str(path), "aipp_mode must be static or dynamic.")
        if fields["aipp_mode"] == "static" and "input_format" not in fields:
            raise refusals.invalid(option, str(path), "input_format is required.")
        place = fields.get("related_input_rank", "0")
        if not place.isdigit() or int(place) >= len(inputs):
            raise refusals.invalid(option, str(path), f"related_input_rank {place} is no input of the model.")
        inputs[int(place)]["type"] = "UINT8"
