"""A state dict's tensors as one safetensors file, in blocks: memory does not grow with the tensors."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.pickled.archive import Archive, Place
from jobs.conversion.pickled.machine import MEND
from jobs.conversion.pickled.tensors import Tensor

# Bytes that are read and written at once.
BLOCK = 8 * 1024**2
# Pages of the source that may be mapped in at once while values are gathered.
MAPPED = 64 * 1024**2
# What training scripts wrap a state dict in.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
# A matrix that serves at both ends of a model is written twice; what becomes larger than this was made to fill a disk.
MOST_SHARED = 4
HEADER_LIMIT = 100_000_000


def weights_of(value: Any, name: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by name, and the names of what is none. Raises `no-weights`."""
    held = value
    if isinstance(value, dict) and not _tensors(value):
        wraps = [key for key in WRAPPERS if isinstance(value.get(key), dict) and _tensors(value[key])]
        if len(wraps) == 1:
            held = value[wraps[0]]
    tensors = _tensors(held) if isinstance(held, dict) else {}
    if not tensors or "__metadata__" in tensors:
        keys = ", ".join(str(key)[:40] for key in list(value)[:8]) if isinstance(value, dict) else type(value).__name__
        raise ConversionRefused("no-weights", f"{name} is no state dict of named tensors; it holds: {keys}.", MEND)
    return tensors, [str(key) for key in held if key not in tensors]


def _tensors(value: dict[Any, Any]) -> dict[str, Tensor]:
    return {key: one for key, one in value.items() if isinstance(key, str) and isinstance(one, Tensor)}


def write(
    archive: Archive, source: int, tensors: dict[str, Tensor], out: int, room: int, tell: Callable[[int, int], None]
) -> int:
    """Writes to the open file `out` from the open file `source`; the bytes that were written.

    Raises `not-writable` when more than `room` bytes would be written, `checkpoint-unsafe` and `pickle-damaged`; `tell`
    gets the bytes done and all bytes.
    """
    places = {
        name: archive.place_of(one.storage.key, one.storage.count * one.storage.type.bytes)
        for name, one in tensors.items()
    }
    header, at = {}, 0
    for name, one in tensors.items():
        header[name] = {"dtype": one.type.code, "shape": list(one.shape), "data_offsets": [at, at + one.bytes]}
        at += one.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    total = 8 + len(text) + at
    if at > MOST_SHARED * archive.size:
        raise ConversionRefused(
            "checkpoint-unsafe",
            f"The checkpoint of {archive.size} bytes describes weights of {at}: many of them are the same values.",
            MEND,
        )
    if total > room or len(text) > HEADER_LIMIT:
        raise ConversionRefused(
            "not-writable",
            f"The weights take {total} bytes as safetensors, and {max(room, 0)} may be written here.",
            "Free some space or work in another folder.",
        )
    _put(out, len(text).to_bytes(8, "little") + text)
    done = 0
    for name, one in tensors.items():
        for block in _blocks(source, places[name], one):
            _put(out, block)
            done += len(block)
            tell(done, at)
    return total


def _blocks(source: int, place: Place, tensor: Tensor) -> Iterator[bytes | memoryview]:
    if not tensor.elements:
        return
    start = place.start + tensor.start
    if not tensor.contiguous:
        yield from _gathered(source, start, tensor)
        return
    left = tensor.bytes
    while left:
        block = os.pread(source, min(BLOCK, left), start + tensor.bytes - left)
        if not block:
            raise OSError("the checkpoint became shorter while it was read")
        left -= len(block)
        yield block


def _gathered(source: int, start: int, tensor: Tensor) -> Iterator[memoryview]:
    """Values that lie in another order than they are written, or with gaps."""
    begin = start - start % mmap.ALLOCATIONGRANULARITY
    size = tensor.type.bytes
    view = mmap.mmap(source, start - begin + tensor.span, offset=begin, access=mmap.ACCESS_READ)
    flat = np.frombuffer(view, np.dtype(f"u{size}"), tensor.span // size, start - begin)
    values = as_strided(flat, tensor.shape, [stride * size for stride in tensor.strides], writeable=False)
    for part in _parts(values, BLOCK // size):
        made = np.empty(part.shape, part.dtype)
        _gather(made, part, lambda: view.madvise(mmap.MADV_DONTNEED))
        yield made.reshape(-1).data.cast("B")


def _parts(values: NDArray[Any], most: int) -> Iterator[NDArray[Any]]:
    """The array in pieces of at most `most` values, in order."""
    if values.size <= most:
        yield values
        return
    row = values.size // values.shape[0]
    if row > most:
        for index in range(values.shape[0]):
            yield from _parts(values[index], most)
        return
    step = most // row
    for first in range(0, values.shape[0], step):
        yield values[first : first + step]


def _gather(made: NDArray[Any], part: NDArray[Any], let_go: Callable[[], None]) -> None:
    """Copies along the axis with the longest steps, and lets the pages go on the way."""
    axis = int(np.argmax([abs(step) for step in part.strides])) if part.ndim else 0
    spans = [(size - 1) * step for size, step in zip(part.shape, part.strides, strict=True)]
    reach = sum(spans) + part.itemsize
    pieces = min(part.shape[axis], -(-reach // MAPPED)) if part.ndim else 1
    if pieces <= 1:
        made[...] = part
        let_go()
        return
    step = -(-part.shape[axis] // pieces)
    for first in range(0, part.shape[axis], step):
        where = (slice(None),) * axis + (slice(first, first + step),)
        made[where] = part[where]
        let_go()


def _put(out: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(out, left) :]
