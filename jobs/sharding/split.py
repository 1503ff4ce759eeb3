"""Cuts a checkpoint into shards, one for each rank or by size, in one pass over it and a few megabytes of memory.

Every length is known from the headers, so files are laid out and their room is taken before the first byte is copied.
Blocks of rows are read once, hashed, and written wherever they belong. All of it stands in a folder of another name
until it is whole, and has been read back and joined again (`jobs.sharding.joining`).
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jobs.conversion.weights import TensorEntry
from jobs.sharding.errors import ShardingRefused
from jobs.sharding.joining import join
from jobs.sharding.layout import Cut, cut_of, stages_of
from jobs.sharding.shape import read_shape
from jobs.sharding.source import INDEX, Source, read_source

BLOCK = 8 * 1024 * 1024
HEADROOM = 16 * 1024 * 1024
# Files that are open at once; more are asked for by nobody who has that many chips.
MOST_FILES = 512
MANIFEST = "shards.json"
Say = Callable[[float, str], None]


@dataclass(frozen=True)
class Piece:
    """Part of a tensor in one file: ``start`` to ``stop`` along ``axis``, all of it where that is None."""

    file: int
    axis: int | None
    start: int
    stop: int


@dataclass
class Shard:
    """A file to be: its tensors with the shapes that they have there, and from where on each one's bytes lie."""

    name: str
    shapes: dict[str, tuple[str, tuple[int, ...], int]] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    header: bytes = b""
    size: int = 0

    def lay(self) -> None:
        entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        position = 0
        for name, (dtype, shape, length) in self.shapes.items():
            entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + length]}
            self.offsets[name] = position
            position += length
        text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
        # Tensors begin at a multiple of eight bytes, as the format's own writer has it.
        text += b" " * (-len(text) % 8)
        self.header = len(text).to_bytes(8, "little") + text
        self.offsets = {name: len(self.header) + offset for name, offset in self.offsets.items()}
        self.size = len(self.header) + position


def split_by_rank(path: Path, destination: Path, tensor: int, pipeline: int, say: Say) -> dict[str, Any]:
    """One file for each of ``tensor`` x ``pipeline`` ranks, tensor ranks of a stage next to each other.

    Raises ShardingRefused, ConversionRefused; the report has what was written and that it joins.
    """
    source = read_source(path)
    if not (tensor >= 1 and pipeline >= 1 and 2 <= tensor * pipeline <= MOST_FILES):
        raise ShardingRefused(
            "request-invalid", f"Tensor {tensor} x pipeline {pipeline} is no split.", f"Give 2 to {MOST_FILES} ranks."
        )
    if source.config is None:
        raise ShardingRefused(
            "config-missing", f"There is no config.json beside the weights of {path.name}.",
            "Put the model's config.json there: heads must not be cut through.",
        )  # fmt: skip
    shape = read_shape(source.config, path.stem)
    count = tensor * pipeline
    shards = [Shard(f"model-rank-{rank:02}-of-{count:02}.safetensors") for rank in range(count)]
    stages = stages_of(source.tensors, pipeline, shape.layers)
    pieces: dict[str, list[Piece]] = {}
    for name, (_, entry) in source.tensors.items():
        cut = cut_of(name, entry.shape, tensor, shape)
        pieces[name] = [
            _piece(stage * tensor + rank, rank, cut) for stage in stages[name] for rank in range(tensor)
        ]  # fmt: skip
    return _carry_out(source, destination, shards, pieces, {"tensor": tensor, "pipeline": pipeline}, say)


def split_by_size(path: Path, destination: Path, most: int, say: Say) -> dict[str, Any]:
    """Files of ``most`` bytes of tensors or less, with their index; a larger tensor has a file of its own."""
    source = read_source(path)
    groups: list[list[str]] = []
    filled = most + 1
    for name, (_, entry) in source.tensors.items():
        length = entry.end - entry.start
        if filled + length > most:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += length
    if most < 1 or not 1 <= len(groups) <= MOST_FILES:
        raise ShardingRefused(
            "request-invalid",
            f"{most} bytes a file make {len(groups)} files.",
            f"Give a size that makes 1 to {MOST_FILES}.",
        )
    shards = [Shard(f"model-{n:05}-of-{len(groups):05}.safetensors") for n in range(1, len(groups) + 1)]
    pieces = {name: [Piece(n, None, 0, 0)] for n, group in enumerate(groups) for name in group}
    return _carry_out(source, destination, shards, pieces, {"most_bytes": most}, say)


def _piece(file: int, rank: int, cut: Cut) -> Piece:
    return Piece(file, None, 0, 0) if cut.axis is None else Piece(file, cut.axis, *cut.ranges[rank])


