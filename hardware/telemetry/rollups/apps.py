from django.apps import AppConfig


class RollupsConfig(AppConfig):
    name = "hardware.telemetry.rollups"
    label = "rollups"
