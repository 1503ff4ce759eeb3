"""Image archives: `docker load` keeps their layers, and a container's root is unpacked from them."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from hardware.simulator.docker import store
from hardware.simulator.docker.errors import Refused

BLOCK = 1024 * 1024
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
# Python before 3.11.4, which is Debian 12's, has no filters; a layer then reaches the machine's own root at most.
_filter: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
_Outside: type[Exception] = getattr(tarfile, "FilterError", PermissionError)


def load(path: Path) -> Iterator[str]:
    """Loads every image of the archive; gives the lines that docker prints. Raises Refused."""
    try:
        with tarfile.open(path, "r:*") as tar:
            members = {member.name.removeprefix("./"): member for member in tar}
            saved = _read_json(tar, members, "manifest.json")
            for entry in saved:
                yield from _load_one(tar, members, entry)
    except FileNotFoundError:
        raise Refused(f"open {path}: no such file or directory") from None
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise Refused(f"Error processing tar file(exit status 1): {str(error) or 'unexpected EOF'}") from error
    except OSError as error:
        raise Refused(
            f"Error response from daemon: write {store.ROOT}: {(error.strerror or str(error)).lower()}"
        ) from error


def _load_one(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], entry: dict[str, Any]) -> Iterator[str]:
    body = _read(tar, members, entry["Config"])
    config = json.loads(body)
    digest = hashlib.sha256(body).hexdigest()
    expected = [value.removeprefix("sha256:") for value in config["rootfs"]["diff_ids"]]
    names = entry["Layers"]
    if len(expected) != len(names):
        raise Refused(
            "Error response from daemon: invalid manifest, layers length mismatch: "
            f"expected {len(expected)}, got {len(names)}"
        )
    size = 0
    for number, (name, wanted) in enumerate(zip(names, expected, strict=True)):
        size += _keep_layer(tar, members, name, wanted, number)
    tags = [store.with_tag(tag) for tag in entry.get("RepoTags") or []]
    with store.lock():
        known = store.images()
        for tag in tags:
            for other in known:
                if tag in other.tags and other.id != digest:
                    old = f"sha256:{other.id}"
                    yield f"The image {tag} already exists, renaming the old one with ID {old} to empty string"
                    other.tags.remove(tag)
        same = next((image for image in known if image.id == digest), None)
        if same is None:
            known.insert(0, store.Image(digest, tags, expected, config, size, str(config.get("created", ""))))
        else:
            same.tags += [tag for tag in tags if tag not in same.tags]
        store.save_images(known)
    if not tags:
        yield f"Loaded image ID: sha256:{digest}"
    for tag in tags:
        yield f"Loaded image: {tag}"


def _keep_layer(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str, wanted: str, number: int) -> int:
    """Unpacked to plain tar, checked against its diff id; returns its size."""
    target = store.blob(wanted)
    if target.exists():
        return target.stat().st_size
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as out:
            for block in _blocks(_plain(_open(tar, members, name))):
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != wanted:
            raise Refused(
                f'Error response from daemon: invalid diffID for layer {number}: expected "sha256:{wanted}", '
                f'got "sha256:{digest.hexdigest()}"'
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _plain(stream: IO[bytes]) -> IO[bytes]:
    start = stream.read(4)
    stream.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(stream)  # type: ignore[return-value]
    if start == b"\x28\xb5\x2f\xfd":
        raise Refused("Error response from daemon: zstd layers are not simulated; docker 18.09 does not know them")
    return stream


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _open(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> IO[bytes]:
    member = members.get(name)
    stream = tar.extractfile(member) if member is not None else None
    if stream is None:
        raise Refused(f"open {store.ROOT}/tmp/docker-import/{name}: no such file or directory")
    return stream


def _read(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> bytes:
    return _open(tar, members, name).read()


def _read_json(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> Any:
    try:
        return json.loads(_read(tar, members, name))
    except ValueError as error:
        raise Refused(f"Error response from daemon: {name}: {error}") from error


def unpack(image: store.Image, root: Path) -> None:
    """The image's layers one over the other, as root's own files. Raises Refused when the disk is full."""
    try:
        root.mkdir(parents=True)
        for digest in image.layers:
            with tarfile.open(store.blob(digest)) as tar:
                for member in tar:
                    _unpack_one(tar, member, root)
    except FileNotFoundError as error:
        raise Refused(f"Error response from daemon: layer does not exist: {error.filename}") from error
    except OSError as error:
        shutil.rmtree(root, ignore_errors=True)
        raise Refused(f"Error response from daemon: {root}: {(error.strerror or str(error)).lower()}") from error


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    path = PurePosixPath(member.name)
    if path.name == _OPAQUE:
        for child in (root / path.parent).iterdir():
            _remove(child)
    elif path.name.startswith(_WHITEOUT):
        _remove(root / path.parent / path.name.removeprefix(_WHITEOUT))
    elif member.isfile() or member.isdir() or member.issym() or member.islnk():
        # Owners and modes beyond root's are not for a namespace that has no other users.
        with suppress(_Outside):
            tar.extract(member, root, set_attrs=False, **_filter)
            if member.isfile() or member.isdir():
                (root / member.name).chmod(member.mode & 0o777 | 0o600)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
