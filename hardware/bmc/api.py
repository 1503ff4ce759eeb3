"""REST: the board of a machine."""

from __future__ import annotations

import asyncio
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.bmc.models import Bmc
from hardware.bmc.redfish import BmcFailure
from hardware.bmc.services import PORT, attach, confirm, detach, login_for, look, read_all
from hardware.inventory.fields import AddressField
from hardware.inventory.models import Credential, Machine
from hardware.strict import Strict, takes_no_body


class BoardFailed(APIException):
    """The board, not the console, said no or nothing."""

    status_code = status.HTTP_502_BAD_GATEWAY

    def __init__(self, wrong: BmcFailure) -> None:
        super().__init__(f"{wrong} {wrong.mend}", wrong.code)


class BmcSerializer(Strict, serializers.ModelSerializer[Bmc]):
    credential = serializers.SlugRelatedField(slug_field="name", queryset=Credential.objects.all())
    host = AddressField(max_length=255)
    port = serializers.IntegerField(min_value=1, max_value=65535, default=PORT)

    class Meta:
        model = Bmc
        fields = ["host", "port", "credential", "fingerprint", "offered_fingerprint", "trouble", "seen", "seen_at"]
        read_only_fields = ["fingerprint", "offered_fingerprint", "trouble", "seen", "seen_at"]


class MachineBoardSerializer(BmcSerializer):
    """The board as a field of its machine. Its login is a ``credential`` by name, or ``username`` and ``password``,
    which are kept as one; the password is never given back. Without a login a board keeps the one that it has.
    """

    credential = serializers.SlugRelatedField(slug_field="name", queryset=Credential.objects.all(), required=False)
    username = serializers.CharField(write_only=True, required=False, max_length=64)
    password = serializers.CharField(write_only=True, required=False, max_length=1000, trim_whitespace=False)

    class Meta(BmcSerializer.Meta):
        fields = [
            "host", "port", "credential", "username", "password", "fingerprint", "offered_fingerprint", "trouble",
        ]  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # In a change of a machine nothing of it is required, but a board without an address is none.
        if "host" not in attrs:
            raise serializers.ValidationError({"host": ["Give the address of the BMC."]})
        own = {name for name in ("username", "password") if attrs.get(name)}
        if own and "credential" in attrs:
            raise serializers.ValidationError(
                {"credential": ["Give a credential, or username and password; not both."]}
            )
        if len(own) == 1:
            missing = "password" if "username" in own else "username"
            raise serializers.ValidationError({missing: ["Username and password of the BMC go together."]})
        if "credential" in attrs and not attrs["credential"].password:
            raise serializers.ValidationError({"credential": ["It has no password, which is what a BMC asks for."]})
        return attrs


def has_login(given: dict[str, Any], machine: Machine | None) -> bool:
    """Whether a login came with what was given of a board, or the machine's board has one already."""
    return "credential" in given or "password" in given or (machine is not None and hasattr(machine, "bmc"))


def board_certificate(name: str, given: dict[str, Any]) -> str | BmcFailure:
    """The fingerprint that the board at the given place offers, or why there is none. Takes up to ten seconds."""
    return asyncio.run(read_all({name: (given["host"], given.get("port", PORT))}))[name]


def give(machine: Machine, given: dict[str, Any], read: str | BmcFailure | None, *, actor: str) -> Bmc:
    """Store what was given as the machine's board."""
    if "password" in given:
        login = login_for(machine, given["username"], given["password"], actor=actor)
    else:
        login = given.get("credential") or machine.bmc.credential
    return attach(machine, given["host"], given.get("port", PORT), login, actor=actor, read=read)


class BmcFingerprintSerializer(Strict):
    fingerprint = serializers.CharField(max_length=200)


class MachineBmc(APIView):
    @extend_schema(responses=BmcSerializer)
    def get(self, request: Request, name: str) -> Response:
        """The machine's board, with what it said when it was read last; 404 without one."""
        return Response(BmcSerializer(_board(name)).data)

    @extend_schema(request=BmcSerializer, responses=BmcSerializer)
    def put(self, request: Request, name: str) -> Response:
        """Give the machine a board, or another one. Its certificate's fingerprint is read; nothing is sent there."""
        machine = get_object_or_404(Machine, name=name)
        asked = BmcSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        bmc = attach(machine, given["host"], given["port"], given["credential"], actor=request.user.get_username())
        return Response(BmcSerializer(bmc).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Forget the machine's board; what is set there stays set."""
        detach(get_object_or_404(Machine, name=name), actor=request.user.get_username())
        return Response(status=status.HTTP_204_NO_CONTENT)


class MachineBmcConfirm(APIView):
    @extend_schema(request=BmcFingerprintSerializer, responses=BmcSerializer)
    def post(self, request: Request, name: str) -> Response:
        """Pin the offered certificate: the body repeats its SHA-256 fingerprint, as the board itself shows it."""
        asked = BmcFingerprintSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        bmc = _board(name)
        if not confirm(bmc, asked.validated_data["fingerprint"], actor=request.user.get_username()):
            said = f"The BMC of {name} did not offer a certificate with this fingerprint."
            raise serializers.ValidationError({"fingerprint": [said]})
        return Response(BmcSerializer(bmc).data)


class MachineBmcRead(APIView):
    @extend_schema(request=None, responses=BmcSerializer)
    @takes_no_body
    def post(self, request: Request, name: str) -> Response:
        """Read temperatures, fans and limits now."""
        bmc = _board(name)
        try:
            look(bmc, actor=request.user.get_username())
        except BmcFailure as wrong:
            raise BoardFailed(wrong) from wrong
        return Response(BmcSerializer(bmc).data)


def _board(name: str) -> Bmc:
    return get_object_or_404(Bmc.objects.select_related("machine", "credential"), machine__name=name)
