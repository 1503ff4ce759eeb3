"""What a conversion is asked for."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.conversion.aipp import INPUT_FORMATS
from jobs.quantization.blocks import SIZES

# atc's own values (FACTS section 2); which of them a chip has, atc says.
PRECISIONS = (
    "force_fp16", "force_fp32", "cube_fp16in_fp32out", "allow_fp32_to_fp16", "must_keep_origin_dtype",
    "allow_mix_precision", "allow_mix_precision_fp16", "allow_mix_precision_bf16",
)  # fmt: skip
OUTPUT_TYPES = ("FP32", "FP16", "UINT8", "INT8")
DYNAMIC = ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims")
ONLY_OM = (*DYNAMIC, "precision_mode", "output_type", "aipp", "aipp_fields", "soc_version")
ONLY_ONNX = ("quantize", "input_type")
_AS_IT_IS = ("", _("as atc has it"))


def _channels(field: serializers.Field[Any, Any, Any, Any]) -> serializers.ListField:
    return serializers.ListField(child=field, required=False, default=list, max_length=4)


class AippFields(serializers.Serializer[Any]):
    """Static AIPP, as ``jobs.conversion.aipp.Aipp``; anything else comes as a file."""

    input_format = serializers.ChoiceField([(one, one) for one in INPUT_FORMATS])
    width = serializers.IntegerField(min_value=0, max_value=4096, default=0)
    height = serializers.IntegerField(min_value=0, max_value=4096, default=0)
    crop = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=4096), required=False, default=list, max_length=4
    )
    convert_colour = serializers.BooleanField(default=False)
    swap_red_blue = serializers.BooleanField(default=False)
    mean = _channels(serializers.IntegerField(min_value=0, max_value=255))
    minimum = _channels(serializers.FloatField(min_value=0, max_value=255))
    factor = _channels(serializers.FloatField(min_value=-65504, max_value=65504))
    input = serializers.IntegerField(min_value=0, max_value=63, default=0)

    def validate_crop(self, value: list[int]) -> list[int]:
        if value and len(value) != 4:
            raise serializers.ValidationError(_("Give left, top, width and height."))
        return value


class Params(serializers.Serializer[Any]):
    to = serializers.ChoiceField(
        [
            ("onnx", _("ONNX, on the console")),
            ("om", _("OM, on a machine with atc")),
            ("mindir", _("MindIR, on a machine with MindSpore Lite")),
        ],
        label=_("Convert to"),
    )
    name = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$", label=_("Name of the result"))
    checkpoint = serializers.IntegerField(min_value=1, required=False, label=_("Checkpoint (for ONNX)"))
    head = serializers.IntegerField(min_value=1, required=False, label=_("Classifier head (for ONNX)"))
    max_length = serializers.IntegerField(min_value=1, max_value=8192, default=64, label=_("Tokens of a text at most"))
    quantize = serializers.ChoiceField(
        [
            ("", _("not at all")),
            ("int8-weight", _("8-bit weights")),
            ("int8-dynamic", _("8-bit weights and activations")),
            ("int4", _("4-bit weights in blocks, for ONNX Runtime")),
        ],
        required=False, default="", label=_("Quantize in the same pass (for ONNX)"),
        help_text=_("What it costs is measured. For a budget, or calibrated activations, quantize afterwards."),
    )  # fmt: skip
    block = serializers.ChoiceField(
        [(str(size), str(size)) for size in SIZES],
        required=False, default="128", label=_("Values to a scale (4-bit)"),
        help_text=_("Fewer keep more of the accuracy and take more room."),
    )  # fmt: skip
    calibration = serializers.IntegerField(
        min_value=1, required=False, label=_("Calibration set (when quantized)"),
        help_text=_("Texts (.jsonl) or inputs (.npz) to compare with the original on; without one they are generated."),
    )  # fmt: skip
    model = serializers.IntegerField(min_value=1, required=False, label=_("ONNX or AIR model (for OM and MindIR)"))
    input_shape = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=2000,
        label=_("Input shape (for OM, MindIR and TorchScript)"),
        help_text=_("As atc reads it: input_ids:1,64;attention_mask:1,64. Empty: by the model's own inputs."),
    )  # fmt: skip
    input_type = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=2000, label=_("Types of the inputs (for TorchScript)"),
        help_text=_("Of those that are not float32: input_ids:int64;attention_mask:int64."),
    )  # fmt: skip
    soc_version = serializers.RegexField(
        r"^[A-Za-z0-9_]*$", required=False, default="", allow_blank=True, label=_("soc_version (for OM)"),
        help_text=_("Empty: the chip of the machine that converts."),
    )  # fmt: skip
    dynamic_batch_size = serializers.RegexField(
        r"^[0-9, ]*$", required=False, default="", allow_blank=True, max_length=600, label=_("Batches (for OM)"),
        help_text=_("Sizes to choose from at run time: 1,2,4,8. Empty: one."),
    )  # fmt: skip
    dynamic_image_size = serializers.RegexField(
        r"^[0-9,; ]*$", required=False, default="", allow_blank=True, max_length=1200, label=_("Image sizes (for OM)"),
        help_text=_("Height,width to choose from at run time: 224,224;448,448."),
    )  # fmt: skip
    dynamic_dims = serializers.RegexField(
        r"^[0-9,; ]*$", required=False, default="", allow_blank=True, max_length=4000,
        label=_("Sizes of free dimensions (for OM)"),
        help_text=_("One number for each -1 of the input shape, profiles with semicolons: 1,64;1,128."),
    )  # fmt: skip
    precision_mode = serializers.ChoiceField(
        [_AS_IT_IS, *((one, one) for one in PRECISIONS)],
        required=False, default="", label=_("Precision (for OM)"),
    )  # fmt: skip
    output_type = serializers.ChoiceField(
        [_AS_IT_IS, *((one, one) for one in OUTPUT_TYPES)],
        required=False, default="", label=_("Type of the outputs (for OM)"),
    )  # fmt: skip
    aipp = serializers.IntegerField(min_value=1, required=False, label=_("AIPP configuration (for OM)"))
    aipp_fields = AippFields(
        required=False, label=_("AIPP in fields (for OM)"),
        help_text=_('Instead of a file: {"input_format": "RGB888_U8", "width": 224, "height": 224}'),
    )  # fmt: skip
    again = serializers.BooleanField(
        default=False, label=_("Make it again"), help_text=_("Also where the depot has the same result already.")
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed = {"onnx": "checkpoint", "om": "model", "mindir": "model"}[attrs["to"]]
        if needed not in attrs:
            raise serializers.ValidationError({needed: _("This is needed to convert to it.")})
        if attrs["to"] != "om" and (foreign := next((name for name in ONLY_OM if attrs.get(name)), None)):
            raise serializers.ValidationError({foreign: _("This is for OM only.")})
        if attrs["to"] != "onnx" and (foreign := next((name for name in ONLY_ONNX if attrs.get(name)), None)):
            raise serializers.ValidationError({foreign: _("This is for ONNX only.")})
        if attrs.get("calibration") and not attrs.get("quantize"):
            raise serializers.ValidationError({"calibration": _("This is for a model that is quantized.")})
        several = [name for name in DYNAMIC if attrs[name].strip()]
        if len(several) > 1:
            raise serializers.ValidationError({several[1]: _("Give one of the dynamic sizes only.")})
        if attrs.get("aipp") and attrs.get("aipp_fields"):
            raise serializers.ValidationError({"aipp_fields": _("Give AIPP as a file or in fields, not both.")})
        return attrs
