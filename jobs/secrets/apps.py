from django.apps import AppConfig


class SecretsConfig(AppConfig):
    name = "jobs.secrets"
    label = "job_secrets"
