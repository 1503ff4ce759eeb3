"""What can be done with releases and rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from hardware.events import announce, audit
from hardware.inventory.models import Machine
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.rollout.models import Deployment, Release
from jobs.services import launch

KIND = "rollout"


def make_release(*, actor: str, **fields: Any) -> Release:
    """A new release. Raises ``PlanRefused`` when its name and version are taken, or its image is no image."""
    if fields["image"].type != "image":
        raise PlanRefused(
            "not-an-image", f"{fields['image'].name} is no image.", "Package one with package-image.", "image"
        )
    with transaction.atomic():
        if Release.objects.filter(name=fields["name"], version=fields["version"]).exists():
            raise PlanRefused(
                "release-exists",
                f"There is a release {fields['name']}:{fields['version']} already; a release never changes.",
                "Give another version.",
                "version",
            )
        release = Release.objects.create(created_by=actor, **fields)
        audit("release.create", f"release:{release}", actor=actor, image=release.image.sha256)
    return release


def roll_out(
    release: Release,
    machines: Sequence[Machine],
    batch_size: int,
    *,
    actor: str,
    **how: Any,
) -> Job:
    """Launch a rollout of ``release``; ``how`` is what ``launch`` takes, and it raises what that raises."""
    return launch(KIND, params_of(release, batch_size), machines, actor=actor, **how)


def params_of(release: Release, batch_size: int) -> dict[str, Any]:
    return {"release": release.pk, "batch_size": batch_size}


def set_deployment(machine: Machine, release: Release, state: str, job: Job) -> None:
    """Store what a machine serves now; inside the transaction that checkpoints the step which made it so.

    What was tuned on the machine stays as long as the release does.
    """
    there = Deployment.objects.filter(machine=machine).first()
    kept = there.overrides if there is not None and there.release_id == release.pk else {}
    _store(machine, release, state, job, kept)


def set_overrides(machine: Machine, release: Release, overrides: dict[str, int], job: Job) -> None:
    """Store that a machine serves the release with these parameters instead of its own; transaction as above."""
    _store(machine, release, Deployment.State.SERVING, job, overrides)
    audit("deployment.tune", f"machine:{machine.name}", actor=f"job:{job.pk}", release=str(release), **overrides)


def _store(machine: Machine, release: Release, state: str, job: Job, overrides: dict[str, int]) -> None:
    values = {"release": release, "state": state, "job": job, "overrides": overrides}
    Deployment.objects.update_or_create(machine=machine, defaults=values)
    announce("fleet", "machine", machine=machine.name, state=machine.state, release=str(release), serving=state)
