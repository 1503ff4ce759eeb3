"""A process apart: it reads what a stranger made, has the files that it was handed open, and can do nothing else.

`process` starts one and listens to it, `sandbox` is what it gives up before it reads. `pickled` and `programs` use it.
"""
