from django.apps import AppConfig


class DepotConfig(AppConfig):
    name = "jobs.depot"
    label = "depot"
