"""The Celery application. The broker only wakes workers up: what is to be done is in the database."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("console")


@worker_shutdown.connect
def _leave(**_: object) -> None:
    from jobs.loop import leave

    leave()


app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["jobs", "hardware.inventory", "hardware.telemetry"], related_name="tasks")
