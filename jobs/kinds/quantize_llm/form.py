"""What a quantization of a large language model is asked for."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

PATH = r"^(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+$"


class Params(serializers.Serializer[Any]):
    name = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$", label=_("Name of the result"))
    model_path = serializers.RegexField(
        PATH, required=False, default="", allow_blank=True, max_length=300, label=_("Folder of the weights"),
        help_text=_("On the machine, such as /data/models/Qwen2.5-7B-Instruct."),
    )  # fmt: skip
    checkpoint = serializers.IntegerField(min_value=1, required=False, label=_("Or a checkpoint of the depot"))
    recipe = serializers.ChoiceField(
        [("quant", _("msmodelslim quant, by the model's name")), ("qwen3-moe", _("its script for Qwen3-MoE"))],
        default="quant",
        label=_("Recipe"),
    )
    model_type = serializers.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*$", required=False, default="", allow_blank=True, max_length=80,
        label=_("Name of the model, as msModelSlim has it"), help_text=_("Such as Qwen2.5-7B-Instruct."),
    )  # fmt: skip
    source_folder = serializers.RegexField(
        PATH, default="/opt/msmodelslim", max_length=300, label=_("Folder of msModelSlim's source (for the script)")
    )
    devices = serializers.RegexField(
        r"^\d{1,3}(,\d{1,3}){0,63}$", default="0", label=_("NPUs"), help_text=_("Their numbers: 0,1,2")
    )
    trust_remote_code = serializers.BooleanField(
        default=False,
        label=_("Run code that comes with the weights"),
        help_text=_("Only for weights of a source that you trust."),
    )
    folder = serializers.RegexField(PATH, default="/data/models", max_length=300, label=_("Folder for the result"))
    keep = serializers.ChoiceField(
        [
            ("by-size", _("by size")),
            ("fetch", _("in the depot as well")),
            ("leave", _("on the machine only")),
        ],
        default="by-size",
        label=_("Keep the weights"),
        help_text=_("By size: a checkpoint of the depot up to 8 GiB comes back into it."),
    )
    again = serializers.BooleanField(
        default=False, label=_("Make it again"), help_text=_("Also where the depot has the same result already.")
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["model_path"]) == bool(attrs.get("checkpoint")):
            raise serializers.ValidationError(
                {"model_path": _("Give a folder on the machine or a checkpoint of the depot.")}
            )
        if attrs["recipe"] == "quant" and not attrs["model_type"]:
            raise serializers.ValidationError({"model_type": _("msmodelslim quant finds its settings by it.")})
        return attrs
