"""The base image: an OCI archive or what `docker save` writes, read in place and never trusted."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.kinds.package_image.errors import ImageRefused

BLOCK = 1024 * 1024
# Manifests and configurations are kilobytes; what is larger is no such thing.
LARGEST_JSON = 8 * 1024 * 1024
LAYER = "application/vnd.oci.image.layer.v1.tar"
_COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ", "xz"), (b"BZh", "bzip2"))
_SAVE_AGAIN = "Save the image again with 'docker save -o FILE IMAGE'."
# What Go calls an architecture, and what `uname -m` calls it.
ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}


@dataclass(frozen=True)
class Blob:
    """A layer as it lies in the archive. `digest` without its `sha256:`; `size` in bytes."""

    digest: str
    size: int
    media_type: str
    member: str


@dataclass(frozen=True)
class Base:
    """A base image: its configuration, its layers from the bottom up, and the digest of its manifest, if it has one."""

    path: Path
    config: dict[str, Any]
    layers: tuple[Blob, ...]
    digest: str | None

    @property
    def architecture(self) -> str:
        return str(self.config.get("architecture", ""))

    @classmethod
    def read(cls, path: Path, architecture: str) -> Base:
        """Finds the image in the archive. Layers are checked when they are copied. Raises ImageRefused."""
        asked = ARCHITECTURES.get(architecture, architecture)
        with _Archive(path) as archive:
            base = _oci(archive, path, asked) if archive.has("index.json") else _docker_save(archive, path)
        if base.architecture != asked:
            raise ImageRefused(
                "base-architecture",
                f"{path.name} is for {base.architecture or 'an unnamed architecture'}, not for {asked}.",
                f"Use a base image for linux/{asked}.",
            )
        if base.config.get("os", "linux") != "linux":
            raise ImageRefused("base-architecture", f"{path.name} is for {base.config['os']}.", "Use one for linux.")
        return base

    def blocks(self) -> Iterator[tuple[Blob, Iterator[bytes]]]:
        """Every layer with its bytes, in blocks. Raises ImageRefused at the end of one that is damaged."""
        with _Archive(self.path) as archive:
            for blob in self.layers:
                yield blob, archive.verified(blob)


class _Archive:
    """The tar: members by name, links followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, tarfile.TarInfo] = {}

    def __enter__(self) -> _Archive:
        if not self.path.is_file() or not self.path.stat().st_size:
            raise ImageRefused("base-missing", f"There is no base image {self.path}, or it is empty.", "Give its file.")
        with self.path.open("rb") as stream:
            start = stream.read(8)
        kind = next((name for mark, name in _COMPRESSED if start.startswith(mark)), None)
        if kind:
            raise ImageRefused(
                "base-compressed",
                f"{self.path.name} is compressed with {kind}.",
                "Decompress it first: layers inside may be compressed, the archive may not.",
            )
        try:
            self._tar = tarfile.open(self.path, "r:")
            self._members = {member.name.removeprefix("./"): member for member in self._tar}
        except tarfile.TarError as error:
            raise self.invalid("it is no tar archive, or cut off") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def invalid(self, why: str) -> ImageRefused:
        return ImageRefused("base-invalid", f"{self.path.name} is no image archive: {why}.", _SAVE_AGAIN)

    def has(self, name: str) -> bool:
        return name in self._members

    def member(self, name: str) -> tarfile.TarInfo:
        for _ in range(8):
            member = self._members.get(name)
            if member is None:
                raise self.invalid(f"{name} is missing")
            if member.isfile():
                return member
            if not member.issym() and not member.islnk():
                raise self.invalid(f"{name} is no file")
            # Older docker links a layer to the same layer of another image.
            parts = [] if member.islnk() else name.split("/")[:-1]
            for part in member.linkname.split("/"):
                if part == ".." and parts:
                    parts.pop()
                elif part not in ("", ".", ".."):
                    parts.append(part)
            name = "/".join(parts)
        raise self.invalid(f"{name} is a link in a circle")

    def blocks(self, name: str) -> Iterator[bytes]:
        stream = self._tar.extractfile(self.member(name))
        assert stream is not None
        try:
            while block := stream.read(BLOCK):
                yield block
        except tarfile.ReadError as error:
            raise self.invalid(f"it ends in the middle of {name}") from error

    def json(self, name: str, digest: str | None = None) -> Any:
        if self.member(name).size > LARGEST_JSON:
            raise self.invalid(f"{name} is too large")
        data = b"".join(self.blocks(name))
        if digest is not None and hashlib.sha256(data).hexdigest() != digest:
            raise self.damaged(name)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.invalid(f"{name} is no JSON") from error

    def damaged(self, name: str) -> ImageRefused:
        return ImageRefused(
            "base-damaged", f"{self.path.name} is damaged: {name} is not what its digest says.", _SAVE_AGAIN
        )

    def verified(self, blob: Blob) -> Iterator[bytes]:
        seen, size = hashlib.sha256(), 0
        for block in self.blocks(blob.member):
            seen.update(block)
            size += len(block)
            yield block
        if seen.hexdigest() != blob.digest or size != blob.size:
            raise self.damaged(blob.member)


