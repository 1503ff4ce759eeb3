"""Signing in, out, and failing to, in the trail; over the page and over the API alike."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from console.access.throttle import address
from hardware.events import audit


def _came(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    audit("session.login", f"user:{user.get_username()}", actor=user.get_username(), address=address(request))


def _went(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    if user is not None:
        audit("session.logout", f"user:{user.get_username()}", actor=user.get_username(), address=address(request))


def _failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    # Only the name that was tried: people type passwords into the wrong field, so it is cut, and is never the actor.
    name = str(credentials.get("username", ""))[:40]
    audit("session.login-failed", f"user:{name}", address=address(request))


def listen() -> None:
    user_logged_in.connect(_came, dispatch_uid="console.access.came")
    user_logged_out.connect(_went, dispatch_uid="console.access.went")
    user_login_failed.connect(_failed, dispatch_uid="console.access.failed")
