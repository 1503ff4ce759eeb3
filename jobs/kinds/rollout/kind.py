"""Take machines from what they serve to a release, in batches.

A machine's lane: image there, loaded, the old container stopped, the new one started, then two gates: it must say that
it is healthy and that it is this very release, and it must answer the release's smoke question rightly. A machine that
fails a gate goes back to the container it had, and no further batch begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Claim, Need
from jobs.depot.contents import image_of, parts
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, RunCommand, SendArtifact, Stage, Step
from jobs.planning.collision import first_step
from jobs.rollout import container
from jobs.rollout.container import DOCKER, again
from jobs.rollout.models import Deployment, Release
from jobs.rollout.services import KIND, set_deployment

if TYPE_CHECKING:
    from hardware.inventory.models import Machine
    from jobs.models import Job

FOLDER = "/var/tmp/ascend-console/images"
GIB = 1024**3


class Params(serializers.Serializer[Any]):
    release = serializers.IntegerField(min_value=1, label=_("Release"))
    batch_size = serializers.IntegerField(min_value=1, max_value=1000, default=1, label=_("Machines a batch"))


class Rollout(Kind):
    slug = KIND
    title = _("Roll out a release")
    summary = _("In batches, each gated by a health check and a smoke inference; a machine that fails goes back.")
    Params = Params

    def offers(self, name: str) -> list[tuple[str, str]] | None:
        if name != "release":
            return None
        return [(str(r.pk), f"{r}, {r.image.name}") for r in Release.objects.select_related("image")[:200]]

    def claim(self, params: dict[str, Any], target: Target) -> Claim:
        return self.claims(params, [target])[target.name]

    def claims(self, params: dict[str, Any], targets: Sequence[Target]) -> dict[str, Claim]:
        release, before = _release(params["release"]), _serving(targets)
        replaced = {name: there.release for name, there in before.items()}
        return {target.name: _claim(release, replaced.get(target.name)) for target in targets}

    def need(self, params: dict[str, Any], depot: DepotView) -> Need:
        image = _release(params["release"]).image.ref()
        # The archive, what docker unpacks of it, and the weights in memory while they are loaded.
        room = GIB + image.size
        return Need(
            npus=True,
            docker=True,
            free={FOLDER: GIB + room, DOCKER: GIB + 2 * room},
            memory=GIB + room,
            image=image_of(image),
            depot=parts(depot),
        )

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        release = _release(params["release"])
        before = _serving(targets)
        lanes = [self._lane(target, release, before.get(target.name)) for target in targets]
        size = params["batch_size"]
        batches = [lanes[start : start + size] for start in range(0, len(lanes), size)]
        stages = [Stage(f"Batch {number} of {len(batches)}", batch) for number, batch in enumerate(batches, 1)]
        return Plan(stages, [f"Release {release}"])

    def _lane(self, target: Target, release: Release, there: Deployment | None) -> Lane:
        before = there.release if there is not None else None
        facts = target.require_facts()
        missing = [f"/dev/davinci{n}" for n in release.devices if f"/dev/davinci{n}" not in facts.davinci_nodes]
        if missing:
            raise PlanRefused(
                "npu-missing",
                f"{target.name} has no {', '.join(missing)}, which release {release} needs.",
                "Install the driver and probe again, or take the machine out of the targets.",
                "targets",
            )
        image = release.image
        archive = f"{FOLDER}/{image.sha256[:16]}.tar"
        load = RunCommand(f"docker load -i {archive}", 1800, repeatable=True, writes=[DOCKER])
        steps = [
            first_step(_claim(release, before)),
            Step("send", f"Send {image.name}", SendArtifact(image.sha256, image.name, image.size, archive)),
            Step("load", "Load the image", load),
        ]
        undo = [Step("remove", f"Remove {release}", again(f"docker rm -f {release.container}"))]
        parameters = there.parameters if there is not None and before == release else release.parameters
        # The same release again is a restart of its container: there is nothing else to go back to.
        if before is not None and before != release:
            steps.append(Step("stop", f"Stop {before}", container.stop(before)))
            undo += [
                Step("restore", f"Start {before} again", again(f"docker start {before.container}")),
                Step("restored", f"{before} is healthy again", container.health(before)),
            ]
        steps += [
            Step("start", f"Start {release}", container.start(release, parameters)),
            Step("health", f"{release} is healthy", container.health(release)),
            Step("smoke", "It answers the smoke question", container.smoke(release)),
            Step("clean", "Remove the archive", again(f"rm -f -- {archive}", archive)),
        ]
        return Lane(target.name, steps, undo)

    def succeeded(self, step: Step, machine: Machine | None, job: Job) -> None:
        if machine is None or step.key not in ("start", "smoke", "remove", "restored"):
            return
        release = _release(job.params["release"])
        if step.key == "start":
            # The question is who may be asked now: until the gates are passed, nobody may ask this machine.
            Deployment.objects.filter(machine=machine).update(state=Deployment.State.CHANGING)
        elif step.key == "smoke":
            set_deployment(machine, release, Deployment.State.SERVING, job)
        else:
            there = Deployment.objects.filter(machine=machine).select_related("release").first()
            if there is not None:
                state = Deployment.State.SERVING if step.key == "restored" else Deployment.State.DOWN
                set_deployment(machine, there.release, state, job)

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"gates_passed": sum(1 for result in results if result.get("answer") is not None)}


def _release(release_id: int) -> Release:
    found = Release.objects.filter(pk=release_id).select_related("image").first()
    if found is None:
        raise PlanRefused("release-unknown", f"There is no release {release_id}.", "Choose a release.", "release")
    return found


def _serving(targets: Sequence[Target]) -> dict[str, Deployment]:
    """What each machine serves now."""
    names = [target.name for target in targets]
    there = Deployment.objects.filter(machine__name__in=names).select_related("machine", "release")
    return {deployment.machine.name: deployment for deployment in there}


def _claim(release: Release, before: Release | None) -> Claim:
    """The release's NPUs; what the machine serves now, and this release itself, make room for it."""
    replaces = {release.container} | ({before.container} if before else set())
    return Claim(tuple(release.devices), replaces=tuple(sorted(replaces)))
