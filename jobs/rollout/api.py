"""REST: releases and rollouts."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.dryrun import has_dry_run, is_dry_run
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.strict import Strict
from jobs.depot.models import Artifact
from jobs.models import Job, JobStep
from jobs.planning import dryrun
from jobs.planning.collision import look_ahead
from jobs.rollout.models import Deployment, Release
from jobs.rollout.services import KIND, make_release, params_of, roll_out
from jobs.services import kind_of
from jobs.states import JobState

# The steps of a rollout's plan that hold the next batch back until they are right.
GATES = ("health", "smoke")


class ReleaseSerializer(Strict, serializers.ModelSerializer[Release]):
    image = serializers.PrimaryKeyRelatedField(queryset=Artifact.objects.filter(type="image"))
    devices = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=63), min_length=1, default=lambda: [0]
    )

    class Meta:
        model = Release
        fields = [
            "id", "name", "version", "image", "port", "devices", "smoke_text", "smoke_label", "preprocessing_workers",
            "max_batch", "memory_budget_mb", "created_by", "created_at",
        ]  # fmt: skip
        read_only_fields = ["created_by"]
        # The service says it in one sentence with its mend.
        validators: list[Any] = []

    def validate_devices(self, devices: list[int]) -> list[int]:
        if len(set(devices)) < len(devices):
            raise serializers.ValidationError(_("Name each NPU once."))
        return devices


class ReleaseViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet[Release]
):
    queryset = Release.objects.all()
    serializer_class = ReleaseSerializer
    filterset_fields = ["name", "version"]

    def perform_create(self, serializer: serializers.BaseSerializer[Release]) -> None:
        serializer.instance = make_release(actor=self.request.user.get_username(), **serializer.validated_data)


class DeploymentSerializer(serializers.ModelSerializer[Deployment]):
    """``parameters`` are what the server was started with: the release's own and, in their place, ``overrides``."""

    machine: serializers.SlugRelatedField[Machine] = serializers.SlugRelatedField(slug_field="name", read_only=True)
    release_name = serializers.CharField(source="release.__str__")
    parameters = serializers.DictField(source="parameters.to_json", child=serializers.IntegerField())

    class Meta:
        model = Deployment
        fields = ["machine", "release", "release_name", "state", "parameters", "overrides", "job", "since"]


class DeploymentViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Deployment]):
    """What each machine serves; it is changed by jobs of the kinds ``rollout`` and ``tune-serving``."""

    queryset = Deployment.objects.select_related("machine", "release")
    serializer_class = DeploymentSerializer
    filterset_fields = ["machine__name", "release", "state"]


class RolloutRequest(Strict):
    """``plan_hash`` and ``propose`` as in ``/jobs/``."""

    release = serializers.PrimaryKeyRelatedField(queryset=Release.objects.all())
    machines = serializers.SlugRelatedField(slug_field="name", many=True, queryset=Machine.objects.all())
    batch_size = serializers.IntegerField(min_value=1, max_value=1000, default=1)
    plan_hash = serializers.CharField(required=False, default="")
    propose = serializers.BooleanField(required=False, default=False)

    def validate_machines(self, machines: list[Machine]) -> list[Machine]:
        return list(dict.fromkeys(machines))


class RolloutSerializer(serializers.Serializer[Any]):
    """What is read of a rollout; ``batches`` only when one is asked for."""

    id = serializers.IntegerField()
    release = serializers.IntegerField()
    release_name = serializers.CharField(allow_null=True)
    batch_size = serializers.IntegerField()
    state = serializers.ChoiceField(JobState.choices)
    failure = serializers.DictField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    batches = serializers.ListField(child=serializers.DictField(), required=False)


class RolloutViewSet(viewsets.GenericViewSet[Job]):
    """A rollout is a job of kind ``rollout``, seen by batch: its id is the job's."""

    queryset = Job.objects.filter(kind=KIND)
    serializer_class = RolloutRequest

    @extend_schema(responses=RolloutSerializer(many=True))
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([_summary(job) for job in page or []])

    @extend_schema(responses=RolloutSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """The rollout with its batches, and each gate with what it measured."""
        job = self.get_object()
        return Response({**_summary(job), "batches": _batches(job)})

    seen: dict[str, Facts] | None = None

    def prepare(self, request: Request) -> None:
        """Look at who holds the machines' NPUs before a transaction begins."""
        if is_dry_run(request):
            return
        given = _asked(request)
        params = params_of(given["release"], given["batch_size"])
        self.seen = look_ahead(kind_of(KIND), params, given["machines"])

    @has_dry_run
    @extend_schema(request=RolloutRequest, responses={200: dryrun.DryRunSerializer, 201: RolloutSerializer})
    def create(self, request: Request) -> Response:
        """Take machines to a release, ``batch_size`` at a time; a batch waits for every gate of the one before. With
        ``?dry_run=1`` show the plan and what preflight says.
        """
        only_shown, given = is_dry_run(request), _asked(request)
        release, machines, size = given["release"], given["machines"], given["batch_size"]
        if only_shown:
            return Response(dryrun.of_request(KIND, params_of(release, size), machines))
        job = roll_out(
            release,
            machines,
            size,
            actor=request.user.get_username(),
            approved_hash=given["plan_hash"],
            propose=given["propose"],
            seen=self.seen,
        )
        return Response({**_summary(job), "batches": _batches(job)}, status=status.HTTP_201_CREATED)


def _asked(request: Request) -> dict[str, Any]:
    asked = RolloutRequest(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _summary(job: Job) -> dict[str, Any]:
    release = Release.objects.filter(pk=job.params["release"]).first()
    return {
        "id": job.pk,
        "release": job.params["release"],
        "release_name": str(release) if release else None,
        "batch_size": job.params["batch_size"],
        "state": job.state,
        "failure": job.failure,
        "created_by": job.created_by,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
    }


def _batches(job: Job) -> list[dict[str, Any]]:
    steps = list(job.steps.select_related("machine").order_by("stage", "lane", "compensates", "position"))
    return [
        {
            "number": stage + 1,
            "machines": [
                _lane(list(lane)) for _, lane in groupby((s for s in steps if s.stage == stage), lambda s: s.lane)
            ],
        }
        for stage in sorted({step.stage for step in steps})
    ]


def _lane(steps: list[JobStep]) -> dict[str, Any]:
    forward = [step for step in steps if not step.compensates]
    undone = [step for step in steps if step.compensates and step.state == "succeeded"]
    current = next((step for step in forward if step.state not in ("succeeded", "skipped")), forward[-1])
    return {
        "machine": current.machine.name if current.machine else None,
        "state": current.state,
        "step": current.title,
        "rolled_back": bool(undone),
        "gates": [
            {"key": step.key, "state": step.state, "measured": step.result, "failure": step.failure}
            for step in forward
            if step.key in GATES
        ],
    }
