"""What a quantization has finished, so that the same one goes on from there after it was killed.

`journal.jsonl` in the `.part` folder: a line that says what was asked, and one for each tensor whose bytes are written.
After a kill of the process every line counts, since the system still holds what was written. After a crash of the
machine only lines before the last `settled` count: by then the tensors' own bytes were on the disk. The bytes go there
in the background, so that nobody waits for a disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.options import Options

NAME = "journal.jsonl"
# The scheme's own result, which the trials of a budget take their weights from.
KEPT = "scheme.kept"
# Seconds between two waits for the disk.
SETTLE_EVERY = 2.0
# They change how fast and how well known the result is, not the result.
WITHOUT_EFFECT = ("threads", "measure")
# Of a scheme and a method that read no samples, these as well.
SAMPLES = ("calibration", "profile", "pictures")


class Journal:
    """The journal of one `.part` folder, which nobody else may write to meanwhile."""

    def __init__(self, folder: Path, asked: str) -> None:
        """Takes the folder over when it was begun for `asked`, and empties it otherwise.

        Raises QuantizationRefused: `in-progress` while another process works in it, `not-writable` when it is somebody
        else's.
        """
        if folder.is_dir() and not (folder / NAME).exists() and any(folder.iterdir()):
            raise QuantizationRefused(
                "not-writable",
                f"{folder} is in the way: nothing of it is a quantization's.",
                "Take it away, or name another output.",
            )
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise QuantizationRefused(
                "in-progress",
                f"Another quantization is writing {folder.name.removesuffix('.part')} at present.",
                "Wait for it, or name another output.",
            ) from error
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="settle")
        self._settling: Future[None] | None = None
        self._data: int | None = None
        self._settled_at = 0.0
        self._forget()
        self._read()
        if self._asked != asked:
            os.ftruncate(self._file, 0)
            self._remove_data()
            (folder / KEPT).unlink(missing_ok=True)
            self._forget()
            self._add({"asked": asked})

    def begin(self, layout: str, data: Path, size: int) -> dict[int, float]:
        """The tensors in `data`, a file of `size` bytes, that are finished: their offsets and signal-to-noise in dB.

        `layout` is a digest of where everything lies; under another one nothing is finished.
        """
        self._let_go()
        known = self._layout == layout and data.is_file() and data.stat().st_size == size
        kept = list(self._done.items())[: None if self._boot == self._booted else self._settled] if known else []
        if not kept:
            self._remove_data()
        if len(kept) < len(self._done) or self._layout != layout:
            self._add({"layout": layout, "boot": self._boot})
            for offset, snr_db in kept:
                self._add({"at": offset, "snr_db": snr_db})
        return dict(kept)

    def follow(self, data: int) -> None:
        """Says in which open file the next tensors are written."""
        self._let_go()
        self._data = os.dup(data)
        self._settled_at = time.monotonic()

    def finished(self, offset: int, snr_db: float) -> None:
        """Notes a tensor all of whose bytes are written."""
        self._add({"at": offset, "snr_db": snr_db})
        idle = self._settling is None or self._settling.done()
        if idle and time.monotonic() - self._settled_at > SETTLE_EVERY:
            self._settled_at = time.monotonic()
            self._settling = self._pool.submit(self._settle)

    def found_not_finite(self, name: str) -> None:
        """Notes a weight that holds NaN or infinity, so that nobody has to read it again to know that."""
        self._add({"not_finite": name})

    def calibrated(self, found: dict[str, Any]) -> None:
        """Notes what a calibration found, so that nobody has to run the model again to know that."""
        self._add({"calibrated": found})

    def found_unfit(self, name: str, reason: str) -> None:
        """Notes a weight that the method asked for can do nothing with."""
        if name not in self.unfit:
            self._add({"unfit": name, "reason": reason})

    def close(self) -> None:
        """Waits for the disk, removes the folder and lets it go."""
        self._let_go()
        self._pool.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._file)

    def _settle(self) -> None:
        assert self._data is not None
        count = len(self._done)
        os.fdatasync(self._data)
        self._add({"settled": count})
        os.fsync(self._file)

    def _let_go(self) -> None:
        if self._settling is not None:
            self._settling.exception()
            self._settling = None
        if self._data is not None:
            os.close(self._data)
            self._data = None

    def _remove_data(self) -> None:
        for path in self._folder.iterdir():
            if path.name not in (NAME, KEPT):
                path.unlink()

    def _forget(self) -> None:
        self._asked = self._layout = self._booted = ""
        self.not_finite: frozenset[str] = frozenset()
        self.unfit: dict[str, str] = {}
        self.calibration: dict[str, Any] | None = None
        self._done: dict[int, float] = {}
        self._settled = 0

    def _read(self) -> None:
        good = 0
        for line in (self._folder / NAME).read_bytes().splitlines(keepends=True):
            try:
                self._take(json.loads(line))
            except ValueError:
                break
            good += len(line)
        # What the kill cut off would spoil the line that comes next.
        os.ftruncate(self._file, good)

    def _add(self, line: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "asked" in line:
            self._asked = line["asked"]
        elif "not_finite" in line:
            self.not_finite |= {line["not_finite"]}
        elif "calibrated" in line:
            self.calibration = line["calibrated"]
        elif "unfit" in line:
            self.unfit[line["unfit"]] = line["reason"]
        elif "layout" in line:
            self._layout, self._booted = line["layout"], line["boot"]
            self._done, self._settled = {}, 0
        elif "settled" in line:
            self._settled = line["settled"]
        else:
            self._done[line["at"]] = line["snr_db"]


def asked_of(
    files: list[Path], scheme: str, form: str, options: Options, versions: dict[str, str], mark: str = ""
) -> str:
    """A digest of all that the result's bytes depend on; input files count by their size and time of change.

    `mark` is what the model's origin adds.
    """
    reads = scheme == "int8-static" or options.method == "gptq" or options.budget is not None
    idle = WITHOUT_EFFECT if reads else WITHOUT_EFFECT + SAMPLES
    given = {one.name: getattr(options, one.name) for one in fields(options) if one.name not in idle}
    looked_at = [*files, *(path for path in given.values() if isinstance(path, Path))]
    looked_at += [inside for path in looked_at if path.is_dir() for inside in sorted(path.rglob("*"))]
    states = [(str(path.resolve()), (state := path.stat()).st_size, state.st_mtime_ns) for path in looked_at]
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(path.read_bytes())
    told = {name: repr(value) for name, value in given.items()}
    everything = [states, scheme, form, told, versions, code.hexdigest(), mark]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()
