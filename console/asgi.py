"""The ASGI application: pages, REST and WebSockets."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connections

from hardware.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

if multiprocessing.parent_process() is not None:
    # A worker of the web server. If the server is killed, it would go on alone, and the port would never be free again.
    die_with_parent(signal.SIGKILL)

# First: what is imported next needs it.
django.setup(set_prefix=False)

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from console.realtime.origin import same_origin  # noqa: E402
from console.realtime.routing import websocket_urlpatterns  # noqa: E402


class Pages(ASGIHandler):
    """Each request has a thread of its own, and in it a connection to the database that nobody uses after it.

    Left to the garbage collector, those of past requests stay open for minutes, and PostgreSQL lets in only so many.
    """

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().handle(scope, receive, send)
        finally:
            await sync_to_async(connections.close_all)()


application = ProtocolTypeRouter(
    {
        "http": Pages(),
        "websocket": same_origin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
