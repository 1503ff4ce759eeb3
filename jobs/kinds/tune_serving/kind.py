"""Change the serving parameters of what a machine serves, in place: the same image, NPUs and port, no new release.

Before anything is touched, each machine must run the container that the plan is about, and nobody else may hold its
NPUs. Then, batch by batch, the container is made again with the new parameters, and must be well, say that it has them,
and answer the release's smoke question; a machine that fails that is made again as it was. At last all are watched for
a while, and what was measured before and after is the job's report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.inventory.preflight import Claim, Need
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.plan import Lane, Plan, RunCommand, Stage, Step, Watch
from jobs.planning.collision import first_step
from jobs.rollout import container
from jobs.rollout.models import Deployment
from jobs.rollout.services import set_overrides
from jobs.serving.parameters import BOUNDS, VARIABLES

if TYPE_CHECKING:
    from hardware.inventory.models import Machine
    from jobs.models import Job

REMEDY = "remedy"
# What the manual has a server go down to that runs out of memory.
ROOMY_BATCH = 32
FIGURES = [
    "aicore_percent", "hbm_used_percent", "requests_waiting", "requests_per_s", "latency_ms", "latency_p95_ms",
    "out_of_memory",
]  # fmt: skip

# A container from before there were parameters has none of the variables, and the usual values.
LOOK = r"""runs=$(docker inspect -f '{{.State.Running}} {{.State.Restarting}}' NAME) || exit 1
case $runs in *true*) ;; *) echo "NAME does not run: another release may be served by now"; exit 1 ;; esac
has=$(docker inspect -f '{{json .Config.Env}}' NAME) || exit 1
for one in PLANNED; do
  case $has in *"\"${one%%=*}="*) ;; *) continue ;; esac
  case $has in *"\"$one\""*) ;; *) echo "NAME no longer has $one: plan again"; exit 1 ;; esac
