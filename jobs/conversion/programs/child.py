"""``python -m jobs.conversion.programs.child ASKED``: the process that loads, runs and exports a program. See `load`.

The archive is its standard input, ASKED a JSON object of `Asked`. Loading such an archive runs what is in it (torch
unpickles, and calls what it defines), so all that torch will need is imported, by exporting a program of our own,
before the process gives up what it can do. It says `sandbox`, how far it is, and last `done` or `refused`.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors.numpy import save as packed

from jobs.conversion.apart.process import say
from jobs.conversion.apart.sandbox import enter
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.programs.archive import SCRIPT
from jobs.conversion.programs.ports import SEED, Port

SOURCE = 0
ROOM = "Free some space or work in another folder."
RUNS = 2
EXPORT = "Export it with torch.onnx.export where it was made, which shows torch's whole reason."


@dataclass(frozen=True)
class Asked:
    """`model` and `answers` are open files; the limits are bytes, and seconds of computing. `ports` are those of `Port`
    as plain values; empty when none were told."""

    name: str
    kind: str
    opset: int
    ports: list[dict[str, Any]]
    model: int
    answers: int
    room: int
    seconds: int
    memory: int

    def to_json(self) -> str:
        """As the process gets it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Made:
    """The ONNX, and for each run the inputs by name and torch's outputs in order."""

    model: bytes
    runs: list[tuple[dict[str, Any], list[Any]]]


def script(raw: bytes, asked: Asked) -> Made:
    """TorchScript, by the exporter that reads its own graph."""
    import torch

    module = torch.jit.load(io.BytesIO(raw), map_location="cpu").eval()
    ports = _ports_of(module.forward.schema.arguments[1:], asked)
    runs = []
    for run in range(RUNS):
        given = {port.name: torch.from_numpy(port.example(run)) for port in ports}
        runs.append((given, _answers(module, (), given)))
    say(tell=[0.4, "run; exporting"])
    names, examples = [port.name for port in ports], tuple(one.clone() for one in runs[0][0].values())

    class Called(torch.nn.Module):
        """The script by the inputs that were told: its exporter fails where an argument is left at its default."""

        def __init__(self) -> None:
            super().__init__()
            self.script = module

        def forward(self, *values: Any) -> Any:
            return self.script(**dict(zip(names, values, strict=True)))

    out = io.BytesIO()
    # The script stays what it is within this trace, its branches and loops with it.
    torch.onnx.export(
        torch.jit.trace(Called(), examples, check_trace=False),
        examples,
        out,
        dynamo=False,
        opset_version=asked.opset,
        input_names=names,
        output_names=[f"output_{index}" for index in range(len(runs[0][1]))],
        dynamic_axes={port.name: port.open for port in ports if port.open},
    )
    return Made(out.getvalue(), runs)


def _ports_of(arguments: Sequence[Any], asked: Asked) -> list[Port]:
    """What was told of the inputs, in the order of `forward`. Raises `program-inputs`."""
    given = {one["name"]: Port(one["name"], tuple(one["shape"]), one["type"]) for one in asked.ports}
    tensors = [one.name for one in arguments if str(one.type) in ("Tensor", "Optional[Tensor]")]
    needed = [one.name for one in arguments if not one.has_default_value()]
    if not given or not set(needed) <= set(given) <= set(tensors):
        wanted = ", ".join(f"{one.name}: {one.type}{' = ...' if one.has_default_value() else ''}" for one in arguments)
        example = ";".join(f"{one}:1,3,224,224" for one in needed or tensors)
        raise ConversionRefused(
            "program-inputs",
            f"{asked.name} is TorchScript, which tells no shapes: forward({wanted}). "
            + (f"Told were those of {', '.join(given)}." if given else "None were told."),
            f'Give the shape of each: --input-shape "{example}" (-1 for an open size), and --input-type "NAME:int64" '
            "where it is not float32. Only tensors can be inputs; what has a default may be left out.",
        )
    return [given[name] for name in tensors if name in given]


