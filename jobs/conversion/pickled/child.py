"""``python -m jobs.conversion.pickled.child OUT NAME ROOM CPU``: the process that reads a checkpoint. See `load`.

The checkpoint is its standard input, OUT the number of an open file, ROOM the bytes that may be written, CPU the
seconds that it may compute. It says `sandbox` first, then how far it is, last `done` or `refused`.
"""

from __future__ import annotations

import codecs
import os
import sys
from typing import Any

from jobs.conversion.apart.process import say
from jobs.conversion.apart.sandbox import enter
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.pickled.archive import Archive
from jobs.conversion.pickled.machine import MEND, Machine
from jobs.conversion.pickled.safetensors import weights_of, write

SOURCE = 0
# Bytes between two lines of progress.
PACE = 256 * 1024**2
# Beside what may be written: a file is refused by a sentence of ours before the kernel's limit cuts it off.
SLACK = 1024**2
# Those that names in a zip and texts in a pickle are read in: their modules can't be loaded any more in the sandbox.
ENCODINGS = ("cp437", "utf-8", "ascii", "latin-1", "raw-unicode-escape")


def carry_out(out: int, name: str, room: int) -> dict[str, Any]:
    """Reads, checks, writes; what was loaded. Raises ConversionRefused."""
    with os.fdopen(SOURCE, "rb", closefd=False) as file:
        archive = Archive(file, name)
        tensors, ignored = weights_of(Machine().run(archive.pickle), name)
        told = 0

        def tell(done: int, everything: int) -> None:
            nonlocal told
            if done - told >= PACE:
                told = done
                say(tell=[0.1 * done / max(everything, 1), f"{name}: {done >> 20} of {everything >> 20} MiB"])

        written = write(archive, SOURCE, tensors, out, room, tell)
    return {"tensors": len(tensors), "bytes": written, "ignored": len(ignored), "ignored_first": ignored[:8]}


def main() -> int:
    for encoding in ENCODINGS:
        codecs.lookup(encoding)
    out, name, room, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    say(sandbox=enter(max(room, 0) + SLACK, seconds).to_json())
    try:
        say(done=carry_out(out, name, room))
    except ConversionRefused as refused:
        say(refused=[refused.code, refused.message, refused.mend])
    except MemoryError:
        say(refused=["pickle-limits", f"Reading {name} takes more memory than a checkpoint does.", MEND])
    except OSError as error:
        say(refused=["not-writable", f"{name} could not be copied: {error}.", "Check the disk and its free space."])
    except RecursionError:
        say(refused=["pickle-damaged", f"{name} holds lists within lists without end.", MEND])
    return 0


if __name__ == "__main__":
    sys.exit(main())
