"""``manage.py up``: everything the console needs, under one supervisor."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import BaseCommand

from console.supervisor import stack


class Command(BaseCommand):
    help = "Start Redis (if none is configured), the web server, the workers and the scheduler; Ctrl-C ends them."

    def handle(self, *args: Any, **options: Any) -> None:
        with stack.state_folder() as folder:
            stack.require_free(settings.BIND, settings.PORT, "set CONSOLE_PORT to a free one.")
            stack.prepare()
            if not User.objects.exists():
                self.stdout.write("Nobody can log in yet: make a user with manage.py createsuperuser.")
            self.stdout.write(f"http://{settings.BIND}:{settings.PORT}/ · state in {folder} · Ctrl-C ends it")
            stack.run()
