"""PyTorch checkpoints (.pt, .pth, .bin) into safetensors, without torch and without unpickling.

`machine` reads a pickle's instructions and knows tensors, dicts and plain values only: no name in it is ever looked up
or called. `archive` the zip around it, `tensors` what its instructions amount to, `safetensors` the file that is
written. All of this runs in a process apart (`child`); `load` starts it, and `folder` does so for a model folder.
"""
