"""A checkpoint as a folder, whether it was given as one or as a tar of it.

A tar comes from outside, so nothing in it is believed: only regular files and folders are taken, no name may leave the
folder, no more is written than `limit` bytes or than the disk has room for. A pickle inside is unpacked as bytes:
`pickled` reads it.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import name_of_start, read_start

# A 33B model in float32 is 132 GB. A tar that promises more than this is no checkpoint that runs on these machines.
SIZE_LIMIT = 256 * 1024**3
COUNT_LIMIT = 10_000
# Left free on the disk for the converted model's first bytes and for everybody else.
HEADROOM = 64 * 1024**2


@contextmanager
def opened_checkpoint(source: Path, scratch: Path, *, limit: int = SIZE_LIMIT) -> Iterator[Path]:
    """The folder that holds config.json; a tar is unpacked below `scratch` and removed when the block ends.

    Raises ConversionRefused: `file-missing`, `file-empty`, `lfs-pointer`, `not-checkpoint`, `checkpoint-unsafe`,
    `checkpoint-truncated`, `checkpoint-too-large`, `not-writable`.
    """
    if source.is_dir():
        yield source
        return
    start = read_start(source)
    if not tarfile.is_tarfile(source):
        seen = name_of_start(start)
        raise ConversionRefused(
            "not-checkpoint",
            f"{source.name} is neither a model folder nor a tar of one" + (f": it is {seen}." if seen else "."),
            "Give the folder with config.json, model.safetensors and tokenizer.json, or a tar of it.",
        )
    try:
        folder = Path(tempfile.mkdtemp(prefix=".checkpoint-", dir=scratch))
    except OSError as error:
        raise _not_writable(scratch, error) from error
    try:
        _unpack(source, folder, limit)
        yield _model_folder(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(source: Path, folder: Path, limit: int) -> None:
    written = 0
    seen: set[PurePosixPath] = set()
    try:
        with tarfile.open(source) as archive:
            for count, member in enumerate(archive, start=1):
                name = _safe_name(source, member)
                written += member.size
                if count > COUNT_LIMIT or written > limit:
                    raise ConversionRefused(
                        "checkpoint-too-large",
                        f"{source.name} holds more than {limit} bytes or {COUNT_LIMIT} entries.",
                        "Pack only the model folder.",
                    )
                if member.isdir():
                    continue
                if name in seen:
                    raise _unsafe(source, member, "is there twice")
                seen.add(name)
                _room_for(folder, member.size)
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                stream = archive.extractfile(member)
                assert stream is not None
                with stream, target.open("xb") as output:
                    shutil.copyfileobj(stream, output, 4 * 1024**2)
                if target.stat().st_size != member.size:
                    raise EOFError(f"{member.name} is cut off")
    except (tarfile.ReadError, EOFError) as error:
        raise ConversionRefused(
            "checkpoint-truncated",
            f"{source.name} is cut off or damaged: {error}.",
            "Copy the file again and compare its SHA-256 with the original's.",
        ) from error
    except OSError as error:
        raise _not_writable(folder.parent, error) from error


def _safe_name(source: Path, member: tarfile.TarInfo) -> PurePosixPath:
    if not (member.isreg() or member.isdir()):
        raise _unsafe(source, member, "is a link or a device")
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
        raise _unsafe(source, member, "would be written outside the folder")
    return name


def _unsafe(source: Path, member: tarfile.TarInfo, why: str) -> ConversionRefused:
    return ConversionRefused(
        "checkpoint-unsafe",
        f"{source.name} was not unpacked: {member.name!r} in it {why}.",
        "Pack the model folder again with plain files only (tar --dereference -cf MODEL.tar FOLDER).",
    )


def _room_for(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + HEADROOM > free:
        raise ConversionRefused(
            "not-writable",
            f"Unpacking needs {size} bytes more and the disk of {folder.parent} has {free} free.",
            "Free some space or work in another folder.",
        )


def _not_writable(where: Path, error: OSError) -> ConversionRefused:
    return ConversionRefused(
        "not-writable",
        f"The checkpoint cannot be unpacked in {where}: {error.strerror or error}.",
        "Check the folder, its rights and the free space.",
    )


def _model_folder(folder: Path) -> Path:
    """The folder itself, or its only sub-folder when the tar was made of the folder and not of what is in it."""
    if (folder / "config.json").is_file():
        return folder
    inside = [path for path in folder.iterdir() if path.is_dir()]
    return inside[0] if len(inside) == 1 else folder