def _carry_out(
    source: Source,
    destination: Path,
    shards: list[Shard],
    pieces: dict[str, list[Piece]],
    how: dict[str, int],
    say: Say,
) -> dict[str, Any]:
    for name, parts in pieces.items():
        entry = source.tensors[name][1]
        for part in parts:
            shape, length = _within(entry, part)
            shards[part.file].shapes[name] = (entry.type, shape, length)
    for shard in shards:
        shard.lay()
    needed = sum(shard.size for shard in shards)
    with _folder(destination, needed) as folder:
        say(0, f"{needed:,} bytes to write, {shutil.disk_usage(folder).free:,} free")
        hashes = _copy(source, folder, shards, pieces, say)
        manifest = {
            "format": 1,
            **how,
            "files": [{"name": shard.name, "size": shard.size} for shard in shards],
            "tensors": {
                name: {
                    "dtype": source.tensors[name][1].type,
                    "shape": list(source.tensors[name][1].shape),
                    "sha256": hashes[name],
                    "axis": parts[0].axis,
                    "pieces": [[part.file, part.start, part.stop] for part in parts],
                }
                for name, parts in pieces.items()
            },
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
        if "most_bytes" in how:
            places = {name: shards[parts[0].file].name for name, parts in pieces.items()}
            index = {"metadata": {"total_size": source.bytes}, "weight_map": places}
            (folder / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False), encoding="utf-8")
        for file in source.beside:
            shutil.copyfile(file, folder / file.name)
        joined = join(folder, lambda share, line: say(0.5 + share / 2, line))
    return {**how, "files": manifest["files"], "source_bytes": source.bytes, **joined}


def _copy(
    source: Source, folder: Path, shards: list[Shard], pieces: dict[str, list[Piece]], say: Say
) -> dict[str, str]:
    hashes: dict[str, str] = {}
    done = said = 0
    with ExitStack() as stack:
        outputs = []
        for shard in shards:
            descriptor = os.open(folder / shard.name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            stack.callback(os.close, descriptor)
            os.posix_fallocate(descriptor, 0, shard.size)
            _write(descriptor, shard.header, 0)
            outputs.append(descriptor)
        for name, (path, entry) in source.tensors.items():
            places = [(outputs[part.file], shards[part.file].offsets[name], part) for part in pieces[name]]
            with path.open("rb") as stream:
                hashes[name] = _copy_tensor(stream.fileno(), entry, places)
            done += entry.end - entry.start
            if done - said >= source.bytes / 50:
                said = done
                say(done / source.bytes / 2, f"{done:,} of {source.bytes:,} bytes copied, up to {name}")
        for descriptor in outputs:
            os.fsync(descriptor)
    return hashes


def _copy_tensor(stream: int, entry: TensorEntry, places: list[tuple[int, int, Piece]]) -> str:
    """Copies one tensor to all of its places; returns the SHA-256 of its bytes."""
    digest = hashlib.sha256()
    total = entry.end - entry.start
    rows = entry.shape[0] if entry.shape else 1
    width = total // rows if rows else 0
    step = max(1, BLOCK // width) if width else 1
    for first in range(0, rows if total else 0, step):
        last = min(first + step, rows)
        block = os.pread(stream, (last - first) * width, entry.start + first * width)
        digest.update(block)
        for descriptor, offset, part in places:
            if part.axis is None:
                _write(descriptor, block, offset + first * width)
            elif part.axis == 0:
                low, high = max(first, part.start), min(last, part.stop)
                if low < high:
                    inner = memoryview(block)[(low - first) * width : (high - first) * width]
                    _write(descriptor, inner, offset + (low - part.start) * width)
            else:
                value = width // entry.shape[1]
                table = np.frombuffer(block, dtype=np.uint8).reshape(last - first, width)
                columns = table[:, part.start * value : part.stop * value].tobytes()
                _write(descriptor, columns, offset + first * (part.stop - part.start) * value)
    return digest.hexdigest()


def _write(descriptor: int, content: bytes | memoryview, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _within(entry: TensorEntry, part: Piece) -> tuple[tuple[int, ...], int]:
    """The shape that a part has, and its bytes."""
    length = entry.end - entry.start
    if part.axis is None:
        return entry.shape, length
    size = entry.shape[part.axis]
    shape = tuple(part.stop - part.start if n == part.axis else dim for n, dim in enumerate(entry.shape))
    return shape, length // size * (part.stop - part.start) if size else 0


def _clear(destination: Path) -> None:
    """Removes what splits to the same place left that were killed: their room may be what this one lacks."""
    for left in destination.absolute().parent.glob(f".{glob.escape(destination.name)}.part-*"):
        process = left.name.rpartition("-")[2]
        if process.isdigit() and not Path("/proc", process).exists():
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _folder(destination: Path, needed: int) -> Iterator[Path]:
    """A folder beside the destination that takes its name when all is well, and goes when it is not.

    Raises ShardingRefused (`output-exists`, `disk-full`, `not-writable`) before anything is copied.
    """
    if destination.exists():
        raise ShardingRefused("output-exists", f"{destination} is there already.", "Give a name that is free.")
    made = destination.with_name(f".{destination.name}.part-{os.getpid()}")
    _clear(destination)
    try:
        free = shutil.disk_usage(destination.absolute().parent).free
        if needed + HEADROOM > free:
            raise ShardingRefused(
                "disk-full",
                f"The shards need {needed} bytes and the disk of {destination.absolute().parent} has {free} free.",
                "Free some space or write to another disk.",
            )
        made.mkdir()
        yield made
        made.rename(destination)
    except OSError as error:
        raise ShardingRefused(
            "not-writable", f"{destination} cannot be written: {error.strerror or error}.",
            "Check the folder, its rights and the free space.",
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(made, ignore_errors=True)
