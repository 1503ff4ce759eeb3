"""Reads a pickle's instructions and carries out those that a state dict is made of.

This is not Python's unpickler and shares no code with its `load`: nothing is imported, no attribute is looked up, no
object is made but dicts, lists, tuples, plain values, storages and tensors. A global is a pair of words; the few that
are known stand in `GLOBALS` and `CALLS`, and every other one is refused before anything is done with it.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.pickled.tensors import STORAGES, TYPES, Storage, Tensor, Type, damaged, make_tensor

MEND = (
    "Save only the weights as safetensors where the model was trained: "
    "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
)
# How torch spells a type of values: float8_e4m3fn, uint16, complex64.
TYPE = re.compile(r"q?u?(?:int|float|complex|bits)\d\w*")
# The type of an untyped storage, which counts bytes.
BYTES = Type("uint8")


@dataclass(frozen=True)
class Word:
    """A global that is known: what `GLOBALS` has under its name."""

    name: str


class _Mark:
    """Where a run of values on the stack begins."""


MARK = _Mark()


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    """torch._utils._rebuild_tensor_v2: storage, offset, shape, strides, gradient wanted, hooks, metadata."""
    if len(arguments) not in (4, 6, 7):
        raise damaged("a tensor is not made of four, six or seven parts")
    if len(arguments) == 7 and arguments[6]:
        raise _unfit("a tensor that is conjugated or negated when it is read")
    return make_tensor(arguments[:4])


def _typed_tensor(arguments: tuple[Any, ...]) -> Tensor:
    """torch._utils._rebuild_tensor_v3, which has the type as its seventh part."""
    if len(arguments) not in (7, 8) or not isinstance(arguments[6], Type):
        raise damaged("a tensor has no type")
    if len(arguments) == 8 and arguments[7]:
        raise _unfit("a tensor that is conjugated or negated when it is read")
    return make_tensor(arguments[:4], arguments[6])


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    """torch._utils._rebuild_parameter: tensor, gradient wanted, hooks, and perhaps a state."""
    if len(arguments) not in (3, 4) or not isinstance(arguments[0], Tensor):
        raise damaged("a parameter holds no tensor")
    return arguments[0]


def _empty(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise damaged("an ordered dict is not filled as torch fills one")
    return {}


def _shape(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(arguments) != 1 or not isinstance(arguments[0], tuple):
        raise damaged("a shape is not made of sizes")
    return arguments[0]


def _device(arguments: tuple[Any, ...]) -> None:
    """Where the tensors were when they were saved, which is of no use here."""


CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _empty,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _shape,
    "torch.device": _device,
}
GLOBALS: dict[str, Any] = {
    **{name: Word(name) for name in CALLS},
    **{f"torch.{name}": Type(name) for name in TYPES},
    **{f"torch.{name}": Type(kind) for name, kind in STORAGES.items()},
    "torch.storage.UntypedStorage": BYTES,
    "torch.UntypedStorage": BYTES,
}
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# Instructions whose argument is the value.
PLAIN = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES",
    "SHORT_BINBYTES",
}  # fmt: skip
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NOTHING = {"PROTO", "FRAME"}


class Machine:
    """One pickle, carried out. Raises ConversionRefused: `pickle-refused`, `pickle-damaged`."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> Any:
        """The value that the pickle stands for."""
        try:
            for opcode, argument, _ in pickletools.genops(pickle):
                if opcode.name == "STOP":
                    return self._stack.pop()
                self._step(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise damaged(f"its pickle cannot be read ({type(error).__name__})") from error
        raise damaged("its pickle has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in PLAIN:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "MARK":
            stack.append(MARK)
        elif name in TUPLES:
            count = TUPLES[name]
            if len(stack) < count:
                raise IndexError(name)
            parts = tuple(stack[len(stack) - count :])
            del stack[len(stack) - count :]
            stack.append(parts)
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("SETITEM", "SETITEMS"):
            self._set(self._marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()])
        elif name in ("APPEND", "APPENDS"):
            values = self._marked() if name == "APPENDS" else [stack.pop()]
            if not isinstance(stack[-1], list):
                raise damaged("something is appended to what is no list")
            stack[-1].extend(values)
        elif name == "GLOBAL":
            stack.append(_known(argument.replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            last, module = stack.pop(), stack.pop()
            stack.append(_known(f"{module}.{last}"))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            if not isinstance(called, Word) or not isinstance(arguments, tuple):
                raise damaged("something is called that cannot be called")
            stack.append(CALLS[called.name](arguments))
        elif name == "BUILD":
            # `_metadata`, the versions of modules, that torch hangs on an ordered dict.
            if not isinstance(stack.pop(), dict) or not isinstance(stack[-1], dict):
                raise _unfit("an object that is given a state")
        elif name not in NOTHING:
            raise _unfit(f"the pickle instruction {name}")

    def _marked(self) -> list[Any]:
        """The values above the last mark."""
        stack = self._stack
        at = len(stack) - 1
        while stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark")
        values = stack[at + 1 :]
        del stack[at:]
        return values

    def _set(self, pairs: list[Any]) -> None:
        held = self._stack[-1]
        if not isinstance(held, dict) or len(pairs) % 2:
            raise damaged("something is put into what is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int):
                raise _unfit("a dict whose keys are no names")
            held[key] = value


def _known(name: str) -> Any:
    if name in GLOBALS:
        return GLOBALS[name]
    kind = name.removeprefix("torch.")
    if name != kind and (kind.endswith("Storage") or TYPE.fullmatch(kind)):
        raise _unfit(f"values of the type {name[:200]!r}")
    raise ConversionRefused(
        "pickle-refused",
        f"The checkpoint asks for {name[:200]!r}, which no table of weights is made of; it was not loaded.",
        MEND,
    )


def _unfit(what: str) -> ConversionRefused:
    return ConversionRefused(
        "pickle-refused", f"The checkpoint holds {what}, which is not built here; it was not loaded.", MEND
    )


def _storage(told: Any) -> Storage:
    """torch's persistent id: 'storage', its type, its key, the device that it was on, how many values it has."""
    if not isinstance(told, tuple) or len(told) != 5 or told[0] != "storage":
        raise damaged("a storage is not named as torch names one")
    _, kind, key, _, count = told
    if not isinstance(kind, Type) or not isinstance(key, str) or isinstance(count, bool) or not isinstance(count, int):
        raise damaged("a storage has no type, no name or no length")
    if not 0 <= count < 1 << 62:
        raise damaged("a storage has no length")
    return Storage(key, kind, count)
