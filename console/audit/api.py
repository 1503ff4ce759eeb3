"""REST: the trail, to read."""

from __future__ import annotations

from rest_framework import mixins, serializers, viewsets

from console.audit.models import AuditEvent


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = ["id", "at", "actor", "action", "target", "detail"]


class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[AuditEvent]):
    """Every mutation, login, decision and remote command, newest first."""

    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    filterset_fields = {"actor": ["exact"], "action": ["exact"], "target": ["exact"], "at": ["gte", "lt"]}
