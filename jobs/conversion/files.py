"""What a file is before anyone parses it, and how an output replaces nothing until it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.conversion.errors import ConversionRefused

BLOCK = 4 * 1024 * 1024
LFS_MARK = b"version https://git-lfs.github.com/spec/"

# First bytes of what people hand over by mistake. A safetensors file starts with a length and then "{": see weights.py.
KNOWN_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive (a PyTorch checkpoint or an npz, perhaps)"),
    (b"GGUF", "a GGUF file (llama.cpp)"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"IMOD", "an Ascend OM, already converted"),
    (b"\x80\x02", "a pickle (a PyTorch checkpoint, perhaps), which is never loaded here"),
    (b"\x80\x04", "a pickle, which is never loaded here"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"<!DOCTYPE", "an HTML page (a download that went wrong, perhaps)"),
    (b"<html", "an HTML page (a download that went wrong, perhaps)"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a picture"),
)


def read_start(path: Path, count: int = 256) -> bytes:
    """The first bytes of a regular, non-empty file that is no LFS pointer; refuses anything else."""
    if not path.is_file():
        raise ConversionRefused("file-missing", f"There is no file {path}.", "Check the path.")
    with path.open("rb") as stream:
        start = stream.read(count)
    if not start:
        raise ConversionRefused("file-empty", f"{path.name} is empty (0 bytes).", "Copy or export the file again.")
    if start.startswith(LFS_MARK):
        raise ConversionRefused(
            "lfs-pointer",
            f"{path.name} is a Git LFS pointer, not the file itself.",
            "Fetch the content with 'git lfs pull' where it was cloned, then copy it again.",
        )
    return start


def name_of_start(start: bytes) -> str | None:
    """What a foreign file is, in words, judged by its first bytes; None when they say nothing."""
    return next((name for mark, name in KNOWN_STARTS if start.startswith(mark)), None)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def refuse_no_file(destination: Path) -> None:
    """Refuses (`not-writable`) to put a file in the place of a folder or, as root could, of /dev/null."""
    if destination.exists() and not destination.is_file():
        raise ConversionRefused(
            "not-writable", f"{destination} is no file, and nothing is put in its place.", "Name another output."
        )


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """Gives a `.part` path beside `destination` and renames it when the block ends well; leaves nothing otherwise.

    An OSError inside the block (no folder, no space, no right) becomes `not-writable`.
    """
    part = destination.with_name(destination.name + ".part")
    refuse_no_file(destination)
    try:
        yield part
        part.replace(destination)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConversionRefused(
            "not-writable",
            f"{destination} cannot be written: {error.strerror or error}.",
            "Check the folder, its rights and the free space.",
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
