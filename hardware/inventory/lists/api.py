"""REST: importing and exporting lists of machines, scanning a range of addresses."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.dryrun import has_dry_run, is_dry_run
from hardware.inventory.lists.entries import Entry, ListRefused
from hardware.inventory.lists.services import FORMATS, enroll_all, guess, listed, read_list, scan, without_login
from hardware.inventory.models import Credential, Machine
from hardware.strict import Strict, in_address

TYPES = {"csv": "text/csv", "ini": "text/plain", "yaml": "application/yaml"}


class ListSerializer(Strict):
    """``text`` is the list; ``format`` is guessed when it is left out. ``credential`` is for those that name none."""

    text = serializers.CharField(max_length=4_000_000, trim_whitespace=False)
    format = serializers.ChoiceField(list(FORMATS), required=False)
    credential = serializers.SlugRelatedField(slug_field="name", queryset=Credential.objects.all(), required=False)


class EntrySerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    host = serializers.CharField()
    port = serializers.IntegerField()
    site = serializers.CharField()
    labels = serializers.ListField(child=serializers.CharField())
    credential = serializers.CharField()
    fingerprint = serializers.CharField()
    jump = serializers.CharField()
    bmc = serializers.CharField()
    bmc_credential = serializers.CharField()
    bmc_fingerprint = serializers.CharField()


class OutcomeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    done = serializers.ChoiceField(["confirmed", "added", "there", "failed"])
    cause = serializers.CharField()
    mend = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    text = serializers.CharField()


class ImportedSerializer(serializers.Serializer[Any]):
    """``results`` is empty for a dry run. Lines with a problem are left out; the others are imported."""

    machines = EntrySerializer(many=True)
    problems = ProblemSerializer(many=True)
    notes = ProblemSerializer(many=True)
    results = OutcomeSerializer(many=True)


class ScanSerializer(Strict):
    """``range`` is 10.0.0.0/24 or 10.0.0.10-10.0.0.50, 1,024 addresses at most."""

    range = serializers.CharField(max_length=100)
    port = serializers.IntegerField(min_value=1, max_value=65535, default=22)


class AnsweringSerializer(serializers.Serializer[Any]):
    host = serializers.CharField()
    port = serializers.IntegerField()
    fingerprint = serializers.CharField()
    machine = serializers.CharField()


class MachineImport(APIView):
    @has_dry_run
    @extend_schema(request=ListSerializer, responses=ImportedSerializer)
    def post(self, request: Request) -> Response:
        """Enroll the machines of a list (CSV, Ansible's INI or YAML); with ``?dry_run=1`` only say what it says.

        Sent again it enrolls only what is not there yet.
        """
        asked = ListSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        try:
            listing = read_list(given["text"], given.get("format") or guess(given["text"]))
        except ListRefused as wrong:
            raise serializers.ValidationError({"text": [str(wrong)]}) from wrong
        results = []
        if not is_dry_run(request):
            _require_login(listing.entries, given.get("credential"))
            results = enroll_all(listing.entries, given.get("credential"), actor=request.user.get_username())
        body = {"machines": listing.entries, "problems": listing.problems, "notes": listing.notes, "results": results}
        return Response(ImportedSerializer(body).data)


def _require_login(entries: list[Entry], credential: Credential | None) -> None:
    lost = without_login(entries, credential)
    if lost:
        named = f" called {lost[0].credential}" if lost[0].credential else ""
        said = f"{lost[0].name} has no credential{named}. Store it first, or give credential for those that name none."
        raise serializers.ValidationError({"credential": [said]})


class ChosenSerializer(Strict):
    site = serializers.CharField(default="", allow_blank=True)
    label = serializers.CharField(default="", allow_blank=True)  # type: ignore[assignment]


class MachineExport(APIView):
    @extend_schema(
        responses={(200, "text/plain"): str},
        parameters=[ChosenSerializer],
    )
    def get(self, request: Request, form: str) -> HttpResponse:
        """The machines that are in use as a list that can be imported again, with their pinned fingerprints."""
        machines = (
            Machine.objects.exclude(state=Machine.State.RETIRED)
            .select_related("credential", "jump", "bmc__credential")
            .defer("facts", "jump__facts")
        )
        asked = ChosenSerializer(data=in_address(request))
        asked.is_valid(raise_exception=True)
        site, label = asked.validated_data["site"], asked.validated_data["label"]
        if site:
            machines = machines.filter(site=site)
        chosen = [one for one in machines if not label or label in one.labels]
        answer = HttpResponse(FORMATS[form][1](listed(chosen)), content_type=f"{TYPES[form]}; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="machines.{form}"'
        return answer


class NetworkScan(APIView):
    @extend_schema(request=ScanSerializer, responses=AnsweringSerializer(many=True))
    def post(self, request: Request) -> Response:
        """Ask every address of a range for its SSH host key; nothing logs in. Returns those that answer."""
        asked = ScanSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        try:
            found = scan(given["range"], given["port"], actor=request.user.get_username())
        except ListRefused as wrong:
            raise serializers.ValidationError({"range": [str(wrong)]}) from wrong
        return Response(AnsweringSerializer(found, many=True).data)
