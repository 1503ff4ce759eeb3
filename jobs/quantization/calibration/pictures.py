"""A picture as a vision model's input: resized, scaled, and with the mean and deviation that it was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.conversion.checks import Port
from jobs.quantization.calibration.png import NotPng, decode
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.samples import KINDS, Feed

CHANNELS = (1, 3)
# What a model sees as grey of red, green and blue (ITU-R 601).
GREY = np.array([0.299, 0.587, 0.114], np.float32)
MEND = "Give .npz files with the model's inputs, rows first."


@dataclass(frozen=True)
class Preprocessing:
    """How a pixel of 0 to 255 becomes a number: (pixel * scale - mean) / std, each channel with its own mean and std.

    The default, pixels of 0 to 1, is what YOLO takes; ImageNet models mostly take mean 0.485,0.456,0.406 and std
    0.229,0.224,0.225 beside it. `bgr`: blue comes first. `size` is height and width where the model leaves them open.
    The whole picture is resized, whatever its ratio of sides, by a triangle filter: bilinear, antialiased to smaller.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        mean, std = (",".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        size = f"{self.size[0]},{self.size[1]}" if self.size else "model"
        return f"scale={self.scale:g} mean={mean} std={std} channels={'bgr' if self.bgr else 'rgb'} size={size}"


UNIT = Preprocessing()


@dataclass(frozen=True)
class Frame:
    """A picture input: its name, numpy type, height, width, number of channels, and whether they come first."""

    name: str
    kind: Any
    height: int
    width: int
    channels: int
    first: bool


def frame_of(inputs: list[Port], preprocessing: Preprocessing) -> Frame:
    """The model's one input, if pictures fit it. Raises QuantizationRefused (`calibration-invalid`)."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{port.name}{port.shape}" for port in inputs)
        raise _invalid(f"Pictures fit a model with one input of four axes, and this one has {shapes}.")
    [port] = inputs
    batch, *rest = port.shape
    first = rest[0] in CHANNELS or rest[2] not in CHANNELS
    channels = rest[0] if first else rest[2]
    sides = rest[1:] if first else rest[:2]
    if batch not in (1, None) and isinstance(batch, int):
        raise _invalid(f"{port.name} takes {batch} pictures at once.")
    if not isinstance(channels, int):
        channels = 3
    if channels not in CHANNELS:
        raise _invalid(f"{port.name}{port.shape} has neither 1 nor 3 channels.")
    size = preprocessing.size or (0, 0)
    height, width = (own if isinstance(own, int) and own > 0 else asked for own, asked in zip(sides, size, strict=True))
    if not (height and width):
        raise _invalid(f"{port.name}{port.shape} leaves its size open.", "Say it: --size HEIGHT,WIDTH.")
    for name in ("mean", "std"):
        given = getattr(preprocessing, name)
        if len(given) not in (1, channels):
            raise _invalid(f"{len(given)} values of {name} for {channels} channels.", "Give one, or one a channel.")
    if (
        not all(preprocessing.std)
        or not np.isfinite([preprocessing.scale, *preprocessing.mean, *preprocessing.std]).all()
    ):
        raise _invalid("The std is 0, or a value is no number.", "Leave it out, or give the model's own.")
    return Frame(port.name, KINDS.get(port.type, np.uint8), height, width, channels, first)


def feed_of(content: bytes, name: str, frame: Frame, preprocessing: Preprocessing) -> Feed:
    """One picture as the model's input. An integer input gets the resized pixels as they are.

    Raises QuantizationRefused (`calibration-invalid`).
    """
    try:
        pixels = decode(content).astype(np.float32)
    except NotPng as error:
        raise _invalid(f"{name} {error}.", "Store it again as PNG, or take it away.") from error
    if frame.channels == 1:
        pixels = (pixels @ GREY)[:, :, None]
    elif preprocessing.bgr:
        pixels = pixels[:, :, ::-1]
    sized = resized(pixels, frame.height, frame.width)
    if np.issubdtype(frame.kind, np.floating):
        mean, std = (np.asarray(value, np.float32) for value in (preprocessing.mean, preprocessing.std))
        sized = (sized * np.float32(preprocessing.scale) - mean) / std
    else:
        sized = np.rint(sized)
    ordered = sized.transpose(2, 0, 1) if frame.first else sized
    return {frame.name: np.ascontiguousarray(ordered[None]).astype(frame.kind)}


def resized(pixels: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """[height, width, channels] at another size."""
    done = np.tensordot(_filter(pixels.shape[0], height), pixels, axes=(1, 0))
    done = np.tensordot(_filter(pixels.shape[1], width), done, axes=(1, 1))
    return np.ascontiguousarray(done.transpose(1, 0, 2))


def _filter(before: int, after: int) -> NDArray[np.float32]:
    """[after, before]: what each pixel gives to each new one. Pixels' middles are where their light is."""
    ratio = before / after
    reach = max(ratio, 1.0)
    middles = (np.arange(after) + 0.5) * ratio
    far = np.abs(np.arange(before) + 0.5 - middles[:, None]) / reach
    weights = np.clip(1 - far, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _invalid(what: str, mend: str = MEND) -> QuantizationRefused:
    return QuantizationRefused("calibration-invalid", what, mend)
