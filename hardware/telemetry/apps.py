from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    name = "hardware.telemetry"
    label = "telemetry"
