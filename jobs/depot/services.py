"""Putting blobs into the depot, and checking that they are what they were."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction

from hardware.events import audit
from jobs.depot.models import Artifact, blob_path
from jobs.depot.networks import read_model
from jobs.depot.recognize import recognize
from jobs.depot.runfiles import TYPES, version_info
from jobs.depot.wheels import WHEELS, read_wheel
from jobs.failures import JobFailed, PlanRefused
from jobs.kind import ArtifactRef

BLOCK = 1 << 20


def ingest(
    source: BinaryIO,
    *,
    name: str,
    type: str,
    actor: str,
    version: str = "",
    meta: dict[str, Any] | None = None,
    expected_sha256: str = "",
    origin: str = "",
) -> Artifact:
    """Store a stream. The same bytes again give the artifact that is there.

    Version and ``meta`` are filled up with what the name of a vendor's package says.
    With ``expected_sha256`` other bytes are refused, and nothing of them stays. Raises ``JobFailed``.
    """
    incoming = Path(settings.DEPOT_DIR) / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=incoming)
    try:
        digest, size = hashlib.sha256(), 0
        with os.fdopen(handle, "wb") as file:
            while block := source.read(BLOCK):
                file.write(block)
                digest.update(block)
                size += len(block)
            file.flush()
            os.fsync(file.fileno())
        sha256 = digest.hexdigest()
        if size == 0:
            raise JobFailed("artifact-empty", f"{name} is empty; nothing was stored.", "Copy the file again.")
        if expected_sha256 and expected_sha256.lower() != sha256:
            raise JobFailed(
                "artifact-corrupt",
                f"{name} is not the file that was meant: its SHA-256 is {sha256}, not {expected_sha256.lower()}.",
                "Copy the file again from its source, and compare the SHA-256 that the vendor gives.",
            )
        said = recognize(name)
        facts = {**said.meta, **(meta or {})} if said.type == type else meta or {}
        if type in TYPES and (info := version_info(Path(path))):
            facts = {"version_info": info, **facts}
        if type == "model":
            facts = {**read_model(Path(path), name), **facts}
        if type in WHEELS:
            facts = {**facts, **read_wheel(Path(path), name)}
        version = version or (said.version if said.type == type else "")
        return _keep(Path(path), sha256, size, name, type, version, facts, actor, origin)
    finally:
        Path(path).unlink(missing_ok=True)


def _keep(
    file: Path,
    sha256: str,
    size: int,
    name: str,
    type: str,
    version: str,
    meta: dict[str, Any],
    actor: str,
    origin: str,
) -> Artifact:
    blob = blob_path(sha256)
    with transaction.atomic():
        there = Artifact.objects.filter(sha256=sha256).first()
        if there is not None and blob.exists():
            return there
        blob.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o444)
        file.replace(blob)
        if there is not None:
            return there
        made = Artifact.objects.create(
            type=type, name=name, version=version, sha256=sha256, size=size, meta=meta, origin=origin, created_by=actor
        )
        audit("artifact.ingest", f"artifact:{made.pk}", actor=actor, name=name, sha256=sha256, size=size)
        return made


def verify(artifact: Artifact) -> None:
    """Read the blob again. Raises ``JobFailed`` when it is gone or is not what its name says."""
    digest = hashlib.sha256()
    try:
        with artifact.path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as wrong:
        raise JobFailed(
            "artifact-missing",
            f"The blob of {artifact.name} can't be read ({wrong.strerror}).",
            "Ingest the file again.",
        ) from wrong
    if digest.hexdigest() != artifact.sha256:
        raise JobFailed(
            "artifact-corrupt",
            f"The blob of {artifact.name} in the depot has changed: its SHA-256 is no longer {artifact.sha256}.",
            "Check the depot's disk, remove the artifact and ingest the file again.",
        )


class Depot:
    """What planning may ask of the depot. One that is kept for several questions asks for each type once."""

    def __init__(self) -> None:
        self._found: dict[str, list[ArtifactRef]] = {}

    def get(self, artifact_id: int, type: str | None = None) -> ArtifactRef:
        found = Artifact.objects.filter(pk=artifact_id).first()
        if found is None or (type is not None and found.type != type):
            wanted = f"{type} " if type else ""
            raise PlanRefused(
                "artifact-unknown",
                f"The depot has no {wanted}artifact {artifact_id}.",
                "Choose one that is in the depot.",
            )
        return found.ref()

    def by_sha256(self, sha256: str) -> ArtifactRef | None:
        found = Artifact.objects.filter(sha256=sha256).first()
        return found.ref() if found else None

    def find(self, type: str, **meta: Any) -> list[ArtifactRef]:
        """Artifacts of a type whose ``meta`` has these values, newest first."""
        if type not in self._found:
            self._found[type] = [artifact.ref() for artifact in Artifact.objects.filter(type=type)]
        return [ref for ref in self._found[type] if all(ref.meta.get(key) == value for key, value in meta.items())]
