"""A checkpoint's tensors wherever they lie: one safetensors file, or a folder with several and their index."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.conversion.index import read_index
from jobs.conversion.weights import SafetensorsFile, TensorEntry
from jobs.sharding.errors import ShardingRefused

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Source:
    """``tensors`` by name, in the order in which they lie on the disk; ``beside`` are the small files of the model."""

    tensors: dict[str, tuple[Path, TensorEntry]]
    config: dict[str, Any] | None
    beside: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.end - entry.start for _, entry in self.tensors.values())


def read_source(path: Path) -> Source:
    """Headers only. Raises ConversionRefused for files that are broken, missing or hold a tensor twice."""
    folder = path if path.is_dir() else path.parent
    files = _listed(path) if path.is_dir() else [path]
    tensors: dict[str, tuple[Path, TensorEntry]] = {}
    for file in files:
        opened = SafetensorsFile(file)
        for entry in sorted((opened.entry(name) for name in opened), key=lambda entry: entry.start):
            if entry.name in tensors:
                raise ShardingRefused(
                    "shard-damaged", f"{entry.name} is in {tensors[entry.name][0].name} and in {file.name}.",
                    "Take one of the files out of the folder.",
                )  # fmt: skip
            tensors[entry.name] = (file, entry)
    beside = [file for pattern in ("*.json", "*.txt", "*.model") for file in sorted(folder.glob(pattern))]
    kept = tuple(file for file in beside if file.is_file() and file.name not in (INDEX, "shards.json"))
    return Source(tensors, _config(folder / "config.json"), kept if path.is_dir() else ())


def _listed(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ShardingRefused(
                "file-missing", f"{folder} has no safetensors file.", "Give the folder with model.safetensors."
            )
        return files
    return [folder / name for name in sorted(set(read_index(index).values()))]


def _config(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ShardingRefused("config-invalid", f"{path.name} is no JSON: {error}.", "Copy the model again.") from error
    return config if isinstance(config, dict) else None
