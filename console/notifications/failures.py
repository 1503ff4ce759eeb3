from __future__ import annotations


class NotDelivered(Exception):
    """The other side did not take it. ``str()`` is one sentence; it holds no secret."""
