"""The weights of a decoder: one model.safetensors, or the shards that model.safetensors.index.json lists.

A weight is read block by block out of a memory map and the map is let go after each block, so that a table of four
gigabytes needs the memory of one block.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.conversion.decoders.packed import experts_in
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.index import read_index
from jobs.conversion.weights import TYPES, SafetensorsFile, TensorEntry

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
# Values a block: 32 MiB as float32.
BLOCK = 8 * 1024 * 1024
# Bytes of the map that may be in memory at once while a matrix is turned.
MAPPED = 16 * 1024 * 1024


class Shards:
    """All tensors of a model folder by name; which of them were asked for is remembered."""

    def __init__(self, folder: Path) -> None:
        """Checks every shard's header. Raises `file-missing`, `index-invalid` and what SafetensorsFile raises."""
        self.folder = folder
        self.used: set[str] = set()
        placed = None if (folder / SINGLE).is_file() else self._index()
        names = sorted(set(placed.values())) if placed else [SINGLE]
        self._files = {name: SafetensorsFile(folder / name) for name in names}
        self._where = placed or dict.fromkeys(self._files[SINGLE], SINGLE)
        self._unpack()

    @property
    def paths(self) -> list[Path]:
        """The files that the weights come from, the index first if there is one."""
        files = [file.path for file in self._files.values()]
        return files if SINGLE in self._files else [self.folder / INDEX, *files]

    def __contains__(self, name: object) -> bool:
        return name in self._where

    @property
    def parameters(self) -> int:
        """How many values the weights have that were asked for."""
        return sum(math.prod(self._files[self._where[name]].entry(name).shape) for name in self.used)

    def blocks(
        self,
        name: str,
        shape: tuple[int, ...],
        precision: np.dtype[Any],
        *,
        transposed: bool = False,
        rows: NDArray[np.int64] | None = None,
    ) -> Iterator[NDArray[Any]]:
        """The values as `precision`, in the order of the result, in blocks of about BLOCK values.

        `rows` picks and orders rows first; `transposed` gives a matrix [out, in] as [in, out]. Raises `tensor-missing`,
        `tensor-type`, `tensor-shape` at once and `weight-overflow` when a value is beyond what `precision` holds.
        """
        file, entry = self._place(name, shape)
        self.used.add(name)
        return self._read(file, entry, precision, transposed, rows)

    def _unpack(self) -> None:
        """Has packed experts one by one. A packed tensor beside some of its own parts stays, and is unexpected."""
        for name, shard in list(self._where.items()):
            file = self._files[shard]
            parts = experts_in(file.entry(name)) if name in file else []
            if parts and not any(part.name in self._where for part in parts):
                file.divide(name, parts)
                del self._where[name]
                self._where |= dict.fromkeys((part.name for part in parts), shard)

    def _read(
        self,
        file: SafetensorsFile,
        entry: TensorEntry,
        precision: np.dtype[Any],
        transposed: bool,
        rows: NDArray[np.int64] | None,
    ) -> Iterator[NDArray[Any]]:
        height = entry.shape[0]
        width = math.prod(entry.shape) // height
        # A map starts on a page of its own, a tensor anywhere.
        begin = entry.start - entry.start % mmap.ALLOCATIONGRANULARITY
        with file.path.open("rb") as stream:
            # Closed by the last array that looks into it, not before.
            view = mmap.mmap(stream.fileno(), entry.end - begin, offset=begin, access=mmap.ACCESS_READ)
        matrix = np.frombuffer(view, TYPES[entry.type], height * width, entry.start - begin).reshape(height, width)
        count = height if rows is None else len(rows)
        step = max(1, BLOCK // (count if transposed else width))
        if not transposed:
            for start in range(0, count, step):
                block = matrix[start : start + step] if rows is None else matrix[rows[start : start + step]]
                yield self._cast(block, precision, entry.name)
                view.madvise(mmap.MADV_DONTNEED)
            return
        # A column touches every page of the map: they are let go on the way down.
        tall = max(1, MAPPED // (width * matrix.itemsize))
        for start in range(0, width, step):
            columns = slice(start, min(start + step, width))
            block = np.empty((columns.stop - start, count), precision)
            for first in range(0, count, tall):
                some = slice(first, first + tall)
                part = matrix[some, columns] if rows is None else matrix[rows[some], columns]
                block[:, some] = self._cast(part.T, precision, entry.name)
                view.madvise(mmap.MADV_DONTNEED)
            yield block

    def same(self, one: str, other: str, shape: tuple[int, ...]) -> bool:
        """Whether two tensors hold the same values."""
        pairs = zip(
            self.blocks(one, shape, np.dtype(np.float32)), self.blocks(other, shape, np.dtype(np.float32)), strict=True
        )
        return all(np.array_equal(left, right) for left, right in pairs)

    def rows(self, name: str) -> int:
        """How many rows a matrix has. Raises `tensor-missing`, `tensor-shape`."""
        if name in self._where and len(shape := self._files[self._where[name]].entry(name).shape) == 2:
            return shape[0]
        # Neither a name that is not there nor another number of axes fits this.
        self._place(name, (0, 0))
        raise AssertionError(name)

    def refuse_unused(self, ignored: Callable[[str], bool]) -> None:
        """Refuses weights that nothing asked for, but those that are `ignored` by name: `tensor-unexpected`."""
        left = sorted(name for name in self._where if name not in self.used and not ignored(name))
        if left:
            raise ConversionRefused(
                "tensor-unexpected",
                f"{self.folder.name} holds {len(left)} weights that its config.json has no place for, {left[0]} first.",
                "Check that the weights and config.json belong together.",
            )

    def _cast(self, block: NDArray[Any], precision: np.dtype[Any], name: str) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            cast = np.ascontiguousarray(block).astype(precision)
        if precision == np.float16 and not np.isfinite(cast).all():
            raise ConversionRefused(
                "weight-overflow",
                f"{name} holds values beyond float16's 65504, or no numbers at all.",
                "Convert with --precision float32.",
            )
        return cast

    def _place(self, name: str, shape: tuple[int, ...]) -> tuple[SafetensorsFile, TensorEntry]:
        if name not in self._where:
            raise ConversionRefused(
                "tensor-missing",
                f"{self.folder.name} has no tensor {name}, which its architecture needs.",
                "Check that the weights and config.json belong together.",
            )
        file = self._files[self._where[name]]
        return file, file.float_entry(name, shape)

    def _index(self) -> dict[str, str]:
        path = self.folder / INDEX
        if not path.is_file():
            raise ConversionRefused(
                "file-missing",
                f"There is neither {SINGLE} nor {INDEX} in {self.folder.name}.",
                "Give the whole model folder, with safetensors or with pytorch_model.bin.",
            )
        return read_index(path)
