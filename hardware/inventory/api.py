"""REST: credentials and machines."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hardware.events import audit
from hardware.inventory.models import Credential, Machine
from hardware.inventory.preflight import Need, evaluate
from hardware.inventory.services import change, confirm, enroll, offered_key, probe, restore, retire
from hardware.ssh import background
from hardware.ssh.hostkeys import HostKey


class CredentialSerializer(serializers.ModelSerializer[Credential]):
    class Meta:
        model = Credential
        fields = ["id", "name", "username", "password", "private_key", "passphrase", "created_at"]
        extra_kwargs = {name: {"write_only": True} for name in ("password", "private_key", "passphrase")}


class MachineSerializer(serializers.ModelSerializer[Machine]):
    credential = serializers.SlugRelatedField(slug_field="name", queryset=Credential.objects.all())
    labels = serializers.ListField(child=serializers.CharField(max_length=63), required=False)

    class Meta:
        model = Machine
        fields = [
            "id", "name", "host", "port", "site", "labels", "credential", "state", "trouble", "host_key_fingerprint",
            "offered_fingerprint", "simulated", "facts", "facts_at", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "state", "trouble", "host_key_fingerprint", "offered_fingerprint", "simulated", "facts", "facts_at",
        ]  # fmt: skip


class FingerprintSerializer(serializers.Serializer[Any]):
    fingerprint = serializers.CharField()


class CheckSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    severity = serializers.ChoiceField(["pass", "warn", "block"])
    reason = serializers.CharField()
    mend = serializers.DictField(allow_null=True)
    values = serializers.DictField()


class PreflightSerializer(serializers.Serializer[Any]):
    checks = CheckSerializer(many=True)
    probed = serializers.BooleanField()


class CredentialViewSet(viewsets.ModelViewSet[Credential]):
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer
    filterset_fields = ["name", "username"]

    def perform_create(self, serializer: serializers.BaseSerializer[Credential]) -> None:
        with transaction.atomic():
            made = serializer.save()
            audit("credential.create", f"credential:{made.name}", actor=self.request.user.get_username())

    def perform_update(self, serializer: serializers.BaseSerializer[Credential]) -> None:
        with transaction.atomic():
            made = serializer.save()
            audit(
                "credential.update",
                f"credential:{made.name}",
                actor=self.request.user.get_username(),
                fields=sorted(serializer.validated_data),
            )

    def perform_destroy(self, instance: Credential) -> None:
        with transaction.atomic():
            audit("credential.delete", f"credential:{instance.name}", actor=self.request.user.get_username())
            instance.delete()


class MachineViewSet(viewsets.ModelViewSet[Machine]):
    queryset = Machine.objects.select_related("credential")
    serializer_class = MachineSerializer
    lookup_field = "name"
    lookup_value_regex = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    filterset_fields = ["name", "site", "state", "simulated"]
    http_method_names = ["get", "post", "patch", "head", "options"]

    offered: HostKey | None = None

    def prepare(self, request: Request) -> None:
        """Ask the machine for its key before a transaction begins: one that does not answer takes ten seconds."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        self.offered = offered_key(given["name"], given["host"], given.get("port", 22))

    def perform_create(self, serializer: serializers.BaseSerializer[Machine]) -> None:
        """Enrolling reads the host key; a machine that does not answer is not stored."""
        actor = self.request.user.get_username()
        serializer.instance = enroll(actor=actor, key=self.offered, **serializer.validated_data)

    def perform_update(self, serializer: serializers.BaseSerializer[Machine]) -> None:
        """Site, labels and credential; an address is what the pinned key belongs to and does not change."""
        machine, fields = serializer.instance, serializer.validated_data
        assert machine is not None
        fixed = [name for name in ("name", "host", "port") if name in fields and fields[name] != getattr(machine, name)]
        if fixed:
            said = "This is what the pinned host key belongs to. Retire the machine and enroll the other one."
            raise serializers.ValidationError({name: [said] for name in fixed})
        change(machine, actor=self.request.user.get_username(), **fields)

    @extend_schema(request=None, responses=MachineSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, name: str) -> Response:
        """Take it out of use; its history stays."""
        return Response(MachineSerializer(retire(self.get_object(), actor=request.user.get_username())).data)

    @extend_schema(request=None, responses=MachineSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, name: str) -> Response:
        """Take a retired machine into use again."""
        return Response(MachineSerializer(restore(self.get_object(), actor=request.user.get_username())).data)

    @extend_schema(request=FingerprintSerializer, responses=MachineSerializer)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, name: str) -> Response:
        """Pin the offered host key: the body repeats its fingerprint, as read off the machine's own screen."""
        asked = FingerprintSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        machine = self.get_object()
        if not confirm(machine, asked.validated_data["fingerprint"], actor=request.user.get_username()):
            raise serializers.ValidationError({"fingerprint": [f"{name} did not offer a key with this fingerprint."]})
        return Response(MachineSerializer(machine).data)

    @extend_schema(request=None, responses=MachineSerializer)
    @action(detail=True, methods=["post"])
    def probe(self, request: Request, name: str) -> Response:
        """Read the machine's facts now."""
        machine = self.get_object()
        background.call(probe, machine)
        machine.refresh_from_db()
        return Response(MachineSerializer(machine).data, status=status.HTTP_200_OK)

    @extend_schema(responses=PreflightSerializer)
    @action(detail=True)
    def preflight(self, request: Request, name: str) -> Response:
        """What the last facts say about the machine as such; a job's own needs are in its plan."""
        facts = self.get_object().read
        checks = evaluate(facts, Need(kernel_headers=True, packages=("dkms", "gcc", "make"))) if facts else []
        return Response({"checks": [_check(check) for check in checks], "probed": facts is not None})


def _check(check: Any) -> dict[str, Any]:
    mend = check.mend and {"kind": check.mend.kind, "params": check.mend.params, "label": check.mend.label}
    return {
        "code": check.code,
        "severity": check.severity,
        "reason": check.reason,
        "mend": mend,
        "values": check.values,
    }
