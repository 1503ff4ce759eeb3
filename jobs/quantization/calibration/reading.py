"""Samples from a file, from a folder, or from a zip archive of one.

A .npz holds an array for each input of the model; a .jsonl a text or a row a line; a .png is one picture. A folder or
an archive may hold many of each, in folders of its own as well; they are taken in the order of their names.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from jobs.conversion.checks import Port
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import read_start
from jobs.quantization.calibration.arrays import feeds_of, read_npz, refuse
from jobs.quantization.calibration.feeds import Feeds
from jobs.quantization.calibration.pictures import UNIT, Frame, Preprocessing, feed_of, frame_of
from jobs.quantization.calibration.png import MARK as PNG
from jobs.quantization.calibration.texts import read_lines
from jobs.quantization.samples import MOST_ROWS, Feed, Samples

NPZ, LINES, PICTURE = ".npz", ".jsonl", ".png"
ZIP = b"PK\x03\x04"
# Of one file of an archive, unpacked.
MOST_BYTES = 1 << 30
MEND = "Put .npz, .jsonl or .png files in it."
Opened = Callable[[], IO[bytes]]
# Feeds, and the right answers where the file has them.
Read = Callable[[], tuple[list[Feed], list[int] | None]]
# Its name, its kind by the ending, and what opens it.
File = tuple[str, str, Opened]


def read_calibration(
    path: Path, inputs: list[Port], profile: Path | None, preprocessing: Preprocessing = UNIT
) -> Samples:
    """The first `MOST_ROWS` samples of `path`, checked against the model's inputs; pictures as they are read.

    `profile` tokenizes texts, `preprocessing` is for pictures. Raises QuantizationRefused: `calibration-invalid`,
    `profile-needed`, `profile-invalid`.
    """
    feeds = Feeds()
    labels: list[int] | None = []
    frame: Frame | None = None
    for name, kind, opened in _files(path):
        room = MOST_ROWS - len(feeds)
        if room <= 0:
            break
        if kind == PICTURE:
            frame = frame or frame_of(inputs, preprocessing)
            feeds.add(1, _picture(name, opened, frame, preprocessing))
            labels = None
            continue
        read = _reader(name, kind, opened, inputs, profile, room)
        found, answers = read()
        feeds.add(len(found), partial(_first, read), found)
        labels = labels + answers if labels is not None and answers is not None else None
    if not feeds:
        raise refuse(f"{path.name} holds no samples.", MEND)
    origin = f"{path.name} ({len(feeds)} rows)"
    return Samples(origin, feeds, labels, str(preprocessing) if frame else None)


def _files(path: Path) -> Iterator[File]:
    if path.is_dir():
        inside = {str(one.relative_to(path)): one for one in path.rglob("*") if one.is_file()}
        for name in sorted(inside):
            if kind := _kind(name):
                yield name, kind, _opens(inside[name])
        return
    try:
        start = read_start(path)
    except ConversionRefused as refused:
        raise refuse(refused.message) from refused
    if start.startswith(ZIP):
        members = _members(path)
        # An .npz is a zip archive itself, of .npy files.
        if members:
            yield from members
        else:
            yield path.name, NPZ, _opens(path)
    else:
        yield path.name, PICTURE if start.startswith(PNG) else LINES, _opens(path)


def _members(path: Path) -> list[File]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.filename)
    except (zipfile.BadZipFile, OSError) as error:
        raise refuse(f"{path.name} cannot be read: {error}.") from error
    files = []
    for info in infos:
        if kind := _kind(info.filename):
            if info.file_size > MOST_BYTES:
                raise refuse(f"{info.filename} in {path.name} unpacks to {info.file_size} bytes.", MEND)
            files.append((info.filename, kind, _member(path, info)))
    return files


def _kind(name: str) -> str:
    """The ending of a file that counts; empty for what lies beside the samples."""
    place = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in place.parts)
    kind = place.suffix.lower()
    return kind if kind in (NPZ, LINES, PICTURE) and not hidden else ""


def _opens(path: Path) -> Opened:
    return lambda: path.open("rb")


def _member(path: Path, info: zipfile.ZipInfo) -> Opened:
    def opened() -> IO[bytes]:
        try:
            with zipfile.ZipFile(path) as archive:
                return BytesIO(archive.read(info))
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError) as error:
            raise refuse(f"{info.filename} in {path.name} cannot be read: {error}.", MEND) from error

    return opened


def _picture(name: str, opened: Opened, frame: Frame, preprocessing: Preprocessing) -> Callable[[], list[Feed]]:
    def read() -> list[Feed]:
        with opened() as stream:
            return [feed_of(stream.read(), name, frame, preprocessing)]

    return read


def _first(read: Read) -> list[Feed]:
    return read()[0]


def _reader(name: str, kind: str, opened: Opened, inputs: list[Port], profile: Path | None, most: int) -> Read:
    def read() -> tuple[list[Feed], list[int] | None]:
        with opened() as stream:
            if kind == NPZ:
                return feeds_of(read_npz(stream, name), inputs, name, most), None
            return read_lines(stream.read(), name, inputs, profile, most)

    return read
