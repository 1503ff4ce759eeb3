"""The shapes that atc is told where nobody gave any: out of a model's own inputs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.conversion.checks import Profiles, check_axes, parse_input_shape
from jobs.conversion.errors import ConversionRefused


def default_shape(model: str, inputs: Sequence[dict[str, Any]], profiles: Profiles | None, length: int | None) -> str:
    """``--input_shape`` out of a model's own inputs (name, shape with numbers or names): one at a time, texts of
    ``length`` tokens, and -1 where ``profiles`` say what a size may be.

    Raises ConversionRefused: `input-name`, `input-shape-missing` for sizes that nothing tells, `profiles-axes` as
    ``check_axes``.
    """
    parts: list[str] = []
    open_sizes: list[str] = []
    for port in inputs:
        if ";" in port["name"]:
            raise ConversionRefused(
                "input-name",
                f"Input {port['name']!r} of {model} has a semicolon in its name, which --input_shape does not bear.",
                "Give it another name where the model is exported.",
            )
        sizes: list[int] = []
        for place, own in enumerate(port["shape"]):
            size = own if isinstance(own, int) and own > 0 else _size(place, len(port["shape"]), profiles, length)
            if size is None:
                open_sizes.append(f"{port['name']}: {own or f'size {place + 1}'}")
            sizes.append(size or 1)
        if sizes:
            parts.append(f"{port['name']}:{','.join(str(size) for size in sizes)}")
    if open_sizes or not parts:
        raise ConversionRefused(
            "input-shape-missing",
            f"{model} leaves sizes open that nothing tells ({', '.join(open_sizes) or 'its inputs are not known'}).",
            "Give the input shape, such as input_ids:1,128.",
        )
    shape = ";".join(parts)
    if profiles is not None:
        check_axes(parse_input_shape(shape), profiles)
    return shape


def _size(place: int, rank: int, profiles: Profiles | None, length: int | None) -> int | None:
    """What a free dimension becomes; None where nothing tells."""
    varies = {
        "dynamic_batch_size": place == 0,
        "dynamic_image_size": rank == 4 and place in (2, 3),
        "dynamic_dims": True,
    }
    if profiles is not None and varies[profiles.option]:
        return -1
    if place == 0:
        return 1
    return length if rank == 2 and place == 1 else None
