"""What a checkpoint's pickle may be made of: types of values, storages, and tensors that look into them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from jobs.conversion.errors import ConversionRefused

# safetensors' name and the bytes of a value, by torch's names of the type and of its storage.
TYPES: dict[str, tuple[str, int]] = {
    "float64": ("F64", 8), "float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2),
    "int64": ("I64", 8), "int32": ("I32", 4), "int16": ("I16", 2), "int8": ("I8", 1), "uint8": ("U8", 1),
    "bool": ("BOOL", 1),
}  # fmt: skip
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
# torch.Tensor has no limit, and no model has more axes than this.
MOST_AXES = 16


@dataclass(frozen=True)
class Type:
    """A type of values, by torch's name of it."""

    name: str

    @property
    def bytes(self) -> int:
        """Of one value."""
        return TYPES[self.name][1]

    @property
    def code(self) -> str:
        """safetensors' name."""
        return TYPES[self.name][0]


@dataclass(frozen=True)
class Storage:
    """A run of `count` values under a key of the archive."""

    key: str
    type: Type
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view into a storage; `offset` and `strides` count values, as torch's do."""

    storage: Storage
    type: Type
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.type.bytes

    @property
    def start(self) -> int:
        """The first byte in the storage."""
        return self.offset * self.type.bytes

    @property
    def span(self) -> int:
        """How many bytes of the storage it looks over, first to last."""
        if not self.elements:
            return 0
        steps = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return (steps + 1) * self.type.bytes

    @property
    def contiguous(self) -> bool:
        """Whether its values lie in the storage as they are written."""
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True


def damaged(why: str) -> ConversionRefused:
    """The refusal of what no version of torch writes."""
    return ConversionRefused(
        "pickle-damaged",
        f"The checkpoint contradicts itself: {why}.",
        "Copy the file again and compare its SHA-256 with the original's.",
    )


def make_tensor(parts: tuple[Any, ...], type: Type | None = None) -> Tensor:
    """A tensor of storage, offset, shape and strides, once everything about it was held against its storage.

    Its values are of `type`, else of the storage's own. Raises `pickle-damaged`.
    """
    storage, offset, shape, strides = parts
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise damaged("a tensor has no storage or no shape")
    counts = (offset, *shape, *strides)
    if any(isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < 1 << 62 for one in counts):
        raise damaged("a tensor's shape is not made of counts")
    if len(shape) != len(strides) or len(shape) > MOST_AXES:
        raise damaged(f"a tensor of {len(shape)} axes has {len(strides)} strides")
    tensor = Tensor(storage, type or storage.type, offset, shape, strides)
    held = storage.count * storage.type.bytes
    if tensor.start + tensor.span > held or tensor.bytes > held:
        raise damaged(f"a tensor of shape {list(shape)} looks beyond its storage of {storage.count} values")
    return tensor
