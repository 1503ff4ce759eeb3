"""Addresses of the sockets."""

from __future__ import annotations

from django.urls import path, re_path

from console.realtime.consumers import Fleet, JobLog, Nowhere, Telemetry

websocket_urlpatterns = [
    path("ws/jobs/<int:job>/log", JobLog.as_asgi()),
    re_path(r"^ws/machines/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)/telemetry$", Telemetry.as_asgi()),
    path("ws/fleet", Fleet.as_asgi()),
    re_path("", Nowhere.as_asgi()),
]
