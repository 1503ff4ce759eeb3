"""AIPP: what the chip does to an image before the model sees it, as the file that ``--insert_op_conf`` names. Pure.

Static AIPP only. Names and meaning of the fields: the AIPP chapter of the ATC guides of CANN 8.0 and 9.1 on
hiascend.com. Its order is fixed: crop, colour conversion, then (pixel - mean - min) * var_reci.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.conversion.checks import Profiles
from jobs.conversion.errors import ConversionRefused

# Of 8 bits a channel; further formats and matrices of one's own are for a file.
INPUT_FORMATS = ("YUV420SP_U8", "RGB888_U8", "XRGB8888_U8", "YUV400_U8")
CHANNELS = {"YUV400_U8": 1}


@dataclass(frozen=True)
class Aipp:
    """``width`` and ``height`` of the image that comes in, in pixels (0: as large as the model's input); ``crop`` is
    left, top, width, height; ``mean`` 0 to 255, ``minimum`` and ``factor`` (var_reci) one number a channel each.
    ``input`` is which input of the model it is for, from 0.
    """

    input_format: str
    width: int = 0
    height: int = 0
    crop: Sequence[int] = ()
    convert_colour: bool = False
    swap_red_blue: bool = False
    mean: Sequence[int] = ()
    minimum: Sequence[float] = ()
    factor: Sequence[float] = ()
    input: int = 0

    def text(self) -> str:
        """The configuration in protobuf's text form. Raises ConversionRefused (`aipp`)."""
        channels = CHANNELS.get(self.input_format, 3)
        for name, values in (("mean", self.mean), ("min", self.minimum), ("var_reci", self.factor)):
            if values and len(values) != channels:
                raise ConversionRefused(
                    "aipp",
                    f"AIPP: {name} has {len(values)} numbers, and {self.input_format} has {channels} channels.",
                    f"Give {channels} numbers.",
                )
        lines = [
            "aipp_mode: static",
            f"related_input_rank: {self.input}",
            f"input_format: {self.input_format}",
            f"src_image_size_w: {self.width}",
            f"src_image_size_h: {self.height}",
        ]
        if self.crop:
            left, top, width, height = self.crop
            if not self.width or left + width > self.width or top + height > self.height:
                raise ConversionRefused(
                    "aipp",
                    f"AIPP: the crop {left},{top} of {width} x {height} is not within {self.width} x {self.height}.",
                    "Give width and height of the image, and a crop within it.",
                )
            lines += ["crop: true", f"load_start_pos_w: {left}", f"load_start_pos_h: {top}"]
            lines += [f"crop_size_w: {width}", f"crop_size_h: {height}"]
        if self.convert_colour:
            lines.append("csc_switch: true")
        if self.swap_red_blue:
            lines.append("rbuv_swap_switch: true")
        for field, numbers in (("mean_chn", self.mean), ("min_chn", self.minimum), ("var_reci_chn", self.factor)):
            lines += [f"{field}_{channel}: {number}" for channel, number in enumerate(numbers)]
        return "aipp_op {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def check_with(profiles: Profiles, aipp: Aipp | None) -> None:
    """What atc refuses together with AIPP; ``aipp`` is None for a file, which is not read. Raises ConversionRefused."""
    if profiles.option == "dynamic_dims":
        raise ConversionRefused(
            "aipp-dynamic", "AIPP and --dynamic_dims exclude each other.", "Use --dynamic_image_size, or no AIPP."
        )
    if aipp is not None and profiles.option == "dynamic_image_size" and (aipp.width or aipp.height or aipp.crop):
        raise ConversionRefused(
            "aipp-dynamic",
            "With --dynamic_image_size AIPP neither crops nor knows the size of the image beforehand.",
            "Leave width, height and crop out.",
        )
