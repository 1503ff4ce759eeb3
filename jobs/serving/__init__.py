"""The server that a release runs: a text classifier over HTTP, from an ONNX or an OM.

Self-contained, with relative imports only: the same folder runs as `python -m jobs.serving` beside the console and as
`python3 -m serving` from an image's code layer, where nothing else of the console is present.

Needs numpy, tokenizers, granian and prometheus_client; onnxruntime for `.onnx`, ais_bench (or, on a simulated machine,
its stand-in) for `.om`.
"""
