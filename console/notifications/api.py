"""REST: destinations of notifications, and what was or was not delivered."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError as Invalid
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from console.notifications import services
from console.notifications.models import EVENTS, Delivery, Destination
from hardware.strict import Strict, takes_no_body


class NotDead(APIException):
    status_code = 409
    default_code = "delivery-not-dead"
    default_detail = "It is not among the dead letters any more. Read the list again."


class NoWebhook(APIException):
    status_code = 409
    default_code = "destination-no-webhook"
    default_detail = "Only webhooks have a secret."


class DestinationSerializer(Strict, serializers.ModelSerializer[Destination]):
    """The secret of a webhook is never among its fields: ``rotate/`` makes one and tells it, once."""

    events = serializers.MultipleChoiceField(choices=EVENTS, allow_empty=False, default=set(EVENTS))
    language = serializers.ChoiceField(choices=settings.LANGUAGES, allow_blank=True, default="")

    class Meta:
        model = Destination
        fields = [
            "id", "name", "kind", "address", "events", "critical_only", "site", "label", "language", "enabled",
            "created_by", "created_at",
        ]  # fmt: skip
        read_only_fields = ["created_by", "created_at"]

    def validate_events(self, given: set[str]) -> list[str]:
        return [event for event in EVENTS if event in given]

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        there = self.instance
        kind = given.get("kind", getattr(there, "kind", ""))
        if there is not None and kind != there.kind:
            raise serializers.ValidationError({"kind": _("The kind stays; make another destination.")})
        if "address" in given:
            check = _check_url if kind == Destination.Kind.WEBHOOK else _check_mail
            try:
                given["address"] = check(given["address"])
            except Invalid as wrong:
                raise serializers.ValidationError({"address": wrong.messages}) from wrong
        return given


def _check_url(text: str) -> str:
    text = text.strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise Invalid(_("Give a URL that begins with https:// or http://."))
    return text


def _check_mail(text: str) -> str:
    if not settings.EMAIL_HOST:
        raise Invalid(_("No mail relay is set; give CONSOLE_SMTP_HOST to the console first."))
    to = [one.strip() for one in text.split(",") if one.strip()]
    if not to:
        raise Invalid(_("Give a mail address, or several with commas between them."))
    for one in to:
        try:
            validate_email(one)
        except Invalid:
            raise Invalid(_("%(address)s is no mail address.") % {"address": one}) from None
    return ", ".join(to)


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    destination = serializers.SlugRelatedField(slug_field="name", read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = Delivery
        fields = [
            "id", "uid", "destination", "event", "about", "body", "state", "attempts", "next_at", "error",
            "created_at", "ended_at",
        ]  # fmt: skip


class SecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField()


class DestinationViewSet(viewsets.ModelViewSet[Destination]):
    """Where news of alerts go."""

    queryset = Destination.objects.all()
    serializer_class = DestinationSerializer
    filterset_fields = ["name", "kind", "enabled"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: serializers.BaseSerializer[Destination]) -> None:
        serializer.instance = services.create(actor=_person(self.request), **serializer.validated_data)

    def perform_update(self, serializer: serializers.BaseSerializer[Destination]) -> None:
        assert serializer.instance is not None
        services.change(serializer.instance, actor=_person(self.request), **serializer.validated_data)

    def perform_destroy(self, instance: Destination) -> None:
        services.remove(instance, actor=_person(self.request))

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"])
    @takes_no_body
    def test(self, request: Request, pk: str) -> Response:
        """Send a test; whether it arrived is in the delivery."""
        made = services.try_out(self.get_object(), actor=_person(request))
        return Response(DeliverySerializer(made).data, status=202)

    @extend_schema(request=None, responses=SecretSerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def rotate(self, request: Request, pk: str) -> Response:
        """A new secret, told in this answer; the one before it signs beside it until the next rotation."""
        found = self.get_object()
        if found.kind != Destination.Kind.WEBHOOK:
            raise NoWebhook
        return Response({"secret": services.rotate(found, actor=_person(request))})


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Delivery]):
    """What was sent, is on its way, or could not be delivered (``state=dead``), newest first."""

    queryset = Delivery.objects.select_related("destination")
    serializer_class = DeliverySerializer
    filterset_fields = ["state", "destination__name", "event", "about"]

    @extend_schema(request=None, responses=DeliverySerializer)
    @action(detail=True, methods=["post"])
    @takes_no_body
    def again(self, request: Request, pk: str) -> Response:
        """Give a dead letter all its attempts once more."""
        return self._decided(services.send_again(self.get_object(), actor=_person(request)))

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    @takes_no_body
    def drop(self, request: Request, pk: str) -> Response:
        """Remove a dead letter for good."""
        if not services.drop(self.get_object(), actor=_person(request)):
            raise NotDead
        return Response(status=204)

    def _decided(self, done: bool) -> Response:
        if not done:
            raise NotDead
        return Response(DeliverySerializer(self.get_object()).data)


def _person(request: Request) -> str:
    return str(request.user.get_username())
