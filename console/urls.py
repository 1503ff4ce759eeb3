from django.urls import include, path

from console.access.pages import Login, Logout
from console.demo.supportbot.pages import support_bot
from console.health import healthz, readyz
from console.metrics import Metrics
from console.notifications.pages import notifications
from console.pages import overview
from console.preferences import preferences
from hardware.bmc import pages as bmc
from hardware.inventory import changing
from hardware.inventory import pages as machines
from hardware.inventory.changes.pages import machine_changes
from hardware.inventory.compatibility import pages as compatibility
from hardware.inventory.credentials.pages import new_key
from hardware.inventory.groups import pages as groups
from hardware.inventory.lists.pages import import_machines, scan_network
from hardware.telemetry.alerts import pages as alerts
from hardware.telemetry.alerts import rule_pages as alert_rules
from hardware.telemetry.alerts.silences import silences
from jobs.admission import pages as admission
from jobs.approvals import pages as approvals
from jobs.depot import pages as depot
from jobs.logs import pages as logs
from jobs.pages import control, reports
from jobs.pages import views as jobs
from jobs.pages.new import aimed
from jobs.pages.new import new as new_job
from jobs.pipelines.pages import views as pipelines
from jobs.pipelines.pages.new import new as new_pipeline
from jobs.readiness.pages import page as readiness
from jobs.rollout.pages import new_release, release
from jobs.schedules import pages as schedules

handler500 = "console.faults.fault"

urlpatterns = [
    path("", overview, name="overview"),
    path("login/", Login.as_view(), name="login"),
    path("logout/", Logout.as_view(), name="logout"),
    path("preferences/", preferences, name="preferences"),
    path("machines/", machines.machines, name="machines"),
    path("machines/add/", machines.add, name="machine-add"),
    path("machines/import/", import_machines, name="machine-import"),
    path("machines/scan/", scan_network, name="machine-scan"),
    path("readiness/", readiness, name="readiness"),
    path("machines/<str:name>/", machines.machine, name="machine"),
    path("machines/<str:name>/edit/", changing.edit, name="machine-edit"),
    path("machines/<str:name>/retire/", changing.retire_machine, name="machine-retire"),
    path("machines/<str:name>/restore/", changing.restore_machine, name="machine-restore"),
    path("machines/<str:name>/probe/", machines.probe_now, name="machine-probe"),
    path("machines/<str:name>/new-key/", new_key, name="machine-new-key"),
    path("machines/<str:name>/confirm/", machines.confirm_key, name="machine-confirm"),
    path("machines/<str:name>/bmc/", bmc.save, name="machine-bmc-save"),
    path("machines/<str:name>/bmc/confirm/", bmc.confirm_certificate, name="machine-bmc-confirm"),
    path("machines/<str:name>/bmc/read/", bmc.read, name="machine-bmc-read"),
    path("machines/<str:name>/bmc/remove/", bmc.remove, name="machine-bmc-remove"),
    path("machines/<str:name>/changes/", machine_changes, name="machine-changes"),
    path("groups/", groups.groups, name="groups"),
    path("groups/<str:name>/", groups.group, name="group"),
    path("compatibility/", compatibility.compatibility, name="compatibility"),
    path("compatibility/new/", compatibility.new, name="compatibility-new"),
    path("compatibility/<int:pk>/", compatibility.entry, name="compatibility-entry"),
    path("alerts/", alerts.alerts, name="alerts"),
    path("alerts/history/", alerts.history, name="alerts-history"),
    path("alerts/rules/", alert_rules.rules, name="alert-rules"),
    path("alerts/rules/new/", alert_rules.new, name="alert-rule-new"),
    path("alerts/rules/<slug:slug>/", alert_rules.rule, name="alert-rule"),
    path("alerts/silences/", silences, name="silences"),
    path("alerts/<int:pk>/", alerts.alert, name="alert"),
    path("jobs/", jobs.history, name="jobs"),
    path("jobs/export.csv", jobs.history_file, {"form": "csv"}, name="jobs-csv"),
    path("jobs/export.jsonl", jobs.history_file, {"form": "jsonl"}, name="jobs-jsonl"),
    path("jobs/new/", new_job, name="job-new"),
    path("jobs/new/targets/", aimed, name="job-targets"),
    path("jobs/<int:pk>/", jobs.job, name="job"),
    path("jobs/<int:pk>/report/", reports.report, name="job-report"),
    path("jobs/<int:pk>/report.json", reports.report_file, name="job-report-file"),
    path("jobs/<int:pk>/cancel/", control.cancel, name="job-cancel"),
    path("jobs/<int:pk>/pause/", control.pause, name="job-pause"),
    path("jobs/<int:pk>/resume/", control.resume, name="job-resume"),
    path("jobs/<int:pk>/log.txt", logs.log_text, name="job-log"),
    path("jobs/<int:pk>/log.zip", logs.log_zip, name="job-log-zip"),
    path("approvals/", approvals.inbox, name="approvals"),
    path("approvals/rules/", approvals.save_rule, name="approval-rules"),
    path("approvals/<int:pk>/", approvals.approval, name="approval"),
    path("schedules/", schedules.schedules, name="schedules"),
    path("schedules/new/", schedules.new, name="schedule-new"),
    path("schedules/times/", schedules.times, name="schedule-times"),
    path("schedules/<int:pk>/", schedules.schedule, name="schedule"),
    path("schedules/<int:pk>/edit/", schedules.edit, name="schedule-edit"),
    path("windows/", admission.windows, name="windows"),
    path("limits/", admission.limits, name="limits"),
    path("jobs/<int:pk>/urgent/", admission.urgent, name="job-urgent"),
    path("pipelines/", pipelines.pipelines, name="pipelines"),
    path("pipelines/new/", new_pipeline, name="pipeline-new"),
    path("pipelines/<int:pk>/", pipelines.pipeline, name="pipeline"),
    path("pipelines/<int:pk>/cancel/", pipelines.cancel, name="pipeline-cancel"),
    path("pipelines/<int:pk>/retry/", pipelines.retry, name="pipeline-retry"),
    path("notifications/", notifications, name="notifications"),
    path("depot/", depot.depot, name="depot"),
    path("depot/<int:pk>/verify/", depot.check, name="depot-verify"),
    path("depot/<int:pk>/uses/", depot.uses, name="depot-uses"),
    path("depot/<int:pk>/file/", depot.file, name="depot-file"),
    path("depot/<int:pk>/release/", new_release, name="release-new"),
    path("releases/<int:pk>/", release, name="release"),
    path("scenarios/support-bot/", support_bot, name="support-bot"),
    path("metrics", Metrics.as_view(), name="metrics"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    # A name space of its own: the router calls its routes "machine-probe" and "job-cancel", as the pages do theirs.
    path("api/v1/", include(("console.api.urls", "api"))),
]
