"""Which program of torch a zip archive is, by the names in it. Nothing in it is read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

SCRIPT, EXPORTED = "TorchScript", "torch.export"
ENDINGS = (".pt", ".pt2", ".pth", ".bin", ".jit", ".ts", ".torchscript")


def program_in(names: Iterable[str]) -> str | None:
    """`SCRIPT`, `EXPORTED`, or None for the names of an archive that is no program."""
    inside = {name.split("/", 1)[1] for name in names if "/" in name}
    if any(name == "constants.pkl" or name.startswith("code/") for name in inside):
        return SCRIPT
    marks = {"archive_format", "serialized_exported_program.json"}
    if marks & inside or any(name.startswith("models/") and name.endswith(".json") for name in inside):
        return EXPORTED
    return None


def program_of(path: Path) -> str | None:
    """The same of a file; None as well for what is no zip archive."""
    try:
        with zipfile.ZipFile(path) as listed:
            return program_in(listed.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return None


def find_program(place: Path) -> tuple[Path, str] | None:
    """The program that a file is, or that lies alone in a folder which is no model folder; with which it is."""
    files = [place] if place.is_file() else []
    if place.is_dir() and not (place / "config.json").exists():
        files = [path for path in sorted(place.iterdir()) if path.suffix in ENDINGS and path.is_file()]
    if len(files) != 1:
        return None
    kind = program_of(files[0])
    return (files[0], kind) if kind else None
