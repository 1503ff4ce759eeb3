"""Five wrong passwords for a name from an address, then a pause. Kept in the memory of the one web process."""

from __future__ import annotations

import hashlib
import time

from django.core.cache import cache
from django.http import HttpRequest

TRIES = 5
PAUSE = 300


def address(request: HttpRequest | None) -> str:
    return str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""


def wait(name: str, address: str) -> int:
    """Seconds until the next try is let through; 0 when it may go now."""
    tries, until = cache.get(_key(name, address), (0, 0.0))
    return max(0, round(until - time.time())) if tries >= TRIES else 0


def failed(name: str, address: str) -> None:
    tries, _ = cache.get(_key(name, address), (0, 0.0))
    cache.set(_key(name, address), (tries + 1, time.time() + PAUSE), PAUSE)


def forget(name: str, address: str) -> None:
    cache.delete(_key(name, address))


def _key(name: str, address: str) -> str:
    # Hashed: a cache key may hold neither spaces nor 300 characters, a name that somebody types may.
    return "login:" + hashlib.sha256(f"{name.lower()}\0{address}".encode()).hexdigest()
