"""Proves that shards join to the bytes that they were cut from: each tensor is put together again and hashed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from jobs.conversion.weights import SafetensorsFile
from jobs.sharding.errors import ShardingRefused
from jobs.sharding.source import read_source

BLOCK = 8 * 1024 * 1024
Part = tuple[int, int, int, int]


def join(folder: Path, say: Callable[[float, str], None], original: Path | None = None) -> dict[str, Any]:
    """Reads every shard once, and the original too where it is given.

    Raises ShardingRefused (`shard-damaged`) with the tensor and the file; ConversionRefused for a file that is broken.
    """
    manifest = _manifest(folder / "shards.json")
    files = [SafetensorsFile(folder / entry["name"]) for entry in manifest["files"]]
    hashes = _hashes(original) if original else {}
    if original and (missing := set(hashes) ^ set(manifest["tensors"])):
        raise _damaged(f"{min(missing)} is in the original or in the shards, and not in both.")
    total = sum(file.size for file in files)
    done = said = copies = 0
    with ExitStack() as stack:
        streams = [stack.enter_context(file.path.open("rb")).fileno() for file in files]
        for name, told in manifest["tensors"].items():
            for chain in _chains(name, told):
                parts = []
                for file, first, last in chain:
                    entry = files[file].entry(name)
                    _hold(name, told, entry.type, entry.shape, first, last, files[file].path.name)
                    parts.append((streams[file], entry.start, entry.end - entry.start, last - first))
                digest = hashlib.sha256()
                for block in _joined(parts, told["axis"], told["shape"]):
                    digest.update(block)
                    done += len(block)
                if digest.hexdigest() != told["sha256"]:
                    where = ", ".join(files[file].path.name for file, _, _ in chain)
                    raise _damaged(f"{name} does not join to its original bytes out of {where}.")
                copies += 1
            if original and hashes[name] != told["sha256"]:
                raise _damaged(f"{name} is another in {original.name} than when it was split.")
            if done - said >= total / 50:
                said = done
                say(min(1.0, done / total), f"{name} joins")
    return {"tensors": len(manifest["tensors"]), "joined": copies, "held_against_original": original is not None}


def _chains(name: str, told: dict[str, Any]) -> Iterator[list[tuple[int, int, int]]]:
    """Ways to put a tensor together: each part is in one at least, so that copies are proven as well."""
    parts = [(int(file), int(first), int(last)) for file, first, last in told["pieces"]]
    if told["axis"] is None:
        yield from ([part] for part in parts)
        return
    size = told["shape"][told["axis"]]
    by_range: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for part in parts:
        if part[2] > part[1]:
            by_range.setdefault(part[1:], []).append(part)
    ranges = sorted(by_range)
    if [first for first, _ in ranges] != [0, *(last for _, last in ranges[:-1])] or ranges[-1][1] != size:
        raise _damaged(f"The parts of {name} do not make the whole of it.")
    for turn in range(max(len(same) for same in by_range.values())):
        yield [by_range[span][min(turn, len(by_range[span]) - 1)] for span in ranges]


def _hold(
    name: str, told: dict[str, Any], dtype: str, shape: tuple[int, ...], first: int, last: int, file: str
) -> None:
    expected = list(told["shape"])
    if told["axis"] is not None:
        expected[told["axis"]] = last - first
    if dtype != told["dtype"] or list(shape) != expected:
        raise _damaged(f"{name} in {file} is {list(shape)} of {dtype}, not {expected} of {told['dtype']}.")


def _joined(parts: list[Part], axis: int | None, shape: list[int]) -> Iterator[bytes]:
    """The tensor's bytes in order; ``parts`` are (descriptor, offset, bytes, values along the axis)."""
    if axis != 1:
        for stream, offset, length, _ in parts:
            for at in range(0, length, BLOCK):
                yield os.pread(stream, min(BLOCK, length - at), offset + at)
        return
    rows = shape[0]
    widths = [length // rows if rows else 0 for _, _, length, _ in parts]
    step = max(1, BLOCK // max(1, sum(widths)))
    for first in range(0, rows, step):
        count = min(step, rows - first)
        tables = [
            np.frombuffer(os.pread(stream, count * width, offset + first * width), np.uint8).reshape(count, width)
            for (stream, offset, _, _), width in zip(parts, widths, strict=True)
        ]
        yield np.concatenate(tables, axis=1).tobytes()


def _hashes(path: Path) -> dict[str, str]:
    found = {}
    for name, (file, entry) in read_source(path).tensors.items():
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            for at in range(entry.start, entry.end, BLOCK):
                digest.update(os.pread(stream.fileno(), min(BLOCK, entry.end - at), at))
        found[name] = digest.hexdigest()
    return found


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != 1 or not manifest["files"]:
            raise ValueError("another format")
        for told in manifest["tensors"].values():
            if not {"dtype", "shape", "sha256", "axis", "pieces"} <= set(told):
                raise ValueError("a tensor without its parts")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ShardingRefused(
            "shard-damaged", f"{path} is no list of shards: {error}.", "Give the folder that the split wrote."
        ) from error
    return manifest


def _damaged(what: str) -> ShardingRefused:
    return ShardingRefused("shard-damaged", what, "Split the original again.")
