"""The Celery application of a worker that knows the tests' command, for processes of their own."""

from __future__ import annotations

from celery.signals import worker_ready

from console.celery import app

__all__ = ["app"]


@worker_ready.connect
def _know(**_: object) -> None:
    from tests import command_kind

    command_kind.register()
