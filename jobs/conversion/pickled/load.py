"""Starts the process that reads a checkpoint, and listens to it: `to_safetensors`."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.conversion.apart.process import run
from jobs.conversion.checkpoint import HEADROOM, SIZE_LIMIT
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import read_start, replacing, sha256_of
from jobs.conversion.pickled.machine import MEND
from jobs.conversion.weights import SafetensorsFile
from jobs.conversion.writing import Progress

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
# How the format that torch wrote before 1.6 begins: its magic number, pickled.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
CHILD = "jobs.conversion.pickled.child"
# Seconds of computing that any checkpoint gets, and bytes that it has to be read with at least for each further one.
SECONDS, BYTES_A_SECOND = 120, 5_000_000


@dataclass(frozen=True)
class Loaded:
    """One checkpoint that was read. `ignored` counts entries of the state dict that are no tensors.

    `sandbox` is what the process that read it could not do, as `sandbox.Sandbox`.
    """

    file: str
    sha256: str
    tensors: int
    bytes: int
    ignored: int
    ignored_first: list[str]
    sandbox: dict[str, Any]


def looks_pickled(path: Path) -> bool:
    """Whether a file's first bytes are those of a checkpoint that torch may have written."""
    return path.is_file() and read_start(path).startswith((ZIP, PICKLE))


def require_zip(path: Path) -> None:
    """Refuses what is no zip archive: `pickle-legacy`, `not-checkpoint`, `checkpoint-truncated`."""
    start = read_start(path)
    if start.startswith(LEGACY) or not start.startswith((ZIP, PICKLE)):
        if not start.startswith(PICKLE):
            raise ConversionRefused("not-checkpoint", f"{path.name} is no checkpoint of PyTorch.", MEND)
        raise legacy(path.name)
    if start.startswith(PICKLE):
        raise ConversionRefused(
            "pickle-legacy", f"{path.name} is a bare pickle, which is never loaded here: it can run code.", MEND
        )
    if not zipfile.is_zipfile(path):
        raise ConversionRefused(
            "checkpoint-truncated",
            f"{path.name} is a zip archive that is cut off or damaged.",
            "Copy the file again and compare its SHA-256 with the original's.",
        )


def legacy(name: str) -> ConversionRefused:
    """The refusal of what torch wrote before 1.6."""
    return ConversionRefused(
        "pickle-legacy",
        f"{name} is in the format that PyTorch wrote before 1.6, whose pickles are not read here.",
        "Save it again where torch is: torch.save(torch.load(path, weights_only=True), path).",
    )


def to_safetensors(source: Path, destination: Path, tell: Progress) -> Loaded:
    """Writes the tensors of the PyTorch checkpoint `source` to `destination`, by a process that can do nothing else.

    Raises ConversionRefused: `pickle-refused` for anything but tensors in it, `pickle-legacy`, `pickle-damaged`,
    `pickle-limits`, `torchscript`, `no-weights`, `checkpoint-unsafe`, `checkpoint-truncated`, `not-writable`, and what
    `read_start` refuses.
    """
    require_zip(source)
    if destination.resolve() == source.resolve():
        raise ConversionRefused("output-is-input", f"{destination} would overwrite its input.", "Name another output.")
    size = source.stat().st_size
    with replacing(destination) as part:
        with source.open("rb") as file, part.open("wb") as output:
            room = min(SIZE_LIMIT, shutil.disk_usage(part.parent).free - HEADROOM)
            seconds = SECONDS + size // BYTES_A_SECOND
            arguments = [str(output.fileno()), source.name, str(room), str(seconds)]
            ended = run(CHILD, arguments, file, [output.fileno()], tell)
        if ended.done is None:
            raise ConversionRefused(
                "pickle-limits",
                f"The process that read {source.name} was ended ({ended.how}): it took more memory or time than "
                "a checkpoint does.",
                MEND,
            )
        # What comes out of the sandbox is looked at as any other file.
        SafetensorsFile(part)
    return Loaded(file=source.name, sha256=sha256_of(source), sandbox=ended.sandbox, **ended.done)
