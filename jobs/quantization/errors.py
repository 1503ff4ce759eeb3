"""Why a quantization is refused. What `jobs.conversion.skeleton` refuses about a file is refused here as it is.

QuantizationRefused     code                      when
                        scheme-unknown            no scheme, form or method of that name, or none for this scheme
                        opset-too-old             before opset 7; int8-dynamic 11, int8-static 13, int4 in blocks 21
                        nothing-to-quantize       no weight in the model that the scheme covers
                        tensor-damaged            a weight has another number of bytes than its shape says
                        model-invalid             onnx.checker refuses the model that was given
                        result-invalid            onnx.checker or ONNX Runtime refuses what was made of a good model
                        output-is-input           the output would overwrite what is read
                        disk-full                 the disk has not the room that the output needs
                        not-writable              the output cannot be written (folder, rights)
                        calibration-invalid       the calibration file cannot be used: the line or the array is named
                        calibration-needed        int8-static or GPTQ without samples
                        memory-too-small          GPTQ may not have the memory that a layer's width needs
                        calibration-method        no such way to calibrate, or no such percentile
                        calibration-failed        no activation has a range: each holds NaN or infinity
                        model-unrunnable          ONNX Runtime does not run the original on the samples
                        profile-needed            calibration texts without the profile that tokenizes them
                        profile-invalid           no profile, or no tokenizer in it
                        budget-invalid            no share, or nothing may be measured
                        budget-not-measurable     a budget for a model whose answers cannot be compared
└── BudgetNotHeld       budget-not-held           more is lost than allowed whatever is kept higher (exit code 3)
"""

from __future__ import annotations

from typing import ClassVar

from jobs.conversion.errors import ConversionRefused


class QuantizationRefused(ConversionRefused):
    """An expected failure, told as a conversion tells its own."""


class BudgetNotHeld(QuantizationRefused):
    """The model and the request are sound, and what was allowed to be lost is not enough."""

    exit_status: ClassVar[int] = 3

    def __init__(self, message: str, mend: str) -> None:
        super().__init__("budget-not-held", message, mend)
