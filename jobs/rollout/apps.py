from django.apps import AppConfig


class RolloutConfig(AppConfig):
    name = "jobs.rollout"
    label = "rollout"
