"""Why a quantization is refused. What `jobs.conversion.skeleton` refuses about a file is refused here as it is.

QuantizationRefused     code                      when
                        scheme-unknown            no scheme or form of that name
                        opset-too-old             int8-dynamic on an opset before 11
                        nothing-to-quantize       no weight in the model that the scheme covers
                        tensor-damaged            a weight has another number of bytes than its shape says
                        model-invalid             onnx.checker refuses the model that was given
                        result-invalid            onnx.checker or ONNX Runtime refuses what was made of a good model
                        output-is-input           the output would overwrite what is read
                        disk-full                 the disk has not the room that the output needs
                        not-writable              the output cannot be written (folder, rights)
                        calibration-invalid       the calibration file cannot be used: the line or the array is named
                        profile-needed            calibration texts without the profile that tokenizes them
                        profile-invalid           no profile, or no tokenizer in it
"""

from __future__ import annotations

from jobs.conversion.errors import ConversionRefused


class QuantizationRefused(ConversionRefused):
    """An expected failure, told as a conversion tells its own."""
