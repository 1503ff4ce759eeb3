from django.apps import AppConfig


class RemediesConfig(AppConfig):
    name = "jobs.remedies"
    label = "remedies"

    def ready(self) -> None:
        from hardware.telemetry.alerts.checking import remedy_checks
        from jobs.remedies.checking import complaints

        if complaints not in remedy_checks:
            remedy_checks.append(complaints)
