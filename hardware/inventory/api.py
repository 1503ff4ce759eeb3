"""REST: credentials and machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.validators import UniqueValidator

from hardware.bmc.api import MachineBoardSerializer, board_certificate, give, has_login
from hardware.bmc.redfish import BmcFailure
from hardware.bmc.services import detach
from hardware.events import audit
from hardware.inventory.credentials.services import successor
from hardware.inventory.fields import AddressField
from hardware.inventory.jumps import JumpRefused, check_jump
from hardware.inventory.keys import SECRETS, login_problems
from hardware.inventory.lists.entries import RESERVED
from hardware.inventory.models import Credential, Machine
from hardware.inventory.services import (
    AddressSettled,
    change,
    confirm,
    enroll,
    moved_key,
    offered_key,
    probe,
    restore,
    retire,
)
from hardware.inventory.standing import Standing, with_stock
from hardware.ssh import background
from hardware.ssh.hostkeys import HostKey
from hardware.strict import Strict, takes_no_body


class CredentialSerializer(Strict, serializers.ModelSerializer[Credential]):
    public_key = serializers.CharField(read_only=True)
    fingerprint = serializers.CharField(read_only=True)

    class Meta:
        model = Credential
        fields = ["id", "name", "username", "sudo", "public_key", "fingerprint", *SECRETS, "created_at"]
        # What a person typed is kept as it is: a password may begin with a space.
        extra_kwargs = {name: {"write_only": True, "trim_whitespace": False} for name in SECRETS}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kept = {name: getattr(self.instance, name) for name in ("sudo", *SECRETS)} if self.instance else {}
        problems = login_problems({**kept, **attrs})
        if problems:
            raise serializers.ValidationError({field: [said] for field, said in problems.items()})
        return attrs


class NewKeySerializer(Strict):
    """``name`` of the new credential; without it, the old one's with the day."""

    name = serializers.CharField(
        max_length=80, default="", allow_blank=True, validators=[UniqueValidator(Credential.objects.all())]
    )


class MachineSerializer(Strict, serializers.ModelSerializer[Machine]):
    credential = serializers.SlugRelatedField(slug_field="name", queryset=Credential.objects.all())
    host = AddressField(max_length=255)
    port = serializers.IntegerField(min_value=1, max_value=65535, default=22)
    labels = serializers.ListField(
        child=serializers.RegexField(r"^[^\s,;，；、]+$", max_length=63), required=False,
        help_text="Without spaces, commas and semicolons, which stand between them in lists.",
    )  # fmt: skip
    jump = serializers.SlugRelatedField(
        slug_field="name",
        queryset=Machine.objects.select_related("jump"),
        required=False,
        allow_null=True,
        help_text="The machine that the SSH link goes through (ProxyJump).",
    )
    bmc = MachineBoardSerializer(required=False, allow_null=True, help_text="Its management board; null takes it away.")

    class Meta:
        model = Machine
        fields = [
            "id", "name", "host", "port", "site", "labels", "credential", "jump", "bmc", "state", "trouble",
            "host_key_fingerprint", "offered_fingerprint", "simulated", "facts", "facts_at", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "state", "trouble", "host_key_fingerprint", "offered_fingerprint", "simulated", "facts", "facts_at",
        ]  # fmt: skip

    def validate_name(self, name: str) -> str:
        if name in RESERVED and self.instance is None:
            raise serializers.ValidationError(f"No machine can be called {name}: that is the address of a page.")
        return name

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            check_jump(self.instance.name if self.instance else attrs["name"], attrs.get("jump"))
        except JumpRefused as wrong:
            raise serializers.ValidationError({"jump": [str(wrong)]}) from wrong
        if attrs.get("bmc") and not has_login(attrs["bmc"], self.instance):
            said = "Name a credential of the BMC, or give username and password."
            raise serializers.ValidationError({"bmc": {"credential": [said]}})
        return attrs


class FingerprintSerializer(Strict):
    fingerprint = serializers.CharField()


class CheckSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    severity = serializers.ChoiceField(["block", "unknown", "warn", "pass"])
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

    def once(self, request: Request, make: Callable[[], Response]) -> Response:
        """Where a request may be repeated, the class that is served makes its answer only once."""
        return make()

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

    @extend_schema(request=NewKeySerializer, responses={201: CredentialSerializer})
    @action(detail=True, methods=["post"], url_path="new-key")
    def new_key(self, request: Request, pk: str) -> Response:
        """A successor: the same login with a new ed25519 key, which a job of kind rotate-key brings to the machines.

        The private key is made in the console and never leaves it; the answer has the public one.
        """
        old = self.get_object()
        asked = NewKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)

        def make() -> Response:
            made = successor(old, asked.validated_data["name"], actor=request.user.get_username())
            return Response(CredentialSerializer(made).data, status=status.HTTP_201_CREATED)

        return self.once(request, make)

    def perform_destroy(self, instance: Credential) -> None:
        with transaction.atomic():
            audit("credential.delete", f"credential:{instance.name}", actor=self.request.user.get_username())
            instance.delete()


