"""``--input_shape`` against the inputs that a model has."""

from __future__ import annotations

from jobs.conversion.checks.inspection import Inspection
from jobs.conversion.errors import ConversionRefused

Shape = tuple[int, ...]
# No tensor of a chip has more along one axis.
MOST = 2**31 - 1


def parse_input_shape(text: str) -> dict[str, Shape]:
    """``input_ids:1,64;attention_mask:1,64`` as sizes by input, as atc reads it. Raises `input-shape`."""
    shapes: dict[str, Shape] = {}
    for part in filter(None, (part.strip() for part in text.strip().strip('"').split(";"))):
        # A name may hold a colon itself: TensorFlow's do.
        name, colon, sizes = part.rpartition(":")
        try:
            shape = tuple(int(size) for size in sizes.split(",")) if sizes.strip() else ()
        except ValueError:
            shape = (0,)
        fits = all(size == -1 or 0 < size <= MOST for size in shape)
        if not colon or not name.strip() or not fits or name.strip() in shapes:
            raise ConversionRefused(
                "input-shape",
                f"--input_shape cannot be read at {part!r}.",
                'Write it as "name:1,64;other:1,64", each input once, -1 for a size that varies.',
            )
        shapes[name.strip()] = shape
    if not shapes:
        raise ConversionRefused("input-shape", "--input_shape is empty.", 'Write it as "name:1,64;other:1,64".')
    return shapes


def check_inputs(model: Inspection, shapes: dict[str, Shape], *, dynamic: bool = False) -> None:
    """Holds asked shapes against the model's inputs; `dynamic` when atc gets one of its --dynamic flags as well.

    Raises `input-unknown`, `input-missing`, `input-rank`, `input-size`, `input-dynamic`.
    """
    known = {port.name: port for port in model.inputs}
    names = ", ".join(known) or "none"
    for name, shape in shapes.items():
        port = known.get(name)
        if port is None:
            raise ConversionRefused(
                "input-unknown",
                f"{model.name} has no input {name!r}; its inputs are {names}.",
                "Use the model's own input names in --input_shape.",
            )
        if port.shape and len(shape) != len(port.shape):
            raise ConversionRefused(
                "input-rank",
                f"Input {name} of {model.name} has {len(port.shape)} dimensions {port.shape} and --input_shape gives "
                f"it {len(shape)}.",
                f"Give {len(port.shape)} sizes for {name}.",
            )
        if -1 in shape and not dynamic:
            raise ConversionRefused(
                "input-dynamic",
                f"--input_shape leaves a size of {name} open (-1) and nothing says which sizes it may take.",
                "Give a fixed size, or --dynamic_batch_size or --dynamic_dims as well.",
            )
        for asked, own in zip(shape, port.shape, strict=False):
            if isinstance(own, int) and asked not in (own, -1) and own > 0:
                raise ConversionRefused(
                    "input-size",
                    f"Input {name} of {model.name} is {port.shape} and --input_shape asks for {list(shape)}.",
                    "Keep the sizes that the model fixes, or export it with free ones.",
                )
    missing = [name for name, port in known.items() if port.free and name not in shapes]
    if missing:
        raise ConversionRefused(
            "input-missing",
            f"--input_shape says nothing of {', '.join(missing)}; the inputs of {model.name} are {names}.",
            "Name every input whose size the model leaves open.",
        )


def contradictions(model: Inspection, shapes: dict[str, Shape]) -> list[str]:
    """Warnings where sizes that the model gives one name are asked to be different."""
    said: dict[str, dict[int, str]] = {}
    for port in model.inputs:
        for own, asked in zip(port.shape, shapes.get(port.name, ()), strict=False):
            if isinstance(own, str):
                said.setdefault(own, {}).setdefault(asked, port.name)
    return [
        f"The model gives one size the name {name!r}, and --input_shape makes it "
        + " and ".join(f"{size} in {port}" for size, port in asked.items())
        + "."
        for name, asked in said.items()
        if len(asked) > 1
    ]
