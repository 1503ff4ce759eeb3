from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "jobs.pipelines"
    label = "pipelines"
