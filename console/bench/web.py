"""The console's ASGI application, with the measured kinds."""

from __future__ import annotations

from console.asgi import application
from console.bench.kinds import register

register()

__all__ = ["application"]
