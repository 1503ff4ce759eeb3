"""Headers that lie. Each is refused in one sentence, before a weight is read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.weights import SafetensorsFile


def saved(path: Path, header: dict[str, Any] | str, body: bytes = bytes(32)) -> Path:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def tensor(start: int, end: int, *shape: Any, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}


LIES = {
    "overlap": ({"a": tensor(0, 16, 4), "b": tensor(8, 32, 6)}, "b and a overlap"),
    "the same place twice": ({"a": tensor(0, 32, 8), "b": tensor(0, 32, 8)}, "overlap"),
    "gap": ({"a": tensor(0, 8, 2), "b": tensor(16, 32, 4)}, "b follows on a gap"),
    "bytes of nobody": ({"a": tensor(0, 16, 4)}, "16 bytes at its end belong to no tensor"),
    "a name twice": (f'{{"a":{json.dumps(tensor(0, 32, 8))},"a":{json.dumps(tensor(0, 32, 8))}}}', "a twice"),
    "reversed": ({"a": tensor(32, 0, 8)}, "contradicts itself"),
    "beyond any integer": ({"a": tensor(0, 32, 2**70)}, "contradicts itself"),
    "a product that runs over to 0": ({"a": tensor(0, 0, 2**32, 2**32), "b": tensor(0, 32, 8)}, "contradicts itself"),
    "below nothing": ({"a": tensor(0, 32, -2, -4)}, "header cannot be read"),
    "before the header": ({"a": tensor(-32, 0, 8)}, "header cannot be read"),
    "half a size": ({"a": tensor(0, 32, 8.5)}, "header cannot be read"),
    "one offset": ({"a": {"dtype": "F32", "shape": [8], "data_offsets": [0]}}, "header cannot be read"),
    "deeper than anyone reads": ('{"a":' * 50_000 + "1" + "}" * 50_000, "header cannot be read"),
}


@pytest.mark.parametrize(("header", "said"), LIES.values(), ids=LIES)
def test_a_header_that_lies_is_refused_in_one_sentence(tmp_path: Path, header, said: str):
    with pytest.raises(ConversionRefused) as refused:
        SafetensorsFile(saved(tmp_path / "model.safetensors", header))
    assert refused.value.code == "not-safetensors" and said in refused.value.message


def test_tensors_of_no_values_and_in_any_order_are_read(tmp_path: Path):
    header = {
        "__metadata__": {"format": "pt"},
        "b": tensor(16, 32, 4),
        "none": tensor(16, 16, 0, 3),
        "a": tensor(0, 16, 4),
    }
    assert set(SafetensorsFile(saved(tmp_path / "model.safetensors", header))) == {"a", "b", "none"}
