"""torch's own answers against ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from safetensors import SafetensorError
from safetensors.numpy import load_file

from jobs.conversion.agreement import Disagreement, difference
from jobs.conversion.errors import ConversionRefused


def hold(model: Path, answers: Path, name: str) -> tuple[int, float]:
    """How many runs were compared, and the largest difference relative to an output's largest value.

    `answers` has `RUN/in/NAME` and `RUN/out/INDEX`. Raises `program-changed`.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    worst = 0.0
    try:
        values = load_file(answers)
        runs = sorted({key.partition("/")[0] for key in values})
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        for run in runs:
            feed = {port.name: values[f"{run}/in/{port.name}"] for port in session.get_inputs()}
            given = session.run(None, feed)
            expected = [key for key in values if key.startswith(f"{run}/out/")]
            if len(given) != len(expected):
                raise _changed(name, f"it has {len(given)} outputs and torch has {len(expected)}")
            for index, new in enumerate(given):
                try:
                    worst = max(worst, difference(values[f"{run}/out/{index}"], new))
                except Disagreement as found:
                    raise _changed(name, f"output {index} {found}") from found
    except ConversionRefused:
        raise
    except SafetensorError as error:
        raise _changed(name, f"torch's answers cannot be read: {error}") from error
    except Exception as error:  # onnxruntime raises types of its own, which it does not export
        raise _changed(name, f"ONNX Runtime does not run it: {' '.join(str(error).split())[:200]}") from error
    return len(runs), worst


def _changed(name: str, why: str) -> ConversionRefused:
    return ConversionRefused(
        "program-changed",
        f"The ONNX of {name} does not answer as torch does: {why}.",
        "Give fixed sizes where -1 was given, or export it where it was made.",
    )