def exported(raw: bytes, asked: Asked) -> Made:
    """A program of torch.export, which has its signature, open sizes and example inputs in it."""
    import torch
    from torch.utils import _pytree as tree

    program = torch.export.load(io.BytesIO(raw))
    if program.example_inputs is None:
        raise ConversionRefused(
            "program-inputs",
            f"{asked.name} was saved without its example inputs.",
            "Save it again with torch.export.save.",
        )
    leaves, form = tree.tree_flatten(program.example_inputs)
    module = program.module()
    torch.manual_seed(SEED)
    varied = [
        torch.randn_like(one) if isinstance(one, torch.Tensor) and one.is_floating_point() else one for one in leaves
    ]
    answers = [_answers(module, *tree.tree_unflatten(given, form)) for given in (leaves, varied)]
    say(tell=[0.4, "run; exporting"])
    model = torch.onnx.export(program, dynamo=True, opset_version=asked.opset, verbose=False).model_proto
    names = [value.name for value in model.graph.input]
    tensors = [[one for one in given if isinstance(one, torch.Tensor)] for given in (leaves, varied)]
    if len(names) != len(tensors[0]):
        raise ConversionRefused(
            "program-inputs",
            f"{asked.name} was exported with {len(tensors[0])} tensors and its ONNX has {len(names)} inputs.",
            "Export it with tensors as its only inputs.",
        )
    given = [dict(zip(names, one, strict=True)) for one in tensors]
    return Made(model.SerializeToString(), list(zip(given, answers, strict=True)))


def _answers(module: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    import torch
    from torch.utils import _pytree as tree

    def own(value: Any) -> Any:
        """A program may write into its inputs, and ONNX Runtime is to get what it got."""
        return value.clone() if isinstance(value, torch.Tensor) else value

    with torch.no_grad():
        answer = module(*(tree.tree_map(own, one) for one in args), **tree.tree_map(own, kwargs))
    return [one for one in tree.tree_leaves(answer) if isinstance(one, torch.Tensor)]


def rehearse(asked: Asked) -> None:
    """Saves, loads and exports a small model, so that every module of torch that this takes has been imported."""
    import torch

    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.ReLU(), torch.nn.LayerNorm(2)).eval()
    example = torch.zeros(1, 1, 2, 2)
    # An exporter that warns of a tensor prints it.
    repr(example)
    out = io.BytesIO()
    if asked.kind == SCRIPT:
        torch.jit.save(torch.jit.trace(model, example), out)
        script(out.getvalue(), Asked(**{**asdict(asked), "ports": [asdict(Port("input", (-1, 1, 2, 2)))]}))
    else:
        batch = torch.export.Dim("batch")
        torch.export.save(torch.export.export(model, (example.repeat(2, 1, 1, 1),), dynamic_shapes=({0: batch},)), out)
        exported(out.getvalue(), asked)


def write(made: Made, asked: Asked) -> dict[str, Any]:
    """Puts both files down; what was made."""
    values: dict[str, Any] = {}
    for run, (given, answers) in enumerate(made.runs):
        values |= {f"{run}/in/{name}": np.ascontiguousarray(value.detach().numpy()) for name, value in given.items()}
        values |= {f"{run}/out/{at}": np.ascontiguousarray(one.detach().numpy()) for at, one in enumerate(answers)}
    for file, raw in ((asked.model, made.model), (asked.answers, packed(values))):
        if len(raw) > asked.room:
            raise ConversionRefused(
                "not-writable", f"{len(raw)} bytes are to be written and there is room for {asked.room}.", ROOM
            )
        with os.fdopen(file, "wb", closefd=False) as stream:
            stream.write(raw)
    return {"runs": len(made.runs), "outputs": len(made.runs[0][1])}


def _shortened(text: str) -> str:
    """The exporter says the reason first, the interpreter of scripts last, and both say much."""
    return text if len(text) < 400 else f"{text[:180]} ... {text[-180:]}"


def main() -> int:
    asked = Asked(**json.loads(sys.argv[1]))
    try:
        import torch

        torch.set_num_threads(1)
        say(tell=[0.05, f"torch {torch.__version__}"])
        rehearse(asked)
        held = enter(asked.room, asked.seconds, asked.memory)
        say(sandbox=held.to_json())
        if not held.filtered:
            raise ConversionRefused(
                "sandbox-missing",
                f"{asked.name} is a program, and this system cannot keep it from doing harm: {held.system_calls}.",
                "Export it with torch.onnx.export on the machine where it was made.",
            )
        say(tell=[0.2, f"loading {asked.name}"])
        with os.fdopen(SOURCE, "rb", closefd=False) as stream:
            raw = stream.read()
        say(done=write((script if asked.kind == SCRIPT else exported)(raw, asked), asked))
    except ConversionRefused as refused:
        say(refused=[refused.code, refused.message, refused.mend])
    except MemoryError:
        say(refused=["program-limits", f"{asked.name} takes more than {asked.memory} bytes of memory.", EXPORT])
    except Exception as error:  # torch's, and whatever the program raises
        said = f"{type(error).__name__}: {_shortened(' '.join(str(error).split()))}"
        say(refused=["program-failed", f"torch cannot turn {asked.name} to ONNX: {said}.", EXPORT])
    return 0


if __name__ == "__main__":
    sys.exit(main())
