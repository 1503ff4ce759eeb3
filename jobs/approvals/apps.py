from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "jobs.approvals"
    label = "approvals"