done
echo 'NAME runs as planned'"""


class Params(serializers.Serializer[Any]):
    preprocessing_workers = serializers.IntegerField(
        min_value=BOUNDS["preprocessing_workers"][0],
        max_value=BOUNDS["preprocessing_workers"][1],
        required=False,
        label=_("Preprocessing workers"),
        help_text=_("More of them help when requests wait while the NPU idles."),
    )
    max_batch = serializers.CharField(
        required=False,
        label=_("Largest batch"),
        help_text=_("A number, or “remedy”: 32, or half of what it is when that is 32 or less."),
    )
    watch_minutes = serializers.FloatField(
        min_value=0,
        max_value=24 * 60,
        default=10,
        label=_("Minutes to watch"),
        help_text=_("Then it says what was measured before and after."),
    )
    batch_size = serializers.IntegerField(min_value=1, max_value=1000, default=1, label=_("Machines a batch"))

    def validate_max_batch(self, value: str) -> str:
        low, high = BOUNDS["max_batch"]
        if value == REMEDY or (value.isascii() and value.isdigit() and low <= int(value) <= high):
            return value
        raise serializers.ValidationError(_("A whole number from 1 to 1,024, or “remedy”."))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "preprocessing_workers" not in attrs and "max_batch" not in attrs:
            raise serializers.ValidationError(
                {"preprocessing_workers": [_("Give preprocessing workers, a largest batch, or both.")]}
            )
        return attrs


class TuneServing(Kind):
    slug = "tune-serving"
    title = _("Tune serving")
    summary = _("Other serving parameters for what machines serve, in place; gated, watched, compared with before.")
    Params = Params

    def claim(self, params: dict[str, Any], target: Target) -> Claim | None:
        return self.claims(params, [target])[target.name]

    def claims(self, params: dict[str, Any], targets: Sequence[Target]) -> dict[str, Claim | None]:
        """The NPUs of what is served there, from which only its own container goes; none where nothing is served."""
        there = _serving(targets)
        return {target.name: _claim(there[target.name]) if target.name in there else None for target in targets}

    def need(self, params: dict[str, Any], depot: DepotView) -> Need:
        return Need(docker=True)

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        serving = _serving(targets)
        missing = [target.name for target in targets if target.name not in serving]
        if missing:
            raise PlanRefused(
                "nothing-served",
                f"{', '.join(missing)}: no release is served there.",
                "Roll a release out first, or take it out of the targets.",
                "targets",
            )
        served = [serving[target.name] for target in targets]
        changes = {one.machine.name: changed(one, params) for one in served}
        there = [one for one in served if _differs(one, changes[one.machine.name])]
        if not there:
            names = ", ".join(one.machine.name for one in served[:5])
            raise PlanRefused(
                "nothing-to-change",
                f"{names}: served with {_said(changes[served[0].machine.name])} already.",
                "Choose other values; a restart alone is a rollout of the same release.",
                "preprocessing_workers" if "preprocessing_workers" in params else "max_batch",
            )
        size = params["batch_size"]
        batches = [there[start : start + size] for start in range(0, len(there), size)]
        stages = [Stage("Check", [Lane(one.machine.name, [_check(one), first_step(_claim(one))]) for one in there])]
        stages += [
            Stage(f"Batch {number} of {len(batches)}", [_lane(one, changes[one.machine.name]) for one in batch])
            for number, batch in enumerate(batches, 1)
        ]
        seconds = params["watch_minutes"] * 60
        if seconds:
            stages.append(Stage("Watch", [Lane(one.machine.name, [_watch(one, seconds)]) for one in there]))
        return Plan(stages, [_note(one, changes[one.machine.name]) for one in served])

    def succeeded(self, step: Step, machine: Machine | None, job: Job) -> None:
        if machine is None or step.key not in ("stop", "smoke", "restored"):
            return
        there = Deployment.objects.filter(machine=machine).select_related("release").first()
        if there is None:
            return
        if step.key == "stop":
            # Nobody may ask it until its gates are passed.
            Deployment.objects.filter(pk=there.pk).update(state=Deployment.State.CHANGING)
        elif step.key == "restored":
            set_overrides(machine, there.release, there.overrides, job)
        else:
            set_overrides(machine, there.release, there.overrides | changed(there, job.params), job)

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "artifacts": [],
            "report": {"watched": [result["watched"] for result in results if "watched" in result]},
        }


def _serving(targets: Sequence[Target]) -> dict[str, Deployment]:
    found = Deployment.objects.filter(machine__name__in=[target.name for target in targets])
    return {one.machine.name: one for one in found.select_related("machine", "release__image")}


def _claim(there: Deployment) -> Claim:
    return Claim(tuple(there.release.devices), replaces=(there.release.container,))


def changed(there: Deployment, params: dict[str, Any]) -> dict[str, int]:
    """The parameters that the job gives the machine, in the place of those that it has."""
    found: dict[str, int] = {}
    if "preprocessing_workers" in params:
        found["preprocessing_workers"] = int(params["preprocessing_workers"])
    if "max_batch" in params:
        now = there.parameters.max_batch
        given = params["max_batch"]
        roomy = ROOMY_BATCH if now > ROOMY_BATCH else max(1, now // 2)
        found["max_batch"] = roomy if given == REMEDY else int(given)
    return found


def _check(there: Deployment) -> Step:
    """A rollout or another tuning may have been in between: then nothing is touched."""
    has = " ".join(f"{VARIABLES[key]}={value}" for key, value in there.parameters.to_json().items())
    look = LOOK.replace("NAME", there.release.container).replace("PLANNED", has)
    return Step("check", f"{there.release} runs as planned", RunCommand(look, timeout_s=60, repeatable=True))


def _lane(there: Deployment, change: dict[str, int]) -> Lane:
    release, before = there.release, there.parameters
    after = {**before.to_json(), **change}
    old = {name: before.to_json()[name] for name in change}
    steps = [
        Step("stop", f"Stop {release}", container.stop(release)),
        Step("start", f"Start {release} with {_said(change)}", container.start(release, type(before)(**after))),
        Step("health", f"{release} is healthy and has {_said(change)}", container.health(release, change)),
        Step("smoke", "It answers the smoke question", container.smoke(release)),
    ]
    undo = [
        Step("restore", f"Start {release} with {_said(old)}", container.start(release, before)),
        Step("restored", f"{release} is healthy again", container.health(release)),
    ]
    return Lane(there.machine.name, steps, undo)


def _watch(there: Deployment, seconds: float) -> Step:
    return Step("watch", "Watch what it does", Watch(seconds, FIGURES, list(there.release.devices)))


def _said(change: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in change.items())


def _differs(there: Deployment, change: dict[str, int]) -> bool:
    now = there.parameters.to_json()
    return any(now[name] != value for name, value in change.items())


def _note(there: Deployment, change: dict[str, int]) -> str:
    now = there.parameters.to_json()
    moves = [f"{name} {now[name]} to {value}" for name, value in change.items() if now[name] != value]
    return f"{there.machine.name}, {there.release}: {', '.join(moves) or 'left alone, it is so already'}"
