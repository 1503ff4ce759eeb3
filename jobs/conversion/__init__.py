"""Models into the forms that a machine serves. Pure: numpy and onnx, no Django, no torch.

`encoder.convert_encoder` turns a BERT-class safetensors folder, with a classifier head if there is one, into one ONNX.
"""