def _oci(archive: _Archive, path: Path, architecture: str) -> Base:
    try:
        descriptor = _choose(archive, archive.json("index.json"), architecture, depth=0)
        digest = _hex(descriptor["digest"])
        manifest = archive.json(f"blobs/sha256/{digest}", digest)
        config_digest = _hex(manifest["config"]["digest"])
        config = archive.json(f"blobs/sha256/{config_digest}", config_digest)
        layers = tuple(
            Blob(
                _hex(layer["digest"]),
                int(layer["size"]),
                _media_type(layer["mediaType"]),
                f"blobs/sha256/{_hex(layer['digest'])}",
            )
            for layer in manifest["layers"]
        )
        return _checked(archive, Base(path, config, layers, digest))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise archive.invalid("its index, manifest or configuration is not of the agreed form") from error


def _choose(archive: _Archive, index: dict[str, Any], architecture: str, depth: int) -> dict[str, Any]:
    manifests: list[dict[str, Any]] = index["manifests"]
    fitting = [
        entry for entry in manifests if entry.get("platform", {}).get("architecture", architecture) == architecture
    ]
    if not fitting:
        there = ", ".join(sorted({str(entry["platform"]["architecture"]) for entry in manifests})) or "none"
        raise ImageRefused(
            "base-architecture",
            f"{archive.path.name} holds images for {there}, none for {architecture}.",
            f"Use a base image for linux/{architecture}.",
        )
    chosen = fitting[0]
    if "index" in chosen.get("mediaType", "") or "manifest.list" in chosen.get("mediaType", ""):
        if depth > 2:
            raise archive.invalid("its index points in circles")
        digest = _hex(chosen["digest"])
        return _choose(archive, archive.json(f"blobs/sha256/{digest}", digest), architecture, depth + 1)
    return chosen


def _docker_save(archive: _Archive, path: Path) -> Base:
    """Older archives: layers are plain tars, each with its digest only in the configuration."""
    if not archive.has("manifest.json"):
        raise archive.invalid("neither index.json nor manifest.json is in it")
    try:
        images = archive.json("manifest.json")
        if len(images) != 1:
            raise archive.invalid(f"it holds {len(images)} images")
        config = archive.json(images[0]["Config"])
        names = images[0]["Layers"]
        layers = tuple(
            Blob(_hex(digest), archive.member(name).size, LAYER, name)
            for name, digest in zip(names, config["rootfs"]["diff_ids"], strict=True)
        )
        return _checked(archive, Base(path, config, layers, None))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise archive.invalid("its manifest or configuration is not of the agreed form") from error


def _checked(archive: _Archive, base: Base) -> Base:
    if len(base.config["rootfs"]["diff_ids"]) != len(base.layers):
        raise archive.invalid("its configuration names another number of layers")
    for blob in base.layers:
        if archive.member(blob.member).size != blob.size:
            raise archive.damaged(blob.member)
    return base


def _hex(digest: str) -> str:
    name, _, value = digest.partition(":")
    if name != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise KeyError(digest)
    return value


def _media_type(given: str) -> str:
    """Docker's own names for layers in OCI's words, which one manifest must not mix."""
    for packed in ("gzip", "zstd"):
        if given.endswith(packed):
            return f"{LAYER}+{packed}"
    return LAYER
