"""Who somebody is, by name and password: Django's own check, behind the pause after five wrong passwords.

It lies here and not in the login page's form so that ``POST /api/v1/token/`` is no way around it.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from console.access import throttle


class PausingBackend(ModelBackend):
    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        name, address = str(username or ""), throttle.address(request)
        if throttle.wait(name, address):
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            throttle.failed(name, address)
        else:
            throttle.forget(name, address)
        return user
