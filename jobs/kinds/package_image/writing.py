"""The archive's bytes: a tar with fixed times and owners, hashed while it is written."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.kinds.package_image.base import BLOCK, Base
from jobs.kinds.package_image.errors import ImageRefused
from jobs.kinds.package_image.layers import Layer


def write(
    output: Path, base: Base, layers: list[Layer], config: bytes, manifest: bytes, index: bytes, image: str
) -> tuple[int, str]:
    """Writes the archive beside `output` and renames it; returns its size in bytes and its SHA-256."""
    order = [blob.digest for blob in base.layers] + [layer.digest for layer in layers]
    saved = [
        {
            "Config": f"blobs/sha256/{digest_of(config)}",
            "RepoTags": [image],
            "Layers": [f"blobs/sha256/{digest}" for digest in order],
        }
    ]
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as stream:
            sink = _Sink(stream)
            with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
                for folder in ("blobs", "blobs/sha256"):
                    entry = tarfile.TarInfo(folder)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(entry)
                written: set[str] = set()
                for blob, blocks in base.blocks():
                    _add_blob(tar, blob.digest, blob.size, blocks, written)
                for layer in layers:
                    _add_blob(tar, layer.digest, layer.size, _unchanged(layer), written)
                for content in (config, manifest):
                    _add_blob(tar, digest_of(content), len(content), iter([content]), written)
                _add(tar, "index.json", len(index), iter([index]))
                _add(tar, "manifest.json", len(canonical(saved)), iter([canonical(saved)]))
                layout = canonical({"imageLayoutVersion": "1.0.0"})
                _add(tar, "oci-layout", len(layout), iter([layout]))
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return sink.size, sink.digest.hexdigest()


def _unchanged(layer: Layer) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for block in layer.blocks():
        digest.update(block)
        yield block
    if digest.hexdigest() != layer.digest:
        raise ImageRefused("input-changed", f"The {layer.title} changed while it was packaged.", "Package it again.")


def _add_blob(tar: tarfile.TarFile, digest: str, size: int, blocks: Iterator[bytes], written: set[str]) -> None:
    # A layer may stand in an image twice; it lies in the archive once.
    if digest not in written:
        written.add(digest)
        _add(tar, f"blobs/sha256/{digest}", size, blocks)


def _add(tar: tarfile.TarFile, name: str, size: int, blocks: Iterator[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, io.BufferedReader(_Blocks(blocks), BLOCK))
    # Reading on to the end is what checks a layer's digest.
    for _ in blocks:
        raise ImageRefused("input-changed", f"{name} grew while it was packaged.", "Package it again.")


class _Blocks(io.RawIOBase):
    """An iterator of blocks as the file that tarfile reads."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = block
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class _Sink:
    """The output file, hashed and counted as it is written."""

    def __init__(self, stream: io.BufferedWriter) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._stream.write(data)

    def tell(self) -> int:
        return self.size


def canonical(value: Any) -> bytes:
    """JSON with one spelling: the same value is the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
