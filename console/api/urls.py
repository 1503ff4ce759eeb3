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
from console.notifications.api import DeliveryViewSet, DestinationViewSet
from hardware.bmc.api import MachineBmc, MachineBmcConfirm, MachineBmcRead
from hardware.inventory.api import CredentialViewSet, MachineViewSet
from hardware.inventory.changes.api import MachineChanges
from hardware.inventory.compatibility.api import EntryViewSet
from hardware.inventory.groups.api import GroupViewSet
from hardware.inventory.lists.api import MachineExport, MachineImport, NetworkScan
from hardware.telemetry.alerts.api import AlertExport, AlertViewSet, SilenceViewSet
from hardware.telemetry.alerts.rules_api import RuleViewSet
from hardware.telemetry.api import MachineTelemetry
from hardware.telemetry.npus import NpuTable
from jobs.admission.api import LimitViewSet, Urgent, WindowViewSet
from jobs.api import JobViewSet, KindList
from jobs.approvals.api import ApprovalRuleViewSet, ApprovalViewSet
from jobs.depot.api import ArtifactViewSet
from jobs.history.api import ExportCsv, ExportLines
from jobs.pipelines.api import PipelineKindList, PipelineViewSet
from jobs.readiness.api import PackageReadiness, ReleaseReadiness
from jobs.remedies.api import AlertRemedy
from jobs.rollout.api import DeploymentViewSet, ReleaseViewSet, RolloutViewSet
from jobs.schedules.api import ScheduleViewSet


class Credentials(Idempotent, Tagged, CredentialViewSet):
    pass


class Machines(Idempotent, Tagged, MachineViewSet):
    pass


class Groups(Idempotent, Tagged, GroupViewSet):
    pass


class CompatibilityEntries(Idempotent, Tagged, EntryViewSet):
    pass


class Jobs(Idempotent, JobViewSet):
    pass


class Approvals(Idempotent, ApprovalViewSet):
    pass


class ApprovalRules(Idempotent, Tagged, ApprovalRuleViewSet):
    pass


class Pipelines(Idempotent, PipelineViewSet):
    pass


class AlertRemedies(Idempotent, AlertRemedy):
    pass


class Releases(Idempotent, ReleaseViewSet):
    pass


class Rollouts(Idempotent, RolloutViewSet):
    pass


class Schedules(Idempotent, Tagged, ScheduleViewSet):
    pass


class Windows(Idempotent, Tagged, WindowViewSet):
    pass


class Limits(Idempotent, Tagged, LimitViewSet):
    pass


class Destinations(Idempotent, Tagged, DestinationViewSet):
    pass


class Rules(Idempotent, Tagged, RuleViewSet):
    pass


class Silences(Idempotent, SilenceViewSet):
    pass


router = DefaultRouter()
router.register("credentials", Credentials)
router.register("machines", Machines)
router.register("groups", Groups)
router.register("compatibility", CompatibilityEntries, basename="compatibility")
# An upload needs no Idempotency-Key: the same bytes are the same artifact.
router.register("artifacts", ArtifactViewSet)
router.register("jobs", Jobs)
router.register("approvals", Approvals)
router.register("approval-rules", ApprovalRules)
router.register("pipelines", Pipelines)
router.register("releases", Releases)
router.register("rollouts", Rollouts, basename="rollout")
router.register("deployments", DeploymentViewSet)
router.register("schedules", Schedules)
router.register("windows", Windows)
router.register("limits", Limits)
router.register("destinations", Destinations)
router.register("deliveries", DeliveryViewSet)
router.register("alerts", AlertViewSet)
router.register("rules", Rules)
router.register("silences", Silences)
router.register("audit", AuditViewSet)

urlpatterns = [
    path("machine-import/", MachineImport.as_view(), name="machine-import"),
    *(path(f"machine-export.{form}", MachineExport.as_view(), {"form": form}) for form in ("csv", "ini", "yaml")),
    path("alerts/<int:pk>/remedy/", AlertRemedies.as_view(), name="alert-remedy"),
    path("alerts/export.csv", AlertExport.as_view(), name="alerts-csv"),
    path("npus/", NpuTable.as_view(), name="npus"),
    path("network-scan/", NetworkScan.as_view(), name="network-scan"),
    path("machines/<str:name>/bmc/", MachineBmc.as_view(), name="machine-bmc"),
    path("machines/<str:name>/bmc/confirm/", MachineBmcConfirm.as_view(), name="machine-bmc-confirm"),
    path("machines/<str:name>/bmc/read/", MachineBmcRead.as_view(), name="machine-bmc-read"),
    path("machines/<str:name>/changes/", MachineChanges.as_view(), name="machine-changes"),
    path("jobs/export.csv", ExportCsv.as_view(), name="jobs-csv"),
    path("jobs/export.jsonl", ExportLines.as_view(), name="jobs-jsonl"),
    path("jobs/<int:pk>/urgent/", Urgent.as_view(), name="job-urgent"),
    path("pipelines/kinds/", PipelineKindList.as_view(), name="pipeline-kinds"),
    path("releases/<int:pk>/readiness/", ReleaseReadiness.as_view(), name="release-readiness"),
    path("artifacts/<int:pk>/readiness/", PackageReadiness.as_view(), name="artifact-readiness"),
    path("kinds/", KindList.as_view(), name="kinds"),
    path("token/", obtain_auth_token, name="token"),
    path("scenarios/support-bot/ask/", Ask.as_view(), name="support-bot-ask"),
    path("machines/<str:name>/telemetry/", MachineTelemetry.as_view(), name="machine-telemetry"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    *router.urls,
]
