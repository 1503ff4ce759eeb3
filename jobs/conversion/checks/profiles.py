"""Dynamic profiles: ``--dynamic_batch_size``, ``--dynamic_image_size``, ``--dynamic_dims`` against ``--input_shape``.

The rules are those of CANN's graph engine (its checks of these options, E10009 to E10046) and of the ATC guides: one of
the options at a time, 2 to 100 different profiles, -1 exactly where a profile sets a size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.conversion.checks.inspection import Inspection
from jobs.conversion.checks.shapes import Shape
from jobs.conversion.errors import ConversionRefused

FEWEST, MOST = 2, 100
# The ATC guide's limit to a batch.
LARGEST_BATCH = 2048
# Where height and width stand in an image input, by --input_format; ND is read as NCHW here.
IMAGE_AXES = {"NCHW": (2, 3), "ND": (2, 3), "NHWC": (1, 2)}
FORMS = {
    "dynamic_batch_size": "1,2,4,8",
    "dynamic_image_size": "224,224;448,448",
    "dynamic_dims": "1,64;1,128;8,128",
}


@dataclass(frozen=True)
class Profiles:
    """``option`` without its dashes; each row has the sizes of one profile in the order of the -1 that it fills."""

    option: str
    rows: tuple[Shape, ...]

    @property
    def value(self) -> str:
        """As atc reads it: ``1,2,4`` for batches, ``224,224;448,448`` for the others."""
        between = "," if self.option == "dynamic_batch_size" else ";"
        return between.join(",".join(str(size) for size in row) for row in self.rows)


def read_profiles(batch: str = "", image: str = "", dims: str = "") -> Profiles | None:
    """The one that is given; None when none is. Raises `profiles-exclusive`, `profiles-form`, `profiles-count`."""
    given = {
        name: text.strip().strip('"').rstrip(";,")
        for name, text in zip(FORMS, (batch, image, dims), strict=True)
        if text.strip().strip('"')
    }
    if not given:
        return None
    if len(given) > 1:
        raise ConversionRefused(
            "profiles-exclusive",
            f"--{' and --'.join(given)} exclude each other (E10009).",
            "Give one of them; --dynamic_dims can set batch and sizes together.",
        )
    ((option, text),) = given.items()
    parts = text.split("," if option == "dynamic_batch_size" else ";")
    try:
        rows = tuple(tuple(int(size) for size in part.split(",")) for part in parts)
    except ValueError:
        rows = ((0,),)
    pairs = option == "dynamic_image_size" and any(len(row) != 2 for row in rows)
    uneven = len({len(row) for row in rows}) > 1
    if pairs or uneven or any(size < 1 for row in rows for size in row):
        raise ConversionRefused(
            "profiles-form",
            f"--{option} cannot be read: {text!r}.",
            f'Write it as "{FORMS[option]}", each profile with as many positive sizes as the others.',
        )
    if not FEWEST <= len(rows) <= MOST or len(set(rows)) != len(rows):
        raise ConversionRefused(
            "profiles-count",
            f"--{option} has {len(rows)} profiles, {len(set(rows))} of them different; atc takes {FEWEST} to {MOST}, "
            "all different.",
            "Name each profile once; for a single one, write its sizes into --input_shape.",
        )
    if option == "dynamic_batch_size" and max(rows)[0] > LARGEST_BATCH:
        raise ConversionRefused(
            "profiles-form",
            f"--dynamic_batch_size has a batch of {max(rows)[0]}; {LARGEST_BATCH} is the most.",
            f"Keep every batch between 1 and {LARGEST_BATCH}.",
        )
    return Profiles(option, rows)


def check_axes(shapes: Mapping[str, Shape], profiles: Profiles, input_format: str = "ND") -> None:
    """Holds the profiles against the -1 of ``--input_shape``, of whatever model. Raises `profiles-axes`."""
    open_axes = _open(shapes)
    if not open_axes:
        raise _axes(
            f"--{profiles.option} is given and --input_shape has no -1.", "Put -1 where the profiles set sizes."
        )
    if profiles.option == "dynamic_batch_size":
        wrong = [f"{name}[{axis}]" for name, axis in open_axes if axis != 0]
        if wrong:
            raise _axes(
                f"--dynamic_batch_size sets the batch only, and --input_shape leaves {', '.join(wrong)} open.",
                "Give those sizes, or use --dynamic_dims.",
            )
    elif profiles.option == "dynamic_image_size":
        axes = IMAGE_AXES.get(input_format, IMAGE_AXES["NCHW"])
        for name in dict.fromkeys(name for name, _axis in open_axes):
            found = tuple(axis for other, axis in open_axes if other == name)
            if len(shapes[name]) != 4 or found != axes:
                raise _axes(
                    f"--dynamic_image_size sets height and width of an input of 4 sizes; {name} is "
                    f"{list(shapes[name])} in --input_shape.",
                    f"Put -1 at the sizes {axes[0]} and {axes[1]} of {name} and nowhere else, or use --dynamic_dims.",
                )
    elif len(profiles.rows[0]) != len(open_axes):
        raise _axes(
            f"Each profile of --dynamic_dims has {len(profiles.rows[0])} sizes and --input_shape has "
            f"{len(open_axes)} times -1.",
            "Give each profile one size for every -1, in the order of --input_shape.",
        )


def check_profiles(
    model: Inspection, shapes: Mapping[str, Shape], profiles: Profiles, input_format: str = "ND"
) -> None:
    """As `check_axes`, and against the model's own sizes. Raises `profiles-axes`, `profiles-fixed`."""
    check_axes(shapes, profiles, input_format)
    own = {port.name: port.shape for port in model.inputs}
    for name, axis in _open(shapes):
        size = own.get(name, [])[axis : axis + 1]
        if size and isinstance(size[0], int) and size[0] > 0:
            raise ConversionRefused(
                "profiles-fixed",
                f"--{profiles.option} varies size {axis} of {name}, which {model.name} fixes at {size[0]}.",
                f"Write {size[0]} there in --input_shape, or export the model with a free size.",
            )


def _open(shapes: Mapping[str, Shape]) -> list[tuple[str, int]]:
    """(input, axis) of every -1."""
    return [(name, axis) for name, shape in shapes.items() for axis, size in enumerate(shape) if size == -1]


def _axes(message: str, mend: str) -> ConversionRefused:
    return ConversionRefused("profiles-axes", message, mend)
