"""The console's own ASGI application on the tests' database."""

from __future__ import annotations

from django.conf import settings

settings.DATABASES["default"]["NAME"] = settings.DATABASES["default"]["TEST"]["NAME"]

from console.asgi import application  # noqa: E402

__all__ = ["application"]
