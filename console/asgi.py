"""The ASGI application: pages, REST and WebSockets."""

from __future__ import annotations

import multiprocessing
import os
import signal

from django.core.asgi import get_asgi_application

from hardware.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

if multiprocessing.parent_process() is not None:
    # A worker of the web server. If the server is killed, it would go on alone, and the port would never be free again.
    die_with_parent(signal.SIGKILL)

# First: it sets Django up, which what is imported next needs.
pages = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from console.realtime.origin import same_origin  # noqa: E402
from console.realtime.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": same_origin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
