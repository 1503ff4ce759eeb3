"""What a simulated machine's CANN does: `atc` and `converter_lite`, with the texts and codes of the real ones.

Where a text has no public capture, it is formed as the others of its release (8.0) are: code, process and time, the
value and the parameter in brackets, then the solution on a line of its own.
"""
