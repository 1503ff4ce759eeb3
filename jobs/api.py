"""REST: kinds and jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.inventory.models import Machine
from jobs import logbook, logtext, registry, retry
from jobs.depot.services import Depot
from jobs.history.api import AskedSerializer, PagingSerializer, page_of
from jobs.kind import Target
from jobs.models import Job, JobStep
from jobs.services import cancel, launch, plan


class StepSerializer(serializers.ModelSerializer[JobStep]):
    machine: serializers.SlugRelatedField[Machine] = serializers.SlugRelatedField(slug_field="name", read_only=True)

    class Meta:
        model = JobStep
        fields = [
            "id", "stage", "lane", "position", "compensates", "machine", "key", "title", "action", "state",
            "exit_status", "failure", "result", "log_sha256", "started_at", "ended_at",
        ]  # fmt: skip


class JobSerializer(serializers.ModelSerializer[Job]):
    machines: serializers.SlugRelatedField[Machine] = serializers.SlugRelatedField(
        slug_field="name", many=True, read_only=True
    )

    class Meta:
        model = Job
        fields = [
            "id", "kind", "params", "machines", "plan_hash", "state", "failure", "result", "waits_for", "created_by",
            "created_at", "started_at", "ended_at", "attempt", "log_length", "retry_of",
        ]  # fmt: skip


class JobPageSerializer(serializers.Serializer[Any]):
    """``count`` ends at a bound; ``count_more`` says that there are more."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    count = serializers.IntegerField()
    count_more = serializers.BooleanField()
    results = JobSerializer(many=True)


class ListedSerializer(JobSerializer):
    """A job of a list: the names of the machines were read for all of them at once."""

    machines = serializers.SerializerMethodField()  # type: ignore[assignment]

    def get_machines(self, job: Job) -> list[str]:
        return list(self.context["machines"][job.pk])


class OneSerializer(JobSerializer):
    """A job by itself: also which jobs ran it again."""

    retries: serializers.PrimaryKeyRelatedField[Job] = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    class Meta(JobSerializer.Meta):
        fields = [*JobSerializer.Meta.fields, "retries"]


class RetrySerializer(serializers.Serializer[Any]):
    """``failed`` machines are those on which not every step was done. ``params`` take the place of the job's own."""

    machines = serializers.ChoiceField(["failed", "all"])
    params = serializers.DictField(default=dict)
    plan_hash = serializers.CharField(required=False, default="")


class LaunchSerializer(serializers.Serializer[Any]):
    """``plan_hash`` is the hash that a dry run showed: with it, only that very plan is run."""

    kind = serializers.CharField()
    params = serializers.DictField(default=dict)
    machines = serializers.SlugRelatedField(slug_field="name", many=True, queryset=Machine.objects.all())
    plan_hash = serializers.CharField(required=False, default="")


class PlanSerializer(serializers.Serializer[Any]):
    plan = serializers.DictField()
    plan_hash = serializers.CharField()


class LogSerializer(serializers.Serializer[Any]):
    frames = serializers.ListField(child=serializers.DictField())
    next = serializers.IntegerField()
    ended = serializers.BooleanField()


class KindSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    targets = serializers.ChoiceField(["none", "optional", "one", "many"])
    mutates = serializers.BooleanField()


class JobViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet[Job]):
    queryset = Job.objects.prefetch_related("machines").defer("plan", "traceback")
    serializer_class = OneSerializer
    # Not a query set's filters: ``jobs.history`` finds jobs among a million.
    filter_backends = ()

    def once(self, request: Request, make: Callable[[], Response]) -> Response:
        """Where a request may be repeated, the class that is served makes its answer only once."""
        return make()

    @extend_schema(parameters=[AskedSerializer, PagingSerializer], responses=JobPageSerializer)
    def list(self, request: Request) -> Response:
        """Jobs that match all filters, newest first; ``count`` ends at a bound (then ``count_more`` is true)."""
        rows, around = page_of(request)
        names = {row.job.pk: row.machines for row in rows}
        jobs = ListedSerializer([row.job for row in rows], many=True, context={"machines": names})
        return Response({**around, "results": jobs.data})

    @extend_schema(
        request=LaunchSerializer, responses={201: JobSerializer}, parameters=[OpenApiParameter("dry_run", bool)]
    )
    def create(self, request: Request) -> Response:
        """Launch a job, or with ``?dry_run=1`` show its plan and what preflight says; a dry run changes nothing."""
        asked = LaunchSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        wanted = {"slug": given["kind"], "params": given["params"], "machines": given["machines"]}
        return _planned_or_launched(request, wanted, given["plan_hash"])

    @extend_schema(
        request=RetrySerializer, responses={201: JobSerializer}, parameters=[OpenApiParameter("dry_run", bool)]
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Run an ended job again as a new one, planned anew; with ``?dry_run=1`` show that plan."""
        earlier = self.get_object()
        asked = RetrySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        wanted = retry.request_of(earlier, given["machines"], given["params"])
        return self.once(request, lambda: _planned_or_launched(request, wanted, given["plan_hash"], retry_of=earlier))

    @extend_schema(responses=PlanSerializer)
    @action(detail=True)
    def plan(self, request: Request, pk: str) -> Response:
        """The plan as it was stored: what runs."""
        job = self.get_object()
        return Response({"plan": job.plan, "plan_hash": job.plan_hash})

    @extend_schema(responses=StepSerializer(many=True))
    @action(detail=True)
    def steps(self, request: Request, pk: str) -> Response:
        steps = JobStep.objects.filter(job=self.get_object()).select_related("machine")
        return Response(StepSerializer(steps, many=True).data)

    @extend_schema(responses=LogSerializer, parameters=[OpenApiParameter("after", int)])
    @action(detail=True)
    def log(self, request: Request, pk: str) -> Response:
        """The log from byte ``after`` on; ``next`` is what to ask for then. It is whole when ``ended`` is true."""
        job = self.get_object()
        after = serializers.IntegerField(min_value=0).run_validation(request.query_params.get("after", "0"))
        frames = [logbook.frame(chunk) for chunk in logbook.replay(job.pk, after)]
        upto = frames[-1]["offset"] + frames[-1]["size"] if frames else after
        return Response({"frames": frames, "next": upto, "ended": job.ended and upto >= job.log_length})

    @extend_schema(responses={(200, "text/plain"): str}, parameters=[OpenApiParameter("machine", str)])
    @action(detail=True, url_path="log-text")
    def log_text(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The whole log as text; with ``machine`` (``console`` for the console itself) its bytes as they came."""
        machine = request.query_params.get("machine", "")
        return StreamingHttpResponse(
            logtext.stream(self.get_object().pk, machine or None), content_type="text/plain; charset=utf-8"
        )

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ask the job to stop; asking again, or after its end, changes nothing."""
        job = self.get_object()
        cancel(job, actor=request.user.get_username())
        job.refresh_from_db()
        return Response(JobSerializer(job).data)


def _planned_or_launched(
    request: Request, wanted: dict[str, Any], plan_hash: str, retry_of: Job | None = None
) -> Response:
    """With ``?dry_run=1`` the plan and what preflight says, else the job."""
    if request.query_params.get("dry_run") in ("1", "true"):
        made, clean = plan(**wanted)
        kind = registry.get(wanted["slug"])
        checks = {
            machine.name: [
                {"code": c.code, "severity": c.severity, "reason": c.reason}
                for c in kind.preflight(clean, Target(machine.name, machine.read), Depot())
            ]
            for machine in wanted["machines"]
        }
        return Response({"plan": made.to_json(), "plan_hash": made.hash, "preflight": checks})
    job = launch(**wanted, actor=request.user.get_username(), approved_hash=plan_hash, retry_of=retry_of)
    return Response(JobSerializer(job).data, status=status.HTTP_201_CREATED)


class KindList(APIView):
    """The kinds of job that there are."""

    @extend_schema(responses=KindSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(
            [
                {"slug": k.slug, "title": k.title, "summary": k.summary, "targets": k.targets, "mutates": k.mutates}
                for k in registry.all_kinds().values()
            ]
        )
