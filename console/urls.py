from django.urls import include, path

from console.access.pages import Login, Logout
from console.demo.supportbot.pages import support_bot
from console.health import healthz, readyz
from console.pages import overview
from console.preferences import preferences
from hardware.inventory import pages as machines
from jobs.depot import pages as depot
from jobs.pages import views as jobs
from jobs.pages.new import new as new_job
from jobs.rollout.pages import new_release

urlpatterns = [
    path("", overview, name="overview"),
    path("login/", Login.as_view(), name="login"),
    path("logout/", Logout.as_view(), name="logout"),
    path("preferences/", preferences, name="preferences"),
    path("machines/", machines.machines, name="machines"),
    path("machines/add/", machines.add, name="machine-add"),
    path("machines/<str:name>/", machines.machine, name="machine"),
    path("machines/<str:name>/probe/", machines.probe_now, name="machine-probe"),
    path("machines/<str:name>/confirm/", machines.confirm_key, name="machine-confirm"),
    path("jobs/", jobs.history, name="jobs"),
    path("jobs/export.csv", jobs.history_file, {"form": "csv"}, name="jobs-csv"),
    path("jobs/export.jsonl", jobs.history_file, {"form": "jsonl"}, name="jobs-jsonl"),
    path("jobs/new/", new_job, name="job-new"),
    path("jobs/<int:pk>/", jobs.job, name="job"),
    path("jobs/<int:pk>/cancel/", jobs.cancel, name="job-cancel"),
    path("jobs/<int:pk>/log.txt", jobs.log_text, name="job-log"),
    path("depot/", depot.depot, name="depot"),
    path("depot/<int:pk>/verify/", depot.check, name="depot-verify"),
    path("depot/<int:pk>/uses/", depot.uses, name="depot-uses"),
    path("depot/<int:pk>/release/", new_release, name="release-new"),
    path("scenarios/support-bot/", support_bot, name="support-bot"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    # A name space of its own: the router calls its routes "machine-probe" and "job-cancel", as the pages do theirs.
    path("api/v1/", include(("console.api.urls", "api"))),
]
