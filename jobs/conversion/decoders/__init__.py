"""Language models that write token after token, from safetensors into one ONNX with a cache of keys and values.

`config` and `deepseek` what config.json says, `rope` and `angles` rotary positions, `shards` the weights and `packed`
those of experts in one tensor, `parts` what every layer is made of, `attention`, `latent`, `mixture` and `decoder` the
graph, `convert` the file. Pure numpy and onnx: torch is neither needed nor used.
"""
