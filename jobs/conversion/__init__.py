"""Models into the forms that a machine serves: safetensors -> ONNX, ONNX -> what `atc` is asked for.

Pure: numpy and onnx, no Django, no torch. The parts are imported by their module, so that a plan which only needs
the `atc` command line does not load onnx:

- `encoder.convert_encoder` BERT-class safetensors folder (+ classifier head) -> one ONNX
- `inspection.inspect_onnx` what an ONNX file holds, or one sentence on why it is none
- `atc.plan_atc` the exact `atc` command, checked against the model, the chip and the CANN version
- `atc_log.read_atc_log` what `atc` printed -> code, cause, mend
"""
