"""REST: the remedy of an alert."""

from __future__ import annotations

from collections.abc import Callable

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.inventory.facts import Facts
from hardware.strict import Strict
from hardware.telemetry.alerts.models import Alert
from jobs import registry
from jobs.api import JobSerializer
from jobs.planning.collision import look_ahead
from jobs.planning.dryrun import DryRunSerializer
from jobs.remedies.models import Remedy
from jobs.remedies.services import plan_of, proposal, run


class LinkedSerializer(serializers.ModelSerializer[Remedy]):
    """A job that was launched for the alert."""

    kind = serializers.CharField(source="job.kind")
    state = serializers.CharField(source="job.state")
    failure = serializers.DictField(source="job.failure")
    result = serializers.DictField(source="job.result")
    ended_at = serializers.DateTimeField(source="job.ended_at")

    class Meta:
        model = Remedy
        fields = ["job", "kind", "state", "actor", "at", "ended_at", "failure", "result"]


class PlannedSerializer(DryRunSerializer):
    """The job that would mend it, as a dry run shows it; ``jobs`` were launched for it, newest first."""

    kind = serializers.CharField()
    params = serializers.DictField()
    jobs = LinkedSerializer(many=True)


class LaunchRemedySerializer(Strict):
    """``plan_hash``: only that very plan is run. ``propose``: another person has to approve it first."""

    plan_hash = serializers.CharField(required=False, default="")
    propose = serializers.BooleanField(required=False, default=False)


class AlertRemedy(APIView):
    seen: dict[str, Facts] | None = None

    def once(self, request: Request, make: Callable[[], Response]) -> Response:
        """Where a request may be repeated, the class that is served makes its answer only once."""
        return make()

    def prepare(self, request: Request) -> None:
        """Who holds NPUs that the remedy takes is asked before the transaction."""
        wanted = proposal(self._alert(self.kwargs["pk"]))
        if wanted is not None:
            self.seen = look_ahead(registry.get(wanted.kind), wanted.params, wanted.machines)

    @extend_schema(responses=PlannedSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """The plan of the remedy as it would be now; nothing is changed."""
        alert = self._alert(pk)
        wanted = proposal(alert)
        shown = plan_of(alert)
        jobs = LinkedSerializer(Remedy.objects.filter(alert=alert).select_related("job"), many=True).data
        kind, params = (wanted.kind, wanted.params) if wanted is not None else ("", {})
        return Response({**shown, "kind": kind, "params": params, "jobs": jobs})

    @extend_schema(request=LaunchRemedySerializer, responses={201: JobSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Launch the remedy as a job that is linked to the alert."""
        asked = LaunchRemedySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        alert = self._alert(pk)

        def make() -> Response:
            job = run(
                alert,
                actor=request.user.get_username(),
                approved_hash=given["plan_hash"],
                propose=given["propose"],
                seen=self.seen,
            )
            return Response(JobSerializer(job).data, status=status.HTTP_201_CREATED)

        return self.once(request, make)

    def _alert(self, pk: int) -> Alert:
        return get_object_or_404(Alert.objects.select_related("rule", "machine"), pk=pk)
