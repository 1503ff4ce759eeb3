"""Programs of torch (TorchScript, torch.export) into ONNX, by torch.onnx, where torch is installed.

Such an archive is code of whoever saved it, and loading it runs what is in it. `load` never does: it looks at the names
in the zip (`archive`), reads what is asked (`ports`), and has a process apart (`child`) load, run and export it. The
ONNX and torch's own answers that come back are held against each other in ONNX Runtime (`agreement`).
"""
