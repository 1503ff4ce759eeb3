from django.apps import AppConfig


class RemediesConfig(AppConfig):
    name = "jobs.remedies"
    label = "remedies"
