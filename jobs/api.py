"""REST: kinds and jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.dryrun import has_dry_run, is_dry_run
from hardware.inventory.facts import Facts
from hardware.inventory.models import Machine
from hardware.strict import Strict, takes_no_body
from jobs import registry, reports, retry
from jobs.control import cancel, pause, resume
from jobs.history.api import AskedSerializer, PagingSerializer, page_of
from jobs.logs.api import LogActions
from jobs.models import Job, JobStep, JobTransition
from jobs.options import Options, OptionsSerializer
from jobs.pipelines import references
from jobs.pipelines.deferral import defer, needed
from jobs.pipelines.services import carry_on
from jobs.planning import dryrun
from jobs.planning.collision import look_ahead
from jobs.request import TargetsSerializer, found
from jobs.services import kind_of, launch


class StepSerializer(serializers.ModelSerializer[JobStep]):
    machine: serializers.SlugRelatedField[Machine] = serializers.SlugRelatedField(slug_field="name", read_only=True)

    class Meta:
        model = JobStep
        fields = [
            "id", "stage", "lane", "position", "compensates", "machine", "key", "title", "action", "state", "held",
            "exit_status", "failure", "result", "log_length", "log_sha256", "started_at", "ended_at",
        ]  # fmt: skip


class JobSerializer(serializers.ModelSerializer[Job]):
    machines: serializers.SlugRelatedField[Machine] = serializers.SlugRelatedField(
        slug_field="name", many=True, read_only=True
    )

    class Meta:
        model = Job
        fields = [
            "id", "kind", "params", "machines", "options", "plan_hash", "state", "failure", "result", "waits_for",
            "waits_on", "created_by", "created_at", "started_at", "deadline", "ended_at", "attempt", "log_length",
            "log_sha256", "log_stored", "log_removed_at", "log_removed_for", "retry_of",
        ]  # fmt: skip


class TransitionSerializer(serializers.ModelSerializer[JobTransition]):
    """A move of the job from one state to another; the first comes from no state."""

    class Meta:
        model = JobTransition
        fields = ["at", "from_state", "to_state", "actor", "attempt", "reason"]


class PauseSerializer(Strict):
    """``before`` is the key of a step; without it the job pauses before the next step of each machine."""

    before = serializers.CharField(required=False, default="")


@extend_schema_serializer(many=False)
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
    """A job by itself: also which jobs ran it again, which it comes ``after``, and whose stage it is."""

    after: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(
        slug_field="needs_id", many=True, read_only=True, source="dependencies"
    )
    pipelines: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(
        slug_field="pipeline_id", many=True, read_only=True, source="pipeline_stages"
    )
    retries: serializers.PrimaryKeyRelatedField[Job] = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    class Meta(JobSerializer.Meta):
        fields = [*JobSerializer.Meta.fields, "retries", "after", "pipelines"]


class RetrySerializer(Strict):
    """``failed`` machines are those on which not every step was done. ``params`` and ``options`` take the place of the
    job's own."""

    machines = serializers.ChoiceField(["failed", "all"])
    params = serializers.DictField(default=dict)
    options = OptionsSerializer(required=False)
    plan_hash = serializers.CharField(required=False, default="")
    propose = serializers.BooleanField(required=False, default=False)


class LaunchSerializer(Strict):
    """``plan_hash`` is the hash that a dry run showed: with it, only that very plan is run. ``propose``: another person
    has to approve it first."""

    kind = serializers.CharField()
    params = serializers.DictField(default=dict)
    machines = serializers.SlugRelatedField(
        slug_field="name", many=True, queryset=Machine.objects.all(), required=False
    )
    targets = TargetsSerializer(required=False, help_text="Instead of machines.")
    options = OptionsSerializer(required=False)
    plan_hash = serializers.CharField(required=False, default="")
    propose = serializers.BooleanField(required=False, default=False)
    after = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, default=list, max_length=50,
        help_text="Jobs that must have ended well before. It is planned then; its params may hold "
        '{"$from": {"job": 12, "path": "artifacts.model.id"}} and {"$fact": "architecture"}.',
    )  # fmt: skip

    def validate_machines(self, machines: list[Machine]) -> list[Machine]:
        return list(dict.fromkeys(machines))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("machines") and "targets" in attrs:
            raise serializers.ValidationError({"targets": ["Give machines or targets, not both."]})
        return attrs


class PlanSerializer(serializers.Serializer[Any]):
    plan = serializers.DictField()
    plan_hash = serializers.CharField()


class KindSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    targets = serializers.ChoiceField(["none", "optional", "one", "many"])
    mutates = serializers.BooleanField()


_PLANNED_OR_LAUNCHED = {200: dryrun.DryRunSerializer, 201: JobSerializer}