class MachineViewSet(viewsets.ModelViewSet[Machine]):
    queryset = Machine.objects.select_related("credential", "jump", "bmc__credential")
    serializer_class = MachineSerializer
    lookup_field = "name"
    lookup_value_regex = r"[A-Za-z0-9][A-Za-z0-9._-]*"
    filterset_fields = ["name", "site", "state", "simulated", "jump__name"]
    http_method_names = ["get", "post", "patch", "head", "options"]

    offered: HostKey | None = None
    board: str | BmcFailure | None = None

    def prepare(self, request: Request) -> None:
        """Ask the machine for its key, and its board for its certificate, before a transaction begins: one that does
        not answer takes ten seconds.
        """
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        self.offered = offered_key(given["name"], given["host"], given.get("port", 22), given.get("jump"))
        if given.get("bmc"):
            self.board = board_certificate(given["name"], given["bmc"])

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Site, labels, credential, jump host and board, and until a host key was confirmed host and port: the key is
        read there anew. With ``If-Match``.
        """
        machine = self.get_object()
        moved = self.get_serializer(machine, data=request.data, partial=True)
        # What is wrong, or can't be changed, the update says.
        if moved.is_valid() and not machine.address_settled:
            self.offered = moved_key(machine, moved.validated_data)
        if isinstance(request.data, dict) and request.data.get("bmc"):
            asked = MachineBoardSerializer(data=request.data["bmc"])
            # What is wrong with it, the update says.
            if asked.is_valid():
                self.board = board_certificate(kwargs["name"], asked.validated_data)
        return super().partial_update(request, *args, **kwargs)

    def perform_create(self, serializer: serializers.BaseSerializer[Machine]) -> None:
        """Enrolling reads the host key; a machine that does not answer is not stored."""
        actor, given = self.request.user.get_username(), dict(serializer.validated_data)
        board = given.pop("bmc", None)
        if self.offered is None:
            self.prepare(self.request)
        with transaction.atomic():
            serializer.instance = enroll(actor=actor, key=self.offered, **given)
            if board:
                give(serializer.instance, board, self.board, actor=actor)

    def perform_update(self, serializer: serializers.BaseSerializer[Machine]) -> None:
        """A name stays, and from when a host key was confirmed for it an address, too."""
        machine, fields = serializer.instance, dict(serializer.validated_data)
        assert machine is not None
        if fields.get("name", machine.name) != machine.name:
            said = "A name stays: retire the machine, and enroll it again under the other name."
            raise serializers.ValidationError({"name": [said]})
        actor, nothing = self.request.user.get_username(), object()
        board = fields.pop("bmc", nothing)
        if fields or board is nothing:
            try:
                change(machine, actor=actor, key=self.offered, **fields)
            except AddressSettled as wrong:
                named = "host" if fields.get("host", machine.host) != machine.host else "port"
                raise serializers.ValidationError({named: [str(wrong)]}) from wrong
        if board is None:
            detach(machine, actor=actor)
            machine.refresh_from_db()
        elif board is not nothing:
            give(machine, board, self.board, actor=actor)

    @extend_schema(request=None, responses=MachineSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def retire(self, request: Request, name: str) -> Response:
        """Take it out of use; its history stays. A jump host only once nothing in use lies behind it."""
        try:
            machine = retire(self.get_object(), actor=request.user.get_username())
        except JumpRefused as wrong:
            raise serializers.ValidationError({"name": [str(wrong)]}) from wrong
        return Response(MachineSerializer(machine).data)

    @extend_schema(request=None, responses=MachineSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
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
    @takes_no_body
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
        standing = Standing(self.get_object(), with_stock())
        checks = [_check(check) for check in standing.checks]
        return Response({"checks": checks, "probed": standing.facts is not None})


def _check(check: Any) -> dict[str, Any]:
    mend = check.mend and {"kind": check.mend.kind, "params": check.mend.params, "label": check.mend.label}
    return {
        "code": check.code,
        "severity": check.severity,
        "reason": check.reason,
        "mend": mend,
        "values": check.values,
    }
