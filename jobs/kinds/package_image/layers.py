"""Layers that are made here: tars whose bytes depend on their files alone, and that are never whole in memory."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from jobs.kinds.package_image.base import BLOCK

_END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class Layer:
    """Files to lie in an image: path in the image (no leading slash) -> file here. `title` says what it is."""

    title: str
    files: dict[str, Path]
    digest: str = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Reads every file once for the digest, which also is the layer's diff id: the layer is not compressed."""
        digest, size = hashlib.sha256(), 0
        for block in self.blocks():
            digest.update(block)
            size += len(block)
        object.__setattr__(self, "digest", digest.hexdigest())
        object.__setattr__(self, "size", size)

    def blocks(self) -> Iterator[bytes]:
        """The tar. Owner 0, time 0, names in order: the same files give the same bytes."""
        for folder in self._folders():
            yield _header(folder, None)
        for name in sorted(self.files):
            size = self.files[name].stat().st_size
            yield _header(name, size)
            with self.files[name].open("rb") as stream:
                left = size
                while left and (block := stream.read(min(BLOCK, left))):
                    left -= len(block)
                    yield block
            # A file that shrank gives another digest, and is found by it.
            yield bytes(-size % tarfile.BLOCKSIZE)
        yield _END

    def _folders(self) -> list[str]:
        found = {str(parent) for name in self.files for parent in PurePosixPath(name).parents}
        return sorted(found - {"."})


def _header(name: str, size: int | None) -> bytes:
    entry = tarfile.TarInfo(name if size is not None else f"{name}/")
    entry.mtime = 0
    if size is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    else:
        entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.PAX_FORMAT)


def folder_files(folder: Path, below: str) -> dict[str, Path]:
    """The Python files of a folder, as they shall lie under `below` in an image."""
    return {
        f"{below}/{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*.py")
        if "__pycache__" not in path.parts
    }
