from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AlertsConfig(AppConfig):
    name = "hardware.telemetry.alerts"
    label = "alerts"

    def ready(self) -> None:
        from hardware.events import audited
        from hardware.telemetry.alerts.builtin import after_migrate
        from hardware.telemetry.alerts.versions import heard

        post_migrate.connect(after_migrate, sender=self, dispatch_uid="alerts.builtin")
        audited.connect(heard, dispatch_uid="alerts.versions")
