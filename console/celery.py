"""The Celery application. The broker only wakes workers up: what is to be done is in the database."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import heartbeat_sent, worker_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("console")


@worker_shutdown.connect
def _leave(**_: object) -> None:
    from jobs.engine.loop import leave

    leave()


@heartbeat_sent.connect
def _live(sender: Any, **_: object) -> None:
    from console.health import worker_lives

    worker_lives(list(sender.eventer.app.amqp.queues.consume_from), sender.eventer.hostname)


app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    [
        "jobs",
        "jobs.logs",
        "jobs.schedules",
        "hardware.inventory",
        "hardware.telemetry",
        "hardware.telemetry.rollups",
        "console.notifications",
    ],
    related_name="tasks",
)
