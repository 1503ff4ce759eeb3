"""Reads safetensors: a little-endian length, a JSON header, then the bytes.

Read here rather than by the safetensors package, for two reasons: each way a file can be broken gets its own sentence,
and one tensor at a time is read, so that the memory needed is that of the largest tensor, not of the model.
Format: https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import name_of_start, read_start

# The format's own limit, which keeps a nonsense length from being allocated.
HEADER_LIMIT = 100_000_000
TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies: `start` and `end` are bytes from the start of the file."""

    name: str
    type: str
    shape: tuple[int, ...]
    start: int
    end: int


class SafetensorsFile:
    """One safetensors file, header checked, tensors read on demand."""

    def __init__(self, path: Path) -> None:
        """Reads and checks the header. Raises ConversionRefused (`not-safetensors`, `safetensors-truncated`, ...)."""
        start = read_start(path)
        self.path = path
        self.size = path.stat().st_size
        self._entries = self._parse(start)

    def _parse(self, start: bytes) -> dict[str, TensorEntry]:
        length = int.from_bytes(start[:8], "little") if len(start) >= 9 else 0
        if length < 2 or length > HEADER_LIMIT or start[8:9] != b"{":
            seen = name_of_start(start)
            raise ConversionRefused(
                "not-safetensors",
                f"{self.path.name} is no safetensors file" + (f": it is {seen}." if seen else "."),
                "Give the model.safetensors of the model; save a PyTorch checkpoint as safetensors first.",
            )
        if 8 + length > self.size:
            raise self._truncated(8 + length)
        with self.path.open("rb") as stream:
            stream.seek(8)
            raw = stream.read(length)
        try:
            header = json.loads(raw, object_pairs_hook=self._object)
            entries = {
                name: TensorEntry(
                    name,
                    str(value["dtype"]),
                    tuple(_sizes(value["shape"])),
                    *(8 + length + at for at in _sizes(value["data_offsets"], 2)),
                )
                for name, value in header.items()
                if name != "__metadata__"
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConversionRefused(
                "not-safetensors",
                f"{self.path.name} is no safetensors file: its header cannot be read.",
                "Copy or export the file again.",
            ) from error
        for entry in entries.values():
            self._check(entry)
        self._check_places(list(entries.values()), 8 + length)
        return entries

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """A JSON object in which no name stands twice, as the format has it: which of the two would be meant?"""
        read: dict[str, Any] = {}
        for name, value in pairs:
            if name in read:
                raise self._contradiction(f"its header has {name} twice")
            read[name] = value
        return read

    def _check(self, entry: TensorEntry) -> None:
        if entry.end > self.size:
            raise self._truncated(entry.end)
        known = TYPES.get(entry.type)
        if known is not None and math.prod(entry.shape) * known.itemsize != entry.end - entry.start:
            raise self._contradiction(
                f"{entry.name} has {entry.end - entry.start} bytes for shape {list(entry.shape)} of {entry.type}"
            )

    def _check_places(self, entries: list[TensorEntry], begin: int) -> None:
        """The format has the tensors lie one after the other, to the end of the file."""
        last, end = "the header", begin
        for entry in sorted(entries, key=lambda one: (one.start, one.end)):
            if entry.start != end:
                how = f"{entry.name} and {last} overlap" if entry.start < end else f"{entry.name} follows on a gap"
                raise self._contradiction(how)
            last, end = entry.name, entry.end
        if end != self.size:
            raise self._contradiction(f"{self.size - end} bytes at its end belong to no tensor")

    def _contradiction(self, how: str) -> ConversionRefused:
        return ConversionRefused(
            "not-safetensors", f"{self.path.name} contradicts itself: {how}.", "Copy or export the file again."
        )

    def _truncated(self, expected: int) -> ConversionRefused:
        return ConversionRefused(
            "safetensors-truncated",
            f"{self.path.name} is cut off: it has {self.size} bytes and its header promises at least {expected}.",
            "Copy the file again and compare its SHA-256 with the original's.",
        )

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def divide(self, name: str, parts: list[TensorEntry]) -> None:
        """Has these parts of a tensor in its place."""
        del self._entries[name]
        self._entries |= {part.name: part for part in parts}

    def entry(self, name: str) -> TensorEntry:
        """The header's line on a tensor. Raises `tensor-missing`."""
        try:
            return self._entries[name]
        except KeyError:
            raise ConversionRefused(
                "tensor-missing",
                f"{self.path.name} has no tensor {name}, which its architecture needs.",
                "Check that the weights and config.json belong together.",
            ) from None

    def float_entry(self, name: str, shape: tuple[int, ...] | None = None) -> TensorEntry:
        """A floating-point tensor's line, of that shape. Raises `tensor-missing`, `tensor-type`, `tensor-shape`."""
        entry = self.entry(name)
        if entry.type not in FLOATS:
            raise ConversionRefused(
                "tensor-type",
                f"Tensor {name} in {self.path.name} is {entry.type}; {', '.join(FLOATS)} are read.",
                "Export the model in floating point.",
            )
        if shape is not None and entry.shape != shape:
            raise ConversionRefused(
                "tensor-shape",
                f"Tensor {name} in {self.path.name} is {list(entry.shape)} where config.json asks for {list(shape)}.",
                "Check that the weights and config.json belong together.",
            )
        return entry


def _sizes(values: Any, count: int | None = None) -> list[int]:
    """Whole numbers from 0 on. Raises ValueError for anything else, or another number of them than `count`."""
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise ValueError(values)
    if count is not None and len(values) != count:
        raise ValueError(values)
    return values
