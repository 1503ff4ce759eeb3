"""Checkpoints as torch.save writes them, byte for byte by hand: torch is not needed, and hostile ones can be made."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip
TRUE, FALSE, REDUCE, EMPTY = b"\x88", b"\x89", b"R", b")"


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def word(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def several(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def ordered(items: dict[str, bytes]) -> bytes:
    inside = b"".join(text(name) + value for name, value in items.items())
    return word("collections", "OrderedDict") + EMPTY + REDUCE + b"(" + inside + b"u"


def storage(key: str, kind: str, count: int) -> bytes:
    return several(text("storage"), word("torch", KINDS[kind]), text(key), text("cpu"), number(count)) + b"Q"


def tensor(held: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    sizes, steps = several(*map(number, shape)), several(*map(number, strides))
    parts = several(held, number(offset), sizes, steps, FALSE, ordered({}))
    return word("torch._utils", "_rebuild_tensor_v2") + parts + REDUCE


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def archive(pickle: bytes, storages: dict[str, bytes], **more: bytes) -> bytes:
    """A checkpoint's zip; `more` are entries beside the pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        made.writestr("archive/data.pkl", pickle)
        made.writestr("archive/byteorder", b"little")
        for key, raw in storages.items():
            made.writestr(f"archive/data/{key}", raw)
        made.writestr("archive/version", b"3\n")
        for name, raw in more.items():
            made.writestr(f"archive/{name}", raw)
    return out.getvalue()


def steps_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def save(path: Path, weights: dict[str, Any], around: str = "") -> Path:
    """A state dict of arrays, each in a storage of its own; with `around` under that key of another dict."""
    storages, items = {}, {}
    for index, (name, values) in enumerate(weights.items()):
        values = np.asarray(values)
        storages[str(index)] = values.tobytes()
        held = storage(str(index), str(values.dtype), values.size)
        items[name] = tensor(held, 0, values.shape, steps_of(values.shape))
    state = ordered(items)
    if around:
        state = ordered({"epoch": number(3), around: state})
    path.write_bytes(archive(pickled(state), storages))
    return path
