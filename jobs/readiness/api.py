"""REST: which machines can take a release or a package, and why not."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.inventory.groups.models import Group
from hardware.inventory.preflight import Check
from hardware.inventory.selection import Selection
from hardware.strict import Strict, in_address
from hardware.telemetry.npus import CsvRenderer
from jobs.depot.models import Artifact
from jobs.depot.services import Depot
from jobs.history.export import harmless
from jobs.planning.dryrun import checks
from jobs.readiness.fleet import OUTCOMES, Aim, Fleet, Verdict, assess, members, of_package, of_release
from jobs.rollout.models import Release

COLUMNS = ("machine", "site", "labels", "outcome", "code", "severity", "reason", "mend_kind", "mend_params")


class QuerySerializer(Strict):
    """Whose readiness; ``outcome`` is one or several with commas. ``after`` is the ``next`` of the page before."""

    site = serializers.CharField(required=False, default="")
    label = serializers.CharField(required=False, default="")  # type: ignore[assignment]
    group = serializers.CharField(required=False, default="")
    text = serializers.CharField(required=False, default="")
    outcome = serializers.CharField(required=False, default="")
    after = serializers.CharField(required=False, default="")
    page_size = serializers.IntegerField(required=False, default=100, min_value=1, max_value=1000)

    def validate_outcome(self, value: str) -> list[str]:
        asked = [one.strip() for one in value.split(",") if one.strip()]
        unknown = [one for one in asked if one not in OUTCOMES]
        if unknown:
            raise serializers.ValidationError(f"There is no outcome {unknown[0]}; there are {', '.join(OUTCOMES)}.")
        return asked


class CauseSerializer(serializers.Serializer[Any]):
    """Machines that share a check; one job mends it on all of them."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(["block", "unknown", "warn"])
    reason = serializers.CharField(help_text="Of the first of them, where they differ in values")
    mend = serializers.DictField(allow_null=True)
    machines = serializers.ListField(child=serializers.CharField())


class VerdictSerializer(serializers.Serializer[Any]):
    machine = serializers.CharField()
    site = serializers.CharField()
    labels = serializers.ListField(child=serializers.CharField())
    outcome = serializers.ChoiceField(OUTCOMES)
    checks = serializers.ListField(child=serializers.DictField())


class ReadinessSerializer(serializers.Serializer[Any]):
    """``counts`` and ``causes`` are of all machines that were asked about, whatever their outcome; ``results`` a page.

    ``outcome``: ``pass`` and ``warn`` can take it, ``unknown`` is for a person to decide, ``block`` can't, ``unprobed``
    has no facts, to ``unused`` nothing may log in.
    """

    kind = serializers.CharField()
    params = serializers.DictField()
    counts = serializers.DictField(child=serializers.IntegerField())
    causes = CauseSerializer(many=True)
    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    results = VerdictSerializer(many=True)


class Readiness(APIView):
    """Of what, the subclasses say."""

    renderer_classes = [JSONRenderer, CsvRenderer]
    columns = COLUMNS

    def aim(self, pk: int) -> Aim:
        raise NotImplementedError

    def answer(self, request: Request, pk: int) -> HttpResponseBase:
        asked = QuerySerializer(data=in_address(request))
        asked.is_valid(raise_exception=True)
        given, aim = asked.validated_data, self.aim(pk)
        group = get_object_or_404(Group, name=given["group"]) if given["group"] else None
        labels = tuple(label.strip() for label in given["label"].split(",") if label.strip())
        fleet = assess(aim, members(Selection(given["text"], given["site"], labels), group))
        shown = fleet.of(*given["outcome"]) if given["outcome"] else fleet.verdicts
        if request.accepted_renderer.format == "csv":
            return table(shown, f"readiness-{aim.key}.csv")
        rest = [verdict for verdict in shown if verdict.machine.name > given["after"]]
        page = rest[: given["page_size"]]
        return Response(
            {
                "kind": aim.kind,
                "params": aim.params,
                "counts": fleet.counts,
                "causes": causes(fleet),
                "count": len(shown),
                "next": page[-1].machine.name if len(rest) > len(page) else None,
                "results": [
                    {
                        "machine": verdict.machine.name,
                        "site": verdict.machine.site,
                        "labels": verdict.machine.labels,
                        "outcome": verdict.outcome,
                        "checks": checks(verdict.checks),
                    }
                    for verdict in page
                ],
            }
        )


class ReleaseReadiness(Readiness):
    def aim(self, pk: int) -> Aim:
        return of_release(get_object_or_404(Release, pk=pk))

    @extend_schema(parameters=[QuerySerializer], responses=ReadinessSerializer)
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """Which machines can take the release, and why the others can't: what its rollout's own preflight says.

        With ``format=csv`` all of them at once, a line for each check that does not pass.
        """
        return self.answer(request, pk)


class PackageReadiness(Readiness):
    def aim(self, pk: int) -> Aim:
        found = Artifact.objects.filter(pk=pk).first()
        if found is None:
            raise Http404
        return of_package(found, Depot())

    @extend_schema(parameters=[QuerySerializer], responses=ReadinessSerializer)
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        """Which machines can take a driver, a CANN or a MindSpore of the depot. A driver goes with its firmware."""
        return self.answer(request, pk)


def causes(fleet: Fleet) -> list[dict[str, Any]]:
    return [{**checks([cause.check])[0], "machines": cause.machines} for cause in fleet.causes]


def table(verdicts: list[Verdict], name: str) -> HttpResponse:
    """A line for each check that does not pass; one for a machine where all do."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(COLUMNS)
    for verdict in verdicts:
        machine = verdict.machine
        head = [machine.name, machine.site, " ".join(machine.labels), verdict.outcome]
        for told in [_cells(check) for check in verdict.checks] or [[""] * 5]:
            rows.writerow([harmless(cell) for cell in [*head, *told]])
    # With the mark that tells a spreadsheet it is UTF-8.
    made = HttpResponse(b"\xef\xbb\xbf" + out.getvalue().encode(), content_type="text/csv; charset=utf-8")
    made["Content-Disposition"] = f'attachment; filename="{name}"'
    return made


def _cells(check: Check) -> list[str]:
    kind, params = (check.mend.kind, json.dumps(check.mend.params)) if check.mend else ("", "")
    return [check.code, check.severity, check.reason, kind, params]
