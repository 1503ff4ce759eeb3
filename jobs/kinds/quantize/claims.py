"""What the manual says of quantization, what was measured here, and what the claim is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

# The manual's model.
THIRTEEN_GB = 13


@dataclass(frozen=True)
class Claim:
    """``measured`` is empty where this run says nothing about it; ``note`` is what the claim is."""

    about: str
    manual: str
    measured: str
    note: str


def claims(report: Mapping[str, Any], *, whole: bool) -> list[Claim]:
    """All of the manual's claims, whichever scheme this is. ``whole``: the report has every layer."""
    bits = 4 if "int4" in str(report.get("scheme", "")) else 8
    compared = report.get("agreement") or {}
    return [
        Claim(_("8 bit: accuracy kept"), "98.7 %", _kept(compared) if bits == 8 else "", _note(compared, bits == 8)),
        Claim(
            _("4 bit: size"),
            "1/8",
            _size(report, whole=whole) if bits == 4 else "",
            _("1/8 is against FP32, without scales and what stays at more bits; against FP16 it is 1/4.")
            + _types(report, bits),
        ),
        Claim(
            _("4 bit: accuracy lost"),
            _("2 % at most"),
            _lost(compared) if bits == 4 else "",
            _note(compared, bits == 4),
        ),
        Claim(
            _("Size of a 13 GB model"),
            "13 GB → 1.6 GB",
            _("13 GB → %(gb)s GB at this model’s ratio") % {"gb": f"{THIRTEEN_GB / report['ratio']:.1f}"}
            if report.get("ratio")
            else "",
            _(
                "The manual says so of 8 bit. It is 4 bit from FP32: 13 GB / 8. With 8 bit, 13 GB in FP32 become "
                "about 3.3 GB and 13 GB in FP16 about 6.5 GB."
            ),
        ),
    ]


def _size(report: Mapping[str, Any], *, whole: bool) -> str:
    """What 4 bit alone made smaller, where that is known, and the whole model."""
    four = [layer for layer in report.get("layers") or () if layer.get("bits") == 4] if whole else []
    model = f"{report['ratio']:.2f}"
    if not four:
        return _("1/%(model)s of the model") % {"model": model}
    before, after = (sum(layer[f"bytes_{when}"] for layer in four) for when in ("before", "after"))
    return _("1/%(weights)s of the 4-bit weights, 1/%(model)s of the model") % {
        "weights": f"{before / after:.2f}",
        "model": model,
    }


def _right(compared: Mapping[str, Any]) -> tuple[float, float] | None:
    before, after = compared.get("accuracy_before"), compared.get("accuracy_after")
    return (float(before), float(after)) if before and after is not None else None


def _kept(compared: Mapping[str, Any]) -> str:
    if (right := _right(compared)) is not None:
        return _("%(share)s of the right answers kept") % {"share": f"{right[1] / right[0] * 100:.1f} %"}
    return _same(compared)


def _lost(compared: Mapping[str, Any]) -> str:
    if (right := _right(compared)) is not None:
        return _("%(points)s points") % {"points": f"{(right[0] - right[1]) * 100:.1f}"}
    return _same(compared)


def _same(compared: Mapping[str, Any]) -> str:
    if compared.get("agreement") is None:
        return ""
    return _("%(share)s the same answer") % {"share": f"{compared['agreement'] * 100:.1f} %"}


def _note(compared: Mapping[str, Any], mine: bool) -> str:
    if not mine:
        return ""
    if _right(compared) is not None:
        return _("On a labelled set: right answers before and after.")
    if compared.get("agreement") is not None:
        return _("Without labels only agreement with the original can be measured, which is not accuracy.")
    return _("Not measured here.")


def _types(report: Mapping[str, Any], bits: int) -> str:
    """What this model's weights were before, where that decides about the ratio."""
    types = sorted({str(layer["type"]) for layer in report.get("layers") or () if layer.get("type")})
    if bits != 4 or not types:
        return ""
    return " " + _("Here the weights came in %(types)s.") % {"types": ", ".join(types)}
