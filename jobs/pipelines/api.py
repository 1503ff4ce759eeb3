"""REST: pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.dryrun import has_dry_run, is_dry_run
from hardware.strict import Strict, takes_no_body
from jobs import request as requests
from jobs.api import JobSerializer
from jobs.models import Job
from jobs.options import OptionsSerializer
from jobs.pipelines import registry
from jobs.pipelines.models import Pipeline, PipelineStage
from jobs.pipelines.services import Outline, cancel, outline, retry, start
from jobs.pipelines.standing import Standing
from jobs.request import TargetsSerializer
from jobs.states import JobState


class StartSerializer(Strict):
    """``machines`` by name, or ``targets`` as a schedule has them. ``options`` are those of each stage's job.

    ``plan_hash`` is that of the first job's plan as a dry run showed it. ``propose``: each stage's plan has to be
    approved by another person before it runs.
    """

    pipeline = serializers.CharField()
    params = serializers.DictField(default=dict)
    machines = serializers.ListField(child=serializers.CharField(max_length=63), default=list)
    targets = TargetsSerializer(required=False)
    options = OptionsSerializer(required=False)
    plan_hash = serializers.CharField(required=False, default="")
    propose = serializers.BooleanField(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["machines"] and "targets" in attrs:
            raise serializers.ValidationError({"targets": [_("Give machines or targets, not both.")]})
        return attrs


class StageOutlineSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    kind = serializers.CharField()
    params = serializers.DictField()
    machines = serializers.ListField(child=serializers.CharField())


class OutlineSerializer(serializers.Serializer[Any]):
    """What starting it would do: the first job's plan exactly; the later ones are planned when their turn comes."""

    plan = serializers.DictField()
    plan_hash = serializers.CharField()
    stages = StageOutlineSerializer(many=True)
    options = serializers.DictField()


class StageSerializer(serializers.ModelSerializer[PipelineStage]):
    """``left_behind``: machines that take no part in the stage, each with the reason."""

    state = serializers.SerializerMethodField()
    failure = serializers.SerializerMethodField()
    machines = serializers.SerializerMethodField()
    left_behind = serializers.SerializerMethodField()

    class Meta:
        model = PipelineStage
        fields = ["name", "kind", "params", "job", "state", "failure", "machines", "left_behind"]

    @extend_schema_field(serializers.ChoiceField(choices=JobState.choices, allow_null=True))
    def get_state(self, stage: PipelineStage) -> str | None:
        return stage.job.state if stage.job else None

    @extend_schema_field(serializers.DictField())
    def get_failure(self, stage: PipelineStage) -> dict[str, Any]:
        return dict(stage.job.failure) if stage.job else {}

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_machines(self, stage: PipelineStage) -> list[str]:
        return sorted(machine.name for machine in stage.job.machines.all()) if stage.job else []

    @extend_schema_field(serializers.DictField())
    def get_left_behind(self, stage: PipelineStage) -> dict[str, Any]:
        deferral = getattr(stage.job, "deferral", None)
        return dict(deferral.left_behind) if deferral else {}


class PipelineSerializer(serializers.ModelSerializer[Pipeline]):
    machines: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(
        slug_field="name", many=True, read_only=True
    )
    state = serializers.SerializerMethodField()
    ended = serializers.SerializerMethodField()
    left_behind = serializers.SerializerMethodField()
    stages = StageSerializer(many=True, read_only=True)

    class Meta:
        model = Pipeline
        fields = [
            "id", "kind", "params", "options", "machines", "propose", "state", "ended", "left_behind", "stages",
            "created_by", "created_at",
        ]  # fmt: skip

    def _standing(self, pipeline: Pipeline) -> Standing:
        standing: Standing | None = getattr(pipeline, "known_standing", None)
        if standing is None:
            standing = Standing(pipeline)
            # Asked for by three fields of one answer.
            pipeline.known_standing = standing  # type: ignore[attr-defined]
        return standing

    @extend_schema_field(serializers.ChoiceField(choices=JobState.choices))
    def get_state(self, pipeline: Pipeline) -> str:
        return self._standing(pipeline).state.value

    @extend_schema_field(serializers.BooleanField())
    def get_ended(self, pipeline: Pipeline) -> bool:
        return self._standing(pipeline).ended

    @extend_schema_field(serializers.DictField(help_text="Machine -> the stage that it did not get through."))
    def get_left_behind(self, pipeline: Pipeline) -> dict[str, str]:
        return self._standing(pipeline).left_behind()


class PipelineViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Pipeline]):
    queryset = Pipeline.objects.prefetch_related("machines", "stages__job__machines", "stages__job__deferral")
    serializer_class = PipelineSerializer
    filterset_fields = ["kind", "created_by"]

    def once(self, request: Request, make: Callable[[], Response]) -> Response:
        """Where a request may be repeated, the class that is served makes its answer only once."""
        return make()

    @has_dry_run
    @extend_schema(request=StartSerializer, responses={200: OutlineSerializer, 201: PipelineSerializer})
    def create(self, request: Request) -> Response:
        """Start a pipeline, or with ``?dry_run=1`` show the first job's plan and the outline of the later ones."""
        asked = StartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        machines = requests.found(given.get("targets") or {"machines": given["machines"]})
        wanted = (given["pipeline"], given["params"], machines)
        options = dict(given.get("options", {}))
        if is_dry_run(request):
            return Response(OutlineSerializer(_shown(outline(*wanted, options))).data)
        made = start(
            *wanted,
            actor=request.user.get_username(),
            options=options,
            propose=given["propose"],
            approved_hash=given["plan_hash"],
        )
        return Response(PipelineSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=PipelineSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def cancel(self, request: Request, pk: str) -> Response:
        """Ask every job of it that has not ended to stop; asking again, or after its end, changes nothing."""
        pipeline = self.get_object()
        cancel(pipeline, actor=request.user.get_username())
        return Response(PipelineSerializer(self.get_object()).data)

    @extend_schema(request=None, responses={201: PipelineSerializer})
    @action(detail=True, methods=["post"])
    @takes_no_body
    def retry(self, request: Request, pk: str) -> Response:
        """Run the stage that ended badly again on the machines that it did not finish, and go on from there."""
        pipeline = self.get_object()

        def again() -> Response:
            retry(pipeline, actor=request.user.get_username())
            return Response(PipelineSerializer(self.get_object()).data, status=status.HTTP_201_CREATED)

        return self.once(request, again)

    @extend_schema(responses=JobSerializer(many=True))
    @action(detail=True, pagination_class=None, filter_backends=[])
    def jobs(self, request: Request, pk: str) -> Response:
        """Every job of it, in the order of its stages; where a stage was run again, the earlier ones as well."""
        found: list[Job] = []
        for stage in self.get_object().stages.select_related("job"):
            job = stage.job
            while job is not None:
                found.append(job)
                job = job.retry_of
        return Response(JobSerializer(found, many=True).data)


def _shown(found: Outline) -> dict[str, Any]:
    return {
        "plan": found.plan.to_json(),
        "plan_hash": found.plan.hash,
        "stages": [
            {"name": stage.name, "kind": stage.kind, "params": dict(stage.params), "machines": list(stage.machines)}
            for stage in found.stages
        ],
        "options": found.options.to_json(),
    }


class PipelineKindSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    targets = serializers.ChoiceField(["many", "optional"])
    params = serializers.ListField(child=serializers.CharField())


class PipelineKindList(APIView):
    """The pipelines that may be started."""

    @extend_schema(responses=PipelineKindSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(
            [
                {
                    "slug": one.slug,
                    "title": one.title,
                    "summary": one.summary,
                    "targets": one.targets,
                    "params": list(one.Params().fields),
                }
                for one in registry.all_pipelines().values()
            ]
        )
