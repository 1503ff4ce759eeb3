"""The Celery application. The broker only wakes workers up: what is to be done is in the database."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("console")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["jobs", "hardware.inventory", "hardware.telemetry"], related_name="tasks")
