"""config.json field by field: each value is read with its type and range, and a wrong one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from jobs.conversion.errors import ConversionRefused

MISSING = object()
SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


class Fields:
    """One JSON object and where it stands. A field that is null counts as absent."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self._values = values
        self.where = where

    @classmethod
    def of(cls, path: Path) -> Fields:
        """Reads config.json. Raises `config-missing`, `config-invalid`."""
        where = f"config.json in {path.parent.name}"
        if not path.is_file():
            raise ConversionRefused(
                "config-missing",
                f"There is no config.json in {path.parent.name}.",
                "Give the whole model folder: config.json and the safetensors files.",
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConversionRefused(
                "config-invalid", f"{where} is no JSON: {error}.", "Take the config.json that belongs to the weights."
            ) from error
        if not isinstance(values, dict):
            raise ConversionRefused(
                "config-invalid", f"{where} is no JSON object.", "Take the config.json that belongs to the weights."
            )
        return cls(values, where)

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(key) is not None

    def count(self, key: str, default: Any = MISSING, least: int = 1) -> int:
        """A whole number from `least` on."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.invalid(key, f"{value!r} is no whole number from {least} on")
        return value

    def number(self, key: str, default: Any = MISSING, least: float | None = None) -> float:
        """A number above 0 (or one from `least` on) that float32 holds."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise self.invalid(key, f"{value!r} is no number")
        if value <= 0 if least is None else value < least:
            raise self.invalid(key, f"{value!r} is too small")
        if not (value == 0 or SMALLEST <= value <= LARGEST):
            raise self.invalid(key, "it is beyond what float32 holds")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.invalid(key, f"{value!r} is neither true nor false")
        return value

    def text(self, key: str, default: Any = MISSING) -> str:
        """A string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.invalid(key, f"{value!r} is no text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings; empty when absent."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.invalid(key, f"{value!r} is no list of texts")
        return value

    def asked(self, prefix: str) -> list[str]:
        """The names of the flags with that prefix that are true."""
        return [key for key in self._values if key.startswith(prefix) and self._values[key] is True]

    def inner(self, key: str) -> Fields | None:
        """An object within, or None when absent."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.invalid(key, f"{value!r} is no object")
        return Fields(value, f"{key} in {self.where}")

    def fixed(self, key: str, *allowed: Any) -> None:
        """Refuses any value but `allowed`; absent is the first of them."""
        value = self._get(key, allowed[0])
        if value not in allowed:
            raise self.unsupported("architecture-unsupported", f"{key} = {value!r}")

    def absent(self, key: str) -> None:
        """Refuses a field that changes the model in a way that is not built."""
        if self.has(key):
            raise self.unsupported("architecture-unsupported", f"{key}")

    def invalid(self, key: str, why: str) -> ConversionRefused:
        """The refusal of a value that makes no sense."""
        return ConversionRefused(
            "config-invalid", f"{self.where}: {key}: {why}.", "Take the config.json that belongs to the weights."
        )

    def unsupported(self, code: str, what: str) -> ConversionRefused:
        """The refusal of a value that makes sense and is not built."""
        return ConversionRefused(
            code,
            f"{self.where} asks for {what}, which this converter does not build.",
            "Export the model to ONNX where it was trained, or serve the safetensors with vLLM-Ascend or MindIE.",
        )

    def _get(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        if value is not None:
            return value
        if default is MISSING:
            raise self.invalid(key, "it is missing")
        return default
