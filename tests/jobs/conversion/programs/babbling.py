"""Stands in for a process that a program has taken over: it says what nobody asked for, and then nothing for ever."""

import sys
import threading

LINES = (
    "[1]",
    "no JSON",
    '{"done": 3}',
    '{"sandbox": "none", "tell": ["x", 1]}',
    '{"tell": [7, "a\\u001b[2Jb"]}',
    "[" * 9000,
)
print("\n".join(LINES), flush=True)
if sys.argv[1] == "hang":
    threading.Event().wait()
