"""The zip that torch.save writes: a pickle, and beside it the bytes of each storage, stored as they are.

Every figure in it comes from outside. Names are keys here and never paths; a storage is a place in the file, which is
held against the file's length and against its neighbours.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.pickled.tensors import damaged
from jobs.conversion.programs.archive import program_in

# A state dict of a thousand layers has a pickle of 2 MB.
PICKLE_LIMIT = 64 * 1024**2
ENTRY_LIMIT = 200_000
LIST = "data.pkl"
LOCAL = struct.Struct("<4s22xHH")


@dataclass(frozen=True)
class Place:
    """An entry's bytes in the file."""

    start: int
    length: int


class Archive:
    """An opened checkpoint: `pickle` is its instructions, `storages` are places by key."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Raises ConversionRefused: `torchscript`, `not-checkpoint`, `checkpoint-unsafe`, `checkpoint-truncated`, ...

        `name` is what a person knows the file by.
        """
        self._file = file
        self._name = name
        self.size = file.seek(0, 2)
        try:
            with zipfile.ZipFile(file) as listed:
                entries = listed.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
            raise self._cut(str(error)) from error
        root = self._root([entry.filename for entry in entries])
        places = self._places(entries)
        self.pickle = self._read(places[root + LIST], PICKLE_LIMIT)
        if order := places.get(f"{root}byteorder"):
            told = self._read(order, 16)
            if told != b"little":
                raise ConversionRefused(
                    "not-checkpoint",
                    f"{name} was saved by a machine of another byte order ({told[:16]!r}).",
                    "Save it as safetensors where it was trained.",
                )
        prefix = f"{root}data/"
        self.storages = {
            key.removeprefix(prefix): place for key, place in places.items() if key.startswith(prefix)
        }  # fmt: skip

    def _root(self, names: list[str]) -> str:
        """What every name begins with. Recognises the archives of torch that are no checkpoint."""
        if len(names) > ENTRY_LIMIT or len(names) != len(set(names)):
            raise self._unsafe("has too many entries, or one twice")
        for name in names:
            if name.startswith("/") or "\\" in name or ".." in name.split("/") or "\0" in name:
                raise self._unsafe(f"holds {name[:100]!r}, which would lie outside its folder")
        lists = [name for name in names if name.count("/") < 2 and name.rsplit("/", 1)[-1] == LIST]
        if kind := program_in(names):
            raise ConversionRefused(
                "torchscript",
                f"{self._name} is an archive of {kind}, a program and no table of weights.",
                "It becomes ONNX as a whole: python -m jobs.conversion FILE OUT.onnx, where torch is installed.",
            )
        if len(lists) != 1:
            raise ConversionRefused(
                "not-checkpoint",
                f"{self._name} is a zip archive without one data.pkl, so no checkpoint of PyTorch.",
                "Give the file that torch.save wrote, or a folder with model.safetensors.",
            )
        return lists[0].removesuffix(LIST)

    def _places(self, entries: list[zipfile.ZipInfo]) -> dict[str, Place]:
        places: dict[str, Place] = {}
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.is_dir():
                continue
            if (
                entry.compress_type != zipfile.ZIP_STORED
                or entry.flag_bits & 1
                or entry.file_size != entry.compress_size
            ):
                raise self._unsafe(f"packs or locks {entry.filename[:100]!r}, which torch.save does not do")
            if entry.header_offset < end or entry.header_offset + LOCAL.size > self.size:
                raise self._unsafe(f"has {entry.filename[:100]!r} in the place of another entry")
            self._file.seek(entry.header_offset)
            mark, name_length, extra_length = LOCAL.unpack(self._file.read(LOCAL.size))
            start = entry.header_offset + LOCAL.size + name_length + extra_length
            end = start + entry.file_size
            if mark != b"PK\x03\x04" or end > self.size:
                raise self._cut(f"{entry.filename[:100]!r} is not where the list has it")
            places[entry.filename] = Place(start, entry.file_size)
        return places

    def _read(self, place: Place, limit: int) -> bytes:
        if place.length > limit:
            raise self._unsafe(f"has a list of {place.length} bytes where {limit} are the most")
        self._file.seek(place.start)
        return self._file.read(place.length)

    def place_of(self, key: str, length: int) -> Place:
        """Where a storage of `length` bytes lies. Raises `pickle-damaged` when it is not there or is another size."""
        place = self.storages.get(key)
        if place is None or place.length != length:
            held = "is not there" if place is None else f"has {place.length} bytes"
            raise damaged(f"storage {key[:40]!r} of {length} bytes {held}")
        return place

    def _cut(self, why: str) -> ConversionRefused:
        return ConversionRefused(
            "checkpoint-truncated",
            f"{self._name} is a zip archive that is cut off or damaged ({why}).",
            "Copy the file again and compare its SHA-256 with the original's.",
        )

    def _unsafe(self, why: str) -> ConversionRefused:
        return ConversionRefused(
            "checkpoint-unsafe",
            f"{self._name} was not loaded: it {why}.",
            "Save it again with torch.save, or as safetensors.",
        )
