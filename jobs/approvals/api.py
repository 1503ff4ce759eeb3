"""REST: what waits for approval and what was decided, deciding, and the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.inventory.models import Machine
from hardware.strict import Strict
from jobs import readiness, registry
from jobs.api import JobSerializer
from jobs.approvals import rules, services
from jobs.approvals.models import Approval, ApprovalRule
from jobs.depot.services import Depot
from jobs.failures import PlanRefused
from jobs.kind import Target
from jobs.options import Options
from jobs.planning import dryrun, forecast


class DifferenceSerializer(serializers.Serializer[Any]):
    """``machine`` and ``step`` are empty for what is none's. Null: it was not there before, or is not now."""

    machine = serializers.CharField()
    step = serializers.CharField()
    field = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    """``plan_hash`` is what waits, or what was signed by ``decided_by`` at ``decided_at``."""

    kind = serializers.CharField(source="job.kind", read_only=True)
    job_state = serializers.CharField(source="job.state", read_only=True)
    plan_hash = serializers.CharField(source="job.plan_hash", read_only=True)
    machines: serializers.SlugRelatedField[Machine] = serializers.SlugRelatedField(
        slug_field="name", many=True, read_only=True, source="job.machines"
    )
    differs = DifferenceSerializer(many=True, read_only=True)

    class Meta:
        model = Approval
        fields = [
            "job", "kind", "job_state", "state", "plan_hash", "machines", "asked_by", "asked_at", "rules",
            "decided_by", "decided_at", "comment", "lapsed_at", "differs",
        ]  # fmt: skip


class WaitingSerializer(ApprovalSerializer):
    """One by itself: also what would run, what preflight says now, and how long it may take."""

    plan = serializers.DictField()
    preflight = serializers.DictField()
    steps = dryrun.PlannedMachineSerializer(many=True)
    estimate = dryrun.EstimateSerializer()

    class Meta(ApprovalSerializer.Meta):
        fields = [*ApprovalSerializer.Meta.fields, "plan", "preflight", "steps", "estimate"]


class ApproveSerializer(Strict):
    """``plan_hash`` is the hash of the plan that the person looked at: that very plan is approved, or none."""

    plan_hash = serializers.CharField(max_length=64)
    comment = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)


class RejectSerializer(Strict):
    comment = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)


class AskAgainSerializer(Strict):
    """``params`` take the place of the job's own; its secrets are to be given again."""

    params = serializers.DictField(required=False, default=dict)


REFUSALS = {
    403: OpenApiResponse(description="Who asked may not decide (`approval-own`)."),
    409: OpenApiResponse(description="It is decided already (`approval-decided`), or lapsed now (`plan-changed`)."),
    422: OpenApiResponse(description="Another plan was looked at (`plan-mismatch`), or preflight blocks a machine."),
}


class ApprovalViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Approval]):
    """Proposals, newest first; an approval has the id of its job."""

    queryset = Approval.objects.select_related("job").defer("job__traceback")
    serializer_class = ApprovalSerializer
    filterset_fields = ["state", "asked_by", "decided_by"]
    # No more digits than an id has: a relation is looked up as it is, and the database has no such number.
    lookup_value_regex = r"[0-9]{1,18}"

    def once(self, request: Request, make: Callable[[], Response]) -> Response:
        """Where a request may be repeated, the class that is served makes its answer only once."""
        return make()

    def get_queryset(self) -> QuerySet[Approval]:
        found = super().get_queryset()
        if self.action == "list":
            # Neither plans nor facts: a page of them would be megabytes.
            names = Prefetch("job__machines", Machine.objects.only("name"))
            found = found.defer("job__plan", "job__traceback").prefetch_related(names)
        return found

    def paginate_queryset(self, queryset: Any) -> Any:
        # An approval has no id but its job's.
        self.paginator.ordering = "-job_id"  # type: ignore[union-attr]
        return super().paginate_queryset(queryset)

    @extend_schema(responses=WaitingSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        found = self.get_object()
        job = found.job
        foreseen = forecast.of_plan(job.kind, job.plan, Options.from_json(job.options).parallel)
        return Response(
            {
                **ApprovalSerializer(found).data,
                "plan": job.plan,
                "preflight": preflight(found),
                "steps": dryrun.lanes(job.plan, foreseen),
                "estimate": foreseen.to_json(),
            }
        )

    @extend_schema(request=ApproveSerializer, responses={200: ApprovalSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Sign the plan. It is made anew first: where it would differ, the approval lapses and nothing is run."""
        given = self._given(ApproveSerializer, request)
        done = services.approve(
            self.get_object(), actor=self._person(), comment=given["comment"], seen_hash=given["plan_hash"]
        )
        return self._answer(done)

    @extend_schema(request=RejectSerializer, responses={200: ApprovalSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Say no: the job ends unrun."""
        comment = self._given(RejectSerializer, request)["comment"]
        return self._answer(services.reject(self.get_object(), actor=self._person(), comment=comment))

    @extend_schema(request=AskAgainSerializer, responses={201: JobSerializer})
    @action(detail=True, methods=["post"], url_path="ask-again")
    def ask_again(self, request: Request, pk: str) -> Response:
        """The same request as a new proposal, planned from what is true now."""
        found, given = self.get_object(), self._given(AskAgainSerializer, request)

        def make() -> Response:
            job = services.ask_again(found, actor=self._person(), params=given["params"])
            return Response(JobSerializer(job).data, status=status.HTTP_201_CREATED)

        return self.once(request, make)

    def _given(self, form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
        asked = form(data=request.data)
        asked.is_valid(raise_exception=True)
        given: dict[str, Any] = asked.validated_data
        return given

    def _person(self) -> str:
        return str(self.request.user.get_username())

    def _answer(self, approval: Approval) -> Response:
        approval.job.refresh_from_db(fields=["state"])
        return Response(ApprovalSerializer(approval).data)


def preflight(approval: Approval) -> dict[str, Any]:
    """By machine, what its facts say now; empty when the job can't even be planned any more."""
    kind = registry.all_kinds().get(approval.job.kind)
    if kind is None:
        return {}
    machines = list(approval.job.machines.all())
    targets = [Target(machine.name, machine.read) for machine in machines if machine.facts]
    found: dict[str, Any] = {machine.name: [] for machine in machines}
    try:
        for target, checks in readiness.judge(kind, approval.job.params, targets, Depot()):
            found[target.name] = dryrun.checks(checks)
    except PlanRefused:
        return {}
    return found


class ApprovalRuleSerializer(Strict, serializers.ModelSerializer[ApprovalRule]):
    """Set ``kind``, ``label``, ``site`` or several of them; what is empty is any."""

    class Meta:
        model = ApprovalRule
        fields = ["id", "kind", "label", "site", "note", "created_by", "created_at"]
        read_only_fields = ["created_by", "created_at"]

    def validate_kind(self, value: str) -> str:
        if value and value not in registry.all_kinds():
            raise serializers.ValidationError(_("There is no kind of job called %(kind)s.") % {"kind": value})
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        there = {name: getattr(self.instance, name, "") for name in ("kind", "label", "site")}
        now = {name: attrs.get(name, value) for name, value in there.items()}
        if not any(now.values()):
            raise serializers.ValidationError({"kind": [_("Give a kind, a label or a site.")]})
        same = ApprovalRule.objects.filter(**now)
        if self.instance is not None:
            same = same.exclude(pk=self.instance.pk)
        if same.exists():
            raise serializers.ValidationError({"kind": [_("There is such a rule already.")]})
        return attrs


class ApprovalRuleViewSet(viewsets.ModelViewSet[ApprovalRule]):
    """Which jobs need a second person."""

    queryset = ApprovalRule.objects.all()
    serializer_class = ApprovalRuleSerializer
    filterset_fields = ["kind", "label", "site"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: serializers.BaseSerializer[ApprovalRule]) -> None:
        serializer.instance = rules.make(actor=self._person(), **serializer.validated_data)

    def perform_update(self, serializer: serializers.BaseSerializer[ApprovalRule]) -> None:
        assert serializer.instance is not None
        serializer.instance = rules.change(serializer.instance, actor=self._person(), **serializer.validated_data)

    def perform_destroy(self, instance: ApprovalRule) -> None:
        rules.remove(instance, actor=self._person())

    def _person(self) -> str:
        return str(self.request.user.get_username())
