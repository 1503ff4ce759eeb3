"""Packages of the depot on their way to a machine."""

from __future__ import annotations

from jobs.kind import ArtifactRef
from jobs.plan import SendArtifact, Step

FOLDER = "/var/tmp/ascend-console/packages"


def remote_path(artifact: ArtifactRef) -> str:
    """Where the package lies on a machine."""
    return f"{FOLDER}/{artifact.name}"


def send_step(key: str, artifact: ArtifactRef, mode: int = 0o644) -> Step:
    """The step that copies it there."""
    action = SendArtifact(artifact.sha256, artifact.name, artifact.size, remote_path(artifact), mode)
    return Step(key, f"Send {artifact.name}", action)
