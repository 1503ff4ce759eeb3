"""``python -m jobs.quantization.bench_large``: a model larger than the memory that quantizing it may have.

A generated decoder is quantized by a child that may map `--limit` bytes and no more (RLIMIT_AS, as `ulimit -v`), once
cold, with the model's pages dropped from the cache, and once warm. Printed beside it: how fast this disk gives the
same file to somebody who only reads it, cold as well, and the child's highest resident memory as the kernel counted it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jobs.quantization.generate import generate, shape_for, size_of

WANTED_RSS_MB = 500
WANTED_OF_DISK = 0.7
# In larger ones a core would write to memory what its cache could hold: the disk would look slower than it is.
READ_BLOCK = 1 << 20

CHILD = """
import sys
from pathlib import Path
from jobs.quantization import Options, quantize
from jobs.quantization.measure import peak_memory
report = quantize(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Options(measure=False))
print(report.quantize_seconds, peak_memory() >> 20)
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.quantization.bench_large", description=__doc__)
    parser.add_argument("--size", type=size_of, default=size_of("6G"), help="of the generated model")
    parser.add_argument("--model", type=Path, help="a model whose weights lie in MODEL.data, in the place of one made")
    parser.add_argument("--scheme", default="int4")
    parser.add_argument("--limit", type=size_of, default=size_of("2G"), help="of the child's address space")
    parser.add_argument("--folder", type=Path, help="where the files lie while it runs")
    parser.add_argument("--json", action="store_true", help="the last line is the result as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source, out = given.model or Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        if not given.model:
            generate(source, shape_for(given.size))
        beside = source.with_name(f"{source.name}.data")
        size = source.stat().st_size + beside.stat().st_size
        print(f"{size} bytes; the child may map {given.limit} bytes", flush=True)
        os.sync()
        _drop(beside)
        disk = size / _seconds_to_read(beside) / 1e9
        result: dict[str, object] = {"bytes": size, "limit": given.limit, "scheme": given.scheme, "disk_gb_per_s": disk}
        print(f"disk, reading alone, cold: {disk:.2f} GB/s", flush=True)
        for cache in ("cold", "warm"):
            if cache == "cold":
                _drop(beside)
            else:
                _seconds_to_read(beside)
            seconds, rss_mb = quantized(source, out, given.scheme, given.limit)
            rate = size / seconds / 1e9
            result[cache] = {"seconds": seconds, "gb_per_s": rate, "rss_mb": rss_mb, "of_disk": rate / disk}
            line = f"{cache}: {rate:.2f} GB/s, {seconds:.1f} s, {rss_mb} MB resident (wanted: under {WANTED_RSS_MB})"
            if cache == "cold":
                line += f", {rate / disk:.2f} of what the disk gives (wanted: {WANTED_OF_DISK})"
            print(line, flush=True)
    if given.json:
        print(json.dumps(result))
    return 0


def quantized(source: Path, out: Path, scheme: str, limit: int) -> tuple[float, int]:
    """Quantizes in a child that may map `limit` bytes: its seconds without hashes, and its highest resident MB.

    Raises SystemExit with its last line when it fails.
    """

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    command = [sys.executable, "-c", CHILD, str(source), str(out), scheme]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        code = subprocess.call(command, stdout=said, stderr=complained, preexec_fn=bound)
        for stream in (said, complained):
            stream.seek(0)
        if code:
            raise SystemExit((complained.read().strip().splitlines() or [f"ended with {code}"])[-1])
        seconds, rss_mb = said.read().split()
        return float(seconds), int(rss_mb)


def _drop(path: Path) -> None:
    """Takes a file out of the page cache."""
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _seconds_to_read(path: Path) -> float:
    began = time.monotonic()
    with path.open("rb", buffering=0) as stream:
        block = bytearray(READ_BLOCK)
        while stream.readinto(block):
            pass
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
