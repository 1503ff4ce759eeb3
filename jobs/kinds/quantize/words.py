"""What a quantization's report says in English, in the reader's language. What is new since is shown as it is."""

from __future__ import annotations

import re

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

SCHEMES = {
    "int8-weight": _("8-bit weights"),
    "int8-dynamic": _("8-bit weights and activations"),
    "int8-static": _("8-bit weights and calibrated activations"),
    "int4": _("4-bit weights in blocks"),
}
# By the operator that reads them.
CLASSES = {
    "MatMul": _("Matrix products"),
    "Gemm": _("Matrix products with bias"),
    "FusedMatMul": _("Matrix products"),
    "FusedGemm": _("Matrix products with bias"),
    "Attention": _("Attention"),
    "Conv": _("Convolutions"),
    "FusedConv": _("Convolutions"),
    "Gather": _("Embedding tables"),
    "EmbedLayerNormalization": _("Embedding tables"),
    "LSTM": _("Recurrent weights"),
    "GRU": _("Recurrent weights"),
    "RNN": _("Recurrent weights"),
}
_SENTENCES = tuple(
    (re.compile(pattern, re.DOTALL), message)
    for pattern, message in (
        # Why a tensor is left.
        (r"bias, norm or scalar", _("bias, norm or scalar")),
        (r"small", _("small")),
        (r"is an output of the model", _("is an output of the model")),
        (r"is read by nothing", _("is read by nothing")),
        (r"read by (?P<operators>.+)", _("read by %(operators)s")),
        (r"too few values for each scale", _("too few values for each scale")),
        (r"holds NaN or infinity", _("holds NaN or infinity")),
        (
            r"is given to or by the body of an If or Loop",
            _("is given to or by the body of an If or Loop"),
        ),
        (r"kept for the accuracy budget", _("kept for the accuracy budget")),
        (r"already quantized", _("already quantized")),
        (r"float64", _("float64")),
        # Why GPTQ does nothing with a weight.
        (
            r"is looked up, or read by more than products from the right",
            _("is looked up, or read by more than products from the right"),
        ),
        (
            r"is multiplied inside the body of an If, Loop or Scan, or with a constant",
            _("is multiplied inside the body of an If, Loop or Scan, or with a constant"),
        ),
        (r"its inputs hold NaN or infinity", _("its inputs hold NaN or infinity")),
        (r"its inputs are all 0 on the samples", _("its inputs are all 0 on the samples")),
        (
            r"the second moments of its inputs cannot be inverted",
            _("the second moments of its inputs cannot be inverted"),
        ),
        # On what both models were compared.
        (r"(?P<why>.+), the first (?P<most>\d+) of them", _("%(why)s, the first %(most)s of them")),
        (r"(?P<name>.+) \((?P<rows>\d+) rows\)", _("%(name)s, %(rows)s rows")),
        (
            r"(?P<rows>\d+) generated inputs: random, not real data",
            _("%(rows)s generated inputs: random, not real data"),
        ),
        (r"not measured: not asked for", _("not measured: not asked for")),
        (
            r"not measured: needs about (?P<needed>\d+) MiB of memory, (?P<free>\d+) are free",
            _("not measured: needs about %(needed)s MiB of memory, %(free)s are free"),
        ),
        (
            r"not measured: ONNX Runtime does not run the original on this input \((?P<why>.+)\)",
            _("not measured: ONNX Runtime does not run the original on this input (%(why)s)"),
        ),
        (
            r"not measured: (?P<name>.+) takes (?P<needed>\d+) MiB of memory, (?P<most>\d+) are the most",
            _("not measured: %(name)s takes %(needed)s MiB of memory, %(most)s are the most"),
        ),
        # Warnings.
        (
            r"The converted model was never whole: both were compared weight by weight, and how fast they are was not "
            r"measured\.",
            _(
                "The converted model was never whole: both were compared weight by weight, and how fast they are was "
                "not measured."
            ),
        ),
        (
            r"GPTQ was fitted on (?P<rows>\d+) of the (?P<all>\d+) rows that the answers are compared on: compare on "
            r"others as well\.",
            _(
                "GPTQ was fitted on %(rows)s of the %(all)s rows that the answers are compared on: compare on others "
                "as well."
            ),
        ),
        (r"HQQ instead of GPTQ for (?P<names>.+): (?P<why>.+)\.", _("HQQ instead of GPTQ for %(names)s: %(why)s.")),
        (
            r"(?P<n>\d+) activations hold NaN, infinity or nothing and stay float: (?P<names>.+)\.",
            _("%(n)s activations hold NaN, infinity or nothing and stay float: %(names)s."),
        ),
        (
            r"(?P<name>.+) is stored more than once; what ONNX Runtime reads of it was taken\.",
            _("%(name)s is stored more than once; what ONNX Runtime reads of it was taken."),
        ),
        (
            r"(?P<name>.+) holds NaN or infinity and was left as it is\.",
            _("%(name)s holds NaN or infinity and was left as it is."),
        ),
        (
            r"Nothing of this model could be kept in 4 bits: it is what int8-weight makes\.",
            _("Nothing of this model could be kept in 4 bits: it is what int8-weight makes."),
        ),
        (
            r"Nothing of this model could be multiplied in integers: it is what int8-weight makes\.",
            _("Nothing of this model could be multiplied in integers: it is what int8-weight makes."),
        ),
        (
            r"The budget holds on generated inputs, which are random: give a calibration set of real ones\.",
            _("The budget holds on generated inputs, which are random: give a calibration set of real ones."),
        ),
        (
            r"The budget is less than one of the (?P<rows>\d+) rows that it was measured on: give more rows\.",
            _("The budget is less than one of the %(rows)s rows that it was measured on: give more rows."),
        ),
    )
)


def said(text: str) -> str:
    """A sentence of the report."""
    for pattern, message in _SENTENCES:
        if (found := pattern.fullmatch(text)) is not None:
            parts = {name: said(part) if name == "why" else part for name, part in found.groupdict().items()}
            return gettext(message) % parts if parts else gettext(message)
    return text


def scheme(name: str) -> str:
    """What a scheme makes."""
    return gettext(SCHEMES[name]) if name in SCHEMES else name


def tensor_class(operator: str) -> str:
    """The weights that an operator reads."""
    return gettext(CLASSES[operator]) if operator in CLASSES else operator
