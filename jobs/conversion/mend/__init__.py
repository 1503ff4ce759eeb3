"""An ONNX model made into one that a converter takes: ``python -m jobs.conversion.mend IN.onnx OUT.onnx``.

Each step works on the model's skeleton, its weights left where they lie: `version` (another opset), `fixed` (open
sizes), `fold` (what is constant), `narrow` (int64 constants to int32). `mended` puts them together, writes the result,
and lets it stand only when it computes what the source does (`trial`).
"""

from jobs.conversion.mend.mended import MendReport, Wish, mend

__all__ = ["MendReport", "Wish", "mend"]
