"""Who may open a socket: a page of this very origin, or of one that is trusted.

A browser sends the session's cookie along whichever page opens the socket, and cookies know no ports: without this, any
page of the same host could read what its visitor may read.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier
from django.conf import settings


def same_origin(application: Any) -> Any:
    """The application for pages of this origin alone; others get 403."""
    # Compares host names only; what is here adds the port.
    allowed = AllowedHostsOriginValidator(application)

    async def checked(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"]}
        origin = headers.get(b"origin", "")
        ours = urlsplit(origin).netloc == headers.get(b"host")
        await (allowed if ours or origin in settings.CSRF_TRUSTED_ORIGINS else WebsocketDenier())(scope, receive, send)

    return checked