class JobViewSet(mixins.RetrieveModelMixin, LogActions):
    queryset = Job.objects.prefetch_related("machines").defer("plan", "traceback")
    serializer_class = OneSerializer
    # Not a query set's filters: ``jobs.history`` finds jobs among a million.
    filter_backends = ()
    # Nor its pages: those of the history are found by ids, steps and moves come all at once.
    pagination_class = None

    # Who holds the machines' NPUs, where it had to be looked at before a transaction began.
    seen: dict[str, Facts] | None = None

    def prepare(self, request: Request) -> None:
        """Look at who holds the NPUs that a job to launch takes: what is slow goes before the transaction."""
        if is_dry_run(request):
            return
        if self.action == "create":
            wanted, given = _wanted(request)
            if given["after"]:
                return
        elif self.action == "retry":
            given = _checked(RetrySerializer, request)
            wanted = retry.request_of(self.get_object(), given["machines"], given["params"], given.get("options"))
        else:
            return
        self.seen = look_ahead(kind_of(wanted["slug"]), wanted["params"], wanted["machines"])

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

    @has_dry_run
    @extend_schema(request=LaunchSerializer, responses={200: dryrun.DryRunSerializer, 201: JobSerializer})
    def create(self, request: Request) -> Response:
        """Launch a job, or with ``?dry_run=1`` show its plan and what preflight says; a dry run changes nothing."""
        wanted, given = _wanted(request)
        if given["after"]:
            return _deferred(request, wanted, given)
        return _planned_or_launched(request, wanted, given, seen=self.seen)

    @has_dry_run
    @extend_schema(request=RetrySerializer, responses={200: dryrun.DryRunSerializer, 201: JobSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Run an ended job again as a new one, planned anew; with ``?dry_run=1`` show that plan."""
        earlier = self.get_object()
        given = _checked(RetrySerializer, request)
        wanted = retry.request_of(earlier, given["machines"], given["params"], given.get("options"))
        return self.once(request, lambda: _planned_or_launched(request, wanted, given, earlier, self.seen))

    @extend_schema(responses=PlanSerializer)
    @action(detail=True)
    def plan(self, request: Request, pk: str) -> Response:
        """The plan as it was stored: what runs."""
        job = self.get_object()
        return Response({"plan": job.plan, "plan_hash": job.plan_hash})

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    @action(detail=True)
    def report(self, request: Request, pk: str) -> Response:
        """The job's report, all of it: ``result.report`` has what the log's last line had."""
        return Response(reports.of(self.get_object()).report)

    @extend_schema(responses=StepSerializer(many=True))
    @action(detail=True)
    def steps(self, request: Request, pk: str) -> Response:
        steps = JobStep.objects.filter(job=self.get_object()).select_related("machine")
        return Response(StepSerializer(steps, many=True).data)

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def cancel(self, request: Request, pk: str) -> Response:
        """Ask the job to stop; asking again, or after its end, changes nothing."""
        job = self.get_object()
        cancel(job, actor=request.user.get_username())
        job.refresh_from_db()
        return Response(JobSerializer(job).data)

    @extend_schema(request=PauseSerializer, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Ask the job to pause; what runs is finished first. Asking again changes nothing."""
        job = self.get_object()
        asked = PauseSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        pause(job, actor=request.user.get_username(), before=asked.validated_data["before"])
        job.refresh_from_db()
        return Response(JobSerializer(job).data)

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def resume(self, request: Request, pk: str) -> Response:
        """Let a paused job go on, with the steps that it stands before."""
        job = self.get_object()
        resume(job, actor=request.user.get_username())
        job.refresh_from_db()
        return Response(JobSerializer(job).data)

    @extend_schema(responses=TransitionSerializer(many=True))
    @action(detail=True)
    def transitions(self, request: Request, pk: str) -> Response:
        """Every move of the job from state to state, with who made it and when, the first one first."""
        return Response(TransitionSerializer(self.get_object().transitions.all(), many=True).data)


def _checked(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _wanted(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is to be planned or launched, and the request as it was checked."""
    given = _checked(LaunchSerializer, request)
    wanted = {
        "slug": given["kind"],
        "params": given["params"],
        "machines": found(given["targets"]) if "targets" in given else given.get("machines", []),
        "options": Options.from_json(given.get("options", {})),
    }
    return wanted, given


def _deferred(request: Request, wanted: dict[str, Any], given: dict[str, Any]) -> Response:
    """A job that comes after others. A dry run shows the plan as it would be now, if everything is known by now."""
    if is_dry_run(request):
        needed(given["after"])
        known = {**wanted, "params": references.resolve(wanted["params"], wanted["machines"])}
        return _planned_or_launched(request, known, given)
    job = defer(
        wanted["slug"],
        wanted["params"],
        wanted["machines"],
        given["after"],
        actor=request.user.get_username(),
        options=wanted["options"],
        propose=given["propose"],
        approved_hash=given["plan_hash"],
    )
    return Response(JobSerializer(job).data, status=status.HTTP_201_CREATED)


def _planned_or_launched(
    request: Request,
    wanted: dict[str, Any],
    given: dict[str, Any],
    retry_of: Job | None = None,
    seen: dict[str, Facts] | None = None,
) -> Response:
    """With ``?dry_run=1`` the plan and what preflight says, else the job."""
    if is_dry_run(request):
        return Response(dryrun.of_request(**wanted))
    job = launch(
        **wanted,
        actor=request.user.get_username(),
        approved_hash=given["plan_hash"],
        propose=given["propose"],
        seen=seen,
        retry_of=retry_of,
        arrange=carry_on(retry_of, actor=request.user.get_username()) if retry_of else None,
    )
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
