"""The REST API under /api/v1/."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.routers import DefaultRouter

from console.api.etags import Tagged
from console.api.idempotency import Idempotent
from console.audit.api import AuditViewSet
from console.demo.supportbot.api import Ask
from hardware.inventory.api import CredentialViewSet, MachineViewSet
from hardware.telemetry.api import MachineTelemetry
from jobs.api import JobViewSet, KindList
from jobs.depot.api import ArtifactViewSet
from jobs.history.api import ExportCsv, ExportLines
from jobs.rollout.api import ReleaseViewSet, RolloutViewSet


class Credentials(Idempotent, Tagged, CredentialViewSet):
    pass


class Machines(Idempotent, Tagged, MachineViewSet):
    pass


class Jobs(Idempotent, JobViewSet):
    pass


class Releases(Idempotent, ReleaseViewSet):
    pass


class Rollouts(Idempotent, RolloutViewSet):
    pass


router = DefaultRouter()
router.register("credentials", Credentials)
router.register("machines", Machines)
# An upload needs no Idempotency-Key: the same bytes are the same artifact.
router.register("artifacts", ArtifactViewSet)
router.register("jobs", Jobs)
router.register("releases", Releases)
router.register("rollouts", Rollouts, basename="rollout")
router.register("audit", AuditViewSet)

urlpatterns = [
    path("jobs/export.csv", ExportCsv.as_view(), name="jobs-csv"),
    path("jobs/export.jsonl", ExportLines.as_view(), name="jobs-jsonl"),
    path("kinds/", KindList.as_view(), name="kinds"),
    path("token/", obtain_auth_token, name="token"),
    path("scenarios/support-bot/ask/", Ask.as_view(), name="support-bot-ask"),
    path("machines/<str:name>/telemetry/", MachineTelemetry.as_view(), name="machine-telemetry"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    *router.urls,
]
